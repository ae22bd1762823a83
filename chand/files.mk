# SPDX-License-Identifier: ISC
PROGS += chand
SRC_chand = chand/chand.c chand/local.c
#MANPAGES += chand/chand.8
