# SPDX-License-Identifier: ISC
LIB_SRC = lib/buf.c lib/chan.c lib/daemon.c lib/kv.c lib/log.c lib/loop.c lib/names.c lib/sandbox.c lib/sandbox-fs.c lib/sock.c \
	lib/vchan-wait.c $(LIB_SRC_$(BACKEND))
LIB_SRC_local = local/vchan-local.c
LIB_SRC_xen = xen/store.c xen/store-ops.c xen/ring.c xen/end.c xen/vchan-xen.c lib/grant.c
MANPAGES += lib/cubicle-security.7
