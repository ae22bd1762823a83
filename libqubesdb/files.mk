# SPDX-License-Identifier: ISC
# QubesDB for programs: the library and the commands.

# The commands, in Dom0 and in qubes: one program, known by its name.
PROGS += qubesdb-cmd
USER_PROGS += qubesdb-cmd
SRC_qubesdb-cmd = libqubesdb/qubesdb-cmd.c libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
QDB_COMMANDS = read write rm list multiread watch read-bool
LINKS += $(QDB_COMMANDS:%=$(BINDIR)/qubesdb-%:qubesdb-cmd)
MANPAGES += libqubesdb/qubesdb-cmd.1 libqubesdb/qubesdb.3

# The library is for programs of the distribution: built with its compiler, static and shared.
QDB_LIB = $(O)/lib/libqubesdb.a $(O)/lib/libqubesdb.so.1 $(O)/lib/qubesdb.pc
QDB_LIB_OBJ = $(O)/so/libqubesdb/libqubesdb.o $(O)/so/libqubesdb/libqubesdb-wire.o
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
$(O)/lib/qubesdb.pc: libqubesdb/files.mk config.mk
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: qubesdb' \
		'Description: a qube'\''s configuration store' 'Version: 1' 'Cflags: -I$${includedir}' \
		'Libs: -L$${libdir} -lqubesdb' >$@
INSTALL_FILES += libqubesdb/qubesdb.h:$(PREFIX)/include/qubesdb.h $(O)/lib/libqubesdb.a:$(PREFIX)/lib/libqubesdb.a \
	$(O)/lib/libqubesdb.so.1:$(PREFIX)/lib/libqubesdb.so.1:755 $(O)/lib/qubesdb.pc:$(PREFIX)/lib/pkgconfig/qubesdb.pc
LINKS += $(PREFIX)/lib/libqubesdb.so:$(PREFIX)/lib/libqubesdb.so.1 \
	$(if $(MANPAGES),$(QDB_COMMANDS:%=$(MANDIR)/man1/qubesdb-%.1:$(MANDIR)/man1/qubesdb-cmd.1))
