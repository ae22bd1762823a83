# SPDX-License-Identifier: ISC
PROGS += chand
SRC_chand = chand/chand.c chand/local.c chand/request.c
MANPAGES += chand/chand.8
