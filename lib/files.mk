# SPDX-License-Identifier: ISC
LIB_SRC = lib/buf.c lib/chan.c lib/daemon.c lib/kv.c lib/log.c lib/loop.c lib/names.c lib/sandbox.c lib/sandbox-fs.c lib/sock.c \
	lib/vchan-local.c
MANPAGES += lib/cubicle-security.7
