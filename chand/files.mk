# SPDX-License-Identifier: ISC
PROGS += chand
SRC_chand = chand/chand.c chand/$(BACKEND).c chand/request.c
MANPAGES += chand/chand.8
