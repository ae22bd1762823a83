# SPDX-License-Identifier: ISC
# What Xen is for us: xenstore, one end of a channel, and the libraries that build domains. The first
# two are part of lib.a (lib/files.mk).

# libxenctrl and libxenguest against musl, from the distribution's source package. vmstart links them.
XENLIBS = $(O)/xenlibs
XENLIBS_STAMP = $(XENLIBS)/.done
$(XENLIBS_STAMP): build-tools/xenlibs.sh
	CC="$(LIBC_CC)" sh build-tools/xenlibs.sh $(XENLIBS)
	@touch $@
xenlibs: $(XENLIBS_STAMP)
.PHONY: xenlibs

# Bytes are moved here: with -Os the compiler makes that a rep movsb instead of a call of memcpy.
$(O)/obj/xen/ring.o $(O)/hobj/xen/ring.o: OPT = -O2 -g -fno-asynchronous-unwind-tables
