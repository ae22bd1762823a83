# SPDX-License-Identifier: ISC
# Domains of Xen; vmstart/domain.h is the boundary.
DOMAIN_SRC = $(addprefix xendom/,xendom.c xen-plan.c xen-holders.c xen-build.c xen-acpi.c xen-disk.c xen-nodes.c xen-console.c)
# libxenguest as a whole: its loaders register themselves in constructors that nothing refers to.
LIBS_vmstart = -L$(XENLIBS)/lib -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive -lxenctrl -lxencall \
	-lxenforeignmemory -lxendevicemodel -lxengnttab -lxenevtchn -lxentoollog -lxentoolcore
$(O)/bin/vmstart: $(XENLIBS_STAMP)
# Xen's headers are written for GNU C.
$(O)/obj/xendom/%.o: CFLAGS += -std=gnu11 -D__XEN_TOOLS__
