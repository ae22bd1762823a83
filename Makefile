# SPDX-License-Identifier: ISC
# make              build for config.mk
# make demo         install what is missing, build, show the whole thing at work
# make check        lint, unit tests, system tests
# make Q=           says each command as it is
# make bench fuzz   figures; 60 s of fuzzing a parser
# make xen-demo     the same demo on real Xen in an emulated machine; check-xen, image, run-image: image/files.mk
include config.mk
Q = @

ifeq ($(filter $(BACKEND),local xen),)
$(error BACKEND = $(BACKEND): local or xen)
endif

ifeq ($(STATIC),1)
LIBC_CC = $(MUSLCC)
LIBC_CFLAGS = -idirafter /usr/include -idirafter /usr/include/$(shell $(HOSTCC) -print-multiarch)
LIBC_LDFLAGS = -static
else
LIBC_CC = $(CC)
LIBC_CFLAGS = -D_FORTIFY_SOURCE=2
LIBC_LDFLAGS = -pie
endif

WARN = -Wall -Wextra -Werror -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
CPPFLAGS += -D_GNU_SOURCE -Ilib -Iconf -I. -I$(O)/gen -DBACKEND_$(BACKEND) \
	-DBINDIR='"$(BINDIR)"' -DLIBDIR='"$(LIBDIR)"'
CFLAGS += -std=c11 $(OPT) $(WARN) -fstack-protector-strong -fPIE -ffunction-sections -fdata-sections
LDFLAGS += -Wl,-z,relro,-z,now,--gc-sections,--as-needed

# Each room says in its files.mk:
#   PROGS SRC_<prog> LIBS_<prog>   programs; HOST_PROGS: those against glibc (X), LINK_<prog>: -static-pie, not dynamic
#   USER_PROGS                     those that go to BINDIR; all others go to LIBDIR
#   LINKS                          NEW_PATH:PROG, names that scripts know; or NEW_PATH:/PATH
#   INSTALL_FILES                  SOURCE:DESTINATION[:MODE]
#   MANPAGES                       ROOM/PAGE.SECTION
# xen says where Xen's libraries are; image packs what all others build.
ROOMS_local = local
ROOMS_xen = xen xendom
ROOMS = lib $(ROOMS_$(BACKEND)) conf rpc engine policy ask qpolicy qrexecd dom0 agent chand console storage vmstart startd volumes qvm adminapi services qdb libqubesdb guid gui-agent display icons filecopy s6 \
	$(if $(filter xen,$(BACKEND)),image)
PROGS =
HOST_PROGS =
USER_PROGS =
LINKS =
INSTALL_FILES =
MANPAGES =
include $(foreach r,$(ROOMS),$(r)/files.mk)

all: $(PROGS:%=$(O)/bin/%) $(HOST_PROGS:%=$(O)/bin/%)

LIBOBJ = $(LIB_SRC:%.c=$(O)/obj/%.o)
$(O)/lib.a: $(LIBOBJ)
	@rm -f $@ && ar rcs $@ $^

$(O)/obj/%.o: %.c config.mk Makefile | gen
	@mkdir -p $(@D)
	@echo cc $<
	$Q$(LIBC_CC) $(CPPFLAGS) $(LIBC_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/hobj/%.o: %.c config.mk Makefile | gen
	@mkdir -p $(@D)
	@echo cc $<
	$Q$(HOSTCC) $(CPPFLAGS) -D_FORTIFY_SOURCE=2 $(CFLAGS) -MMD -MP -c -o $@ $<

# The system-call filters are made on the building machine and embedded (build-tools/filter-gen.c).
FILTERS = $(wildcard $(ROOMS:%=%/*.filter))
GEN = $(foreach f,$(FILTERS),$(O)/gen/$(basename $(notdir $(f))).filter.h)
gen: $(GEN) $(O)/gen/cursors.inc
# {"NAME", NUMBER}, for each glyph of X's cursor font and for what themes call alike.
$(O)/gen/cursors.inc: /usr/include/X11/cursorfont.h gui-agent/cursors
	@mkdir -p $(@D)
	awk '/^#define XC_/ && $$2 != "XC_num_glyphs" { name = substr($$2, 4); glyph[name] = $$3 } NR != FNR && !/^#/ { name = $$1; glyph[name] = glyph[$$2] } \
		name { print "{\"" name "\", " glyph[name] "},"; name = "" }' $^ > $@.tmp && mv $@.tmp $@
$(O)/filter-gen: build-tools/filter-gen.c
	@mkdir -p $(@D)
	$(HOSTCC) -D_GNU_SOURCE -std=c11 -O1 $(WARN) -o $@ $< -lseccomp
define FILTER_RULE
$(O)/gen/$(basename $(notdir $(1))).filter.h: $(1) $(wildcard lib/*.filter.inc) $(O)/filter-gen
	@mkdir -p $$(@D)
	$(O)/filter-gen $(BACKEND) $$< > $$@.tmp && mv $$@.tmp $$@
endef
$(foreach f,$(FILTERS),$(eval $(call FILTER_RULE,$(f))))

define PROG_RULE
$(O)/bin/$(1): $$(SRC_$(1):%.c=$(O)/obj/%.o) $(O)/lib.a
	@mkdir -p $$(@D)
	@echo ld $$@
	$Q$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $$@ $$^ $$(LIBS_$(1))
endef
$(foreach p,$(PROGS),$(eval $(call PROG_RULE,$(p))))

define HOST_RULE
$(O)/bin/$(1): $$(SRC_$(1):%.c=$(O)/hobj/%.o) $(LIB_SRC:%.c=$(O)/hobj/%.o)
	@mkdir -p $$(@D)
	@echo ld $$@
	$Q$(HOSTCC) $(LDFLAGS) $$(or $$(LINK_$(1)),-pie) -o $$@ $$^ $$(LIBS_$(1))
endef
$(foreach p,$(HOST_PROGS),$(eval $(call HOST_RULE,$(p))))

install: all
	@D='$(DESTDIR)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' MANDIR='$(MANDIR)' OUT='$(O)/bin' \
	USER_PROGS='$(USER_PROGS)' PROGS='$(PROGS) $(HOST_PROGS)' LINKS='$(LINKS)' \
	FILES='$(INSTALL_FILES)' MANPAGES='$(MANPAGES)' sh ./install.sh

ifneq ($(BACKEND),xen)
image run-image desktop xen-demo:
	@$(MAKE) -s BACKEND=xen $@
.PHONY: image run-image desktop xen-demo
endif

include test/test.mk

-include $(shell find $(O)/obj $(O)/hobj $(O)/aobj $(O)/fobj -name '*.d' 2>/dev/null)
clean:
	rm -rf build

.PHONY: all gen clean install
