# SPDX-License-Identifier: ISC
# vmstart, one for each running qube, and its domains on Xen (local/ has the other kind).
PROGS += vmstart
SRC_vmstart = vmstart/vmstart.c vmstart/keeper-file.c vmstart/keeper-console.c vmstart/ahead.c startd/qids.c $(CONSOLE_SRC) $(DOMAIN_SRC) $(STORAGE_SRC)
MANPAGES += vmstart/vmstart.8
ifeq ($(BACKEND),xen)
DOMAIN_SRC = $(addprefix vmstart/,xen.c xen-plan.c xen-holders.c xen-build.c xen-acpi.c xen-disk.c xen-nodes.c xen-console.c)
# libxenguest as a whole: its loaders register themselves in constructors that nothing refers to.
LIBS_vmstart = -L$(XENLIBS)/lib -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive -lxenctrl -lxencall \
	-lxenforeignmemory -lxendevicemodel -lxengnttab -lxenevtchn -lxentoollog -lxentoolcore
$(O)/bin/vmstart: $(XENLIBS_STAMP)
# Xen's headers are written for GNU C.
$(O)/obj/vmstart/xen.o $(O)/obj/vmstart/xen-%.o: CFLAGS += -std=gnu11 -D__XEN_TOOLS__
endif
