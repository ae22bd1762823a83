# SPDX-License-Identifier: ISC
# vmstart, one for each running qube, and what domains are made of: Linux namespaces (local), or Xen.
PROGS += vmstart qvm-console
USER_PROGS += qvm-console
VMSTART_SRC = vmstart/vmstart.c vmstart/ahead.c vmstart/console.c startd/qids.c
SRC_vmstart = $(VMSTART_SRC) $(VMSTART_SRC_$(BACKEND))
VMSTART_SRC_local = vmstart/local.c vmstart/local-root.c vmstart/source-local.c
SRC_qvm-console = vmstart/qvm-console.c vmstart/term-filter.c
MANPAGES += vmstart/vmstart.8 vmstart/qvm-console.1
ifeq ($(BACKEND),local)
PROGS += vm-init
SRC_vm-init = vmstart/vm-init.c
else
VMSTART_SRC_xen = vmstart/xen.c vmstart/xen-plan.c vmstart/xen-build.c vmstart/xen-acpi.c vmstart/xen-disk.c \
	vmstart/xen-nodes.c \
	vmstart/xen-console.c vmstart/source-xen.c vmstart/console-ring.c
# libxenguest as a whole: its loaders register themselves in constructors that nothing refers to.
LIBS_vmstart = -L$(XENLIBS)/lib -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive -lxenctrl -lxencall \
	-lxenforeignmemory -lxendevicemodel -lxengnttab -lxenevtchn -lxentoollog -lxentoolcore
$(O)/bin/vmstart: $(XENLIBS_STAMP)
# Xen's headers are written for GNU C.
$(O)/obj/vmstart/xen.o $(O)/obj/vmstart/xen-%.o: CFLAGS += -std=gnu11 -D__XEN_TOOLS__
endif
