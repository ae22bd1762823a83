# SPDX-License-Identifier: ISC
PROGS += vmstart vm-init startd qvm-start qvm-shutdown qvm-kill qvm-ls
USER_PROGS += qvm-start qvm-shutdown qvm-kill qvm-ls
SRC_vmstart = vmstart/vmstart.c vmstart/console.c vmstart/local.c vmstart/local-root.c vmstart/qids.c
SRC_vm-init = vmstart/vm-init.c
SRC_startd = vmstart/startd.c vmstart/startd-jobs.c vmstart/startd-req.c vmstart/qids.c
SRC_qvm-start = vmstart/qvm-start.c vmstart/qvm.c
SRC_qvm-shutdown = vmstart/qvm-shutdown.c vmstart/qvm.c
SRC_qvm-kill = vmstart/qvm-kill.c vmstart/qvm.c
SRC_qvm-ls = vmstart/qvm-ls.c vmstart/qvm.c
#MANPAGES += vmstart/startd.8 vmstart/vmstart.8 vmstart/qvm-start.1 vmstart/qvm-shutdown.1 vmstart/qvm-kill.1 \
#	vmstart/qvm-ls.1
