# SPDX-License-Identifier: ISC
# vmstart, one for each running qube, and the local backend's domains.
PROGS += vmstart vm-init
SRC_vmstart = vmstart/vmstart.c vmstart/console.c vmstart/local.c vmstart/local-root.c startd/qids.c
SRC_vm-init = vmstart/vm-init.c
MANPAGES += vmstart/vmstart.8
