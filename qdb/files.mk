# SPDX-License-Identifier: ISC
# QubesDB: the store of each qube's configuration, its commands, and its library for other programs.

# The daemon, in Dom0 (one per qube, and its own) and in qubes.
PROGS += qdbd
SRC_qdbd = $(addprefix qdb/,qdbd.c setup.c link.c store.c door.c client.c peer.c keys.c) startd/qids.c $(RPC_SRC)
# What each request goes through.
$(addprefix $(O)/obj/qdb/,client.o store.o peer.o): CFLAGS += -O2
LINKS += $(PREFIX)/sbin/qubesdb-daemon:qdbd
MANPAGES += qdb/qdbd.8

# The commands, in Dom0 and in qubes: one program, known by its name.
PROGS += qubesdb-cmd
USER_PROGS += qubesdb-cmd
SRC_qubesdb-cmd = qdb/qubesdb-cmd.c qdb/libqubesdb.c qdb/libqubesdb-wire.c
QDB_COMMANDS = read write rm list multiread watch read-bool
LINKS += $(QDB_COMMANDS:%=$(BINDIR)/qubesdb-%:qubesdb-cmd)
MANPAGES += qdb/qubesdb-cmd.1 qdb/qubesdb.3

# The library is for programs of the distribution: built with its compiler, static and shared.
QDB_LIB = $(O)/lib/libqubesdb.a $(O)/lib/libqubesdb.so.1 $(O)/lib/qubesdb.pc
QDB_LIB_OBJ = $(O)/so/qdb/libqubesdb.o $(O)/so/qdb/libqubesdb-wire.o
all: $(QDB_LIB)
$(O)/so/%.o: %.c config.mk Makefile
	@mkdir -p $(@D)
	@echo cc $<
	$Q$(HOSTCC) $(CPPFLAGS) -D_FORTIFY_SOURCE=2 $(filter-out -fPIE,$(CFLAGS)) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<
$(O)/lib/libqubesdb.a: $(QDB_LIB_OBJ)
	@mkdir -p $(@D)
	@rm -f $@ && ar rcs $@ $^
$(O)/lib/libqubesdb.so.1: $(QDB_LIB_OBJ)
	@mkdir -p $(@D)
	@echo ld $@
	$Q$(HOSTCC) $(LDFLAGS) -shared -Wl,-z,defs -Wl,-soname,libqubesdb.so.1 -o $@ $^
$(O)/lib/qubesdb.pc: qdb/files.mk config.mk
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: qubesdb' \
		'Description: a qube'\''s configuration store' 'Version: 1' 'Cflags: -I$${includedir}' \
		'Libs: -L$${libdir} -lqubesdb' >$@
INSTALL_FILES += qdb/qubesdb.h:$(PREFIX)/include/qubesdb.h $(O)/lib/libqubesdb.a:$(PREFIX)/lib/libqubesdb.a \
	$(O)/lib/libqubesdb.so.1:$(PREFIX)/lib/libqubesdb.so.1:755 $(O)/lib/qubesdb.pc:$(PREFIX)/lib/pkgconfig/qubesdb.pc
LINKS += $(PREFIX)/lib/libqubesdb.so:$(PREFIX)/lib/libqubesdb.so.1 \
	$(if $(MANPAGES),$(QDB_COMMANDS:%=$(MANDIR)/man1/qubesdb-%.1:$(MANDIR)/man1/qubesdb-cmd.1))
