# SPDX-License-Identifier: ISC
# Files from one qube to another: both ends, and the commands.
PROGS += qfile-agent qfile-unpacker qubes-fs-tree-check qvm-copy qvm-open-in-vm vm-file-editor
USER_PROGS += qubes-fs-tree-check qvm-copy qvm-open-in-vm
SRC_qfile-agent = filecopy/qfile-agent.c filecopy/pack.c filecopy/reply.c filecopy/walk.c filecopy/place.c filecopy/io.c filecopy/moved.c filecopy/progress.c filecopy/strerror.c
SRC_qfile-unpacker = filecopy/qfile-unpacker.c filecopy/unpack.c filecopy/walk.c filecopy/place.c filecopy/input.c filecopy/io.c filecopy/qnames.c filecopy/strerror.c rpc/config.c rpc/lookup.c
SRC_qubes-fs-tree-check = filecopy/qubes-fs-tree-check.c filecopy/tree-check.c filecopy/walk.c filecopy/qnames.c
SRC_qvm-open-in-vm = filecopy/qvm-open.c filecopy/open.c filecopy/io.c
SRC_vm-file-editor = filecopy/vm-file-editor.c filecopy/open.c filecopy/io.c
SRC_qvm-copy = filecopy/qvm-copy.c filecopy/tree-check.c filecopy/walk.c filecopy/io.c filecopy/qnames.c
# The distribution's, for its CRC-32 alone, five times as fast as zlib's; that needs nothing of any C library, so musl has it too.
LIBDEFLATE = $(shell $(HOSTCC) -print-file-name=libdeflate.a)
LIBS_qfile-agent = $(LIBDEFLATE)
LIBS_qfile-unpacker = $(LIBDEFLATE)
LINKS += $(foreach n,qvm-move qvm-copy-to-vm qvm-move-to-vm,$(BINDIR)/$(n):qvm-copy) \
	$(LIBDIR)/qfile-dom0-agent:qfile-agent $(LIBDIR)/qfile-dom0-unpacker:qfile-unpacker \
	$(LIBDIR)/agent-rpc/qubes.Filecopy:qfile-unpacker \
	$(BINDIR)/qvm-open-in-dvm:qvm-open-in-vm $(LIBDIR)/qopen-in-vm:qvm-open-in-vm \
	$(LIBDIR)/agent-rpc/qubes.OpenInVM:vm-file-editor $(LIBDIR)/agent-rpc/qubes.OpenURL:vm-file-editor
# Which characters a name may have: from the distribution's Unicode data.
UNICODE = /usr/share/unicode
$(O)/unicode-gen: build-tools/unicode-gen.c
	@mkdir -p $(@D)
	$(HOSTCC) -D_GNU_SOURCE -std=c11 -O1 $(WARN) -o $@ $<
$(O)/gen/characters.h: $(O)/unicode-gen
	@mkdir -p $(@D)
	$(O)/unicode-gen $(UNICODE)/UnicodeData.txt $(UNICODE)/Scripts.txt > $@.tmp && mv $@.tmp $@
gen: $(O)/gen/characters.h
MANPAGES += $(addprefix filecopy/,qfile-agent.1 qfile-unpacker.8 qubes-fs-tree-check.1 qvm-copy.1 qvm-open-in-vm.1 vm-file-editor.8)
# What each byte goes through.
$(addprefix $(O)/obj/filecopy/,unpack.o pack.o input.o): CFLAGS += -O2
