# SPDX-License-Identifier: ISC
PROGS += chand
SRC_chand = chand/chand.c chand/$(BACKEND).c chand/request.c $(if $(filter local,$(BACKEND)),local/grant-file.c)
MANPAGES += chand/chand.8
