# SPDX-License-Identifier: ISC
# QubesDB: the daemon that keeps each qube's configuration.

# The daemon, in Dom0 (one per qube, and its own) and in qubes.
PROGS += qdbd
SRC_qdbd = $(addprefix qdb/,qdbd.c setup.c link.c store.c door.c client.c peer.c keys.c) $(RPC_SRC)
# What each request goes through.
$(addprefix $(O)/obj/qdb/,client.o store.o peer.o): CFLAGS += -O2
LINKS += $(PREFIX)/sbin/qubesdb-daemon:qdbd
MANPAGES += qdb/qdbd.8
