# SPDX-License-Identifier: ISC
# Dom0's end of calls: the commands, and the daemon that runs Dom0's own services.
PROGS += qrexec-client qvm-run qrexec-dom0
USER_PROGS += qrexec-client qvm-run
LINKS += $(LIBDIR)/qrexec-client:qrexec-client
SRC_qrexec-client = dom0/qrexec-client.c dom0/call.c dom0/qrexec-dom0-svc.c $(RPC_SRC)
SRC_qvm-run = dom0/qvm-run.c dom0/qvm-run-opts.c dom0/qvm-run-vm.c dom0/call.c dom0/qrexec-dom0-svc.c $(RPC_SRC)
SRC_qrexec-dom0 = dom0/qrexec-dom0.c dom0/qrexec-dom0-child.c dom0/qrexec-dom0-svc.c dom0/call.c $(RPC_SRC)
MANPAGES += dom0/qrexec-client.1 dom0/qvm-run.1 dom0/qrexec-dom0.8
