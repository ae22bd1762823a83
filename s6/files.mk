# SPDX-License-Identifier: ISC
# Service directories and scripts, with the paths of config.mk filled in.
S6_FILES = sv/chand/run sv/policyd/run sv/startd/run sv/qrexec-dom0/run sv/qdbd-dom0/run sv/adminapid/run sv/log template/vm.run template/vm.finish \
	template/vm.log template/qdbd.run template/qdbd.finish template/qdbd.log template/qrexecd.run template/qrexecd.log template/guid.run template/guid.log boot svscan-finish cubicle-up cubicle-down
$(O)/s6/%: s6/% config.mk
	@mkdir -p $(@D)
	sed -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@BINDIR@|$(BINDIR)|g' $< >$@.tmp && mv $@.tmp $@
all: $(S6_FILES:%=$(O)/s6/%)
INSTALL_FILES += $(foreach f,$(filter-out cubicle-%,$(S6_FILES)),$(O)/s6/$(f):$(LIBDIR)/s6/$(f):755) \
	$(foreach f,$(filter cubicle-%,$(S6_FILES)),$(O)/s6/$(f):$(LIBDIR)/$(f):755) \
	s6/cubicle-up.8:$(MANDIR)/man8/cubicle-down.8
MANPAGES += s6/cubicle-up.8
