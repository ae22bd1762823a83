# SPDX-License-Identifier: ISC

# Dom0's commands, and the one that runs Dom0's own services.
PROGS += qrexec-client qvm-run qrexec-dom0
USER_PROGS += qrexec-client qvm-run
LINKS += $(LIBDIR)/qrexec-client:qrexec-client
SRC_qrexec-client = qrexecd/qrexec-client.c qrexecd/call.c qrexecd/qrexec-dom0-svc.c $(RPC_SRC)
SRC_qvm-run = qrexecd/qvm-run.c qrexecd/qvm-run-opts.c qrexecd/qvm-run-vm.c qrexecd/call.c \
	qrexecd/qrexec-dom0-svc.c $(RPC_SRC)
SRC_qrexec-dom0 = qrexecd/qrexec-dom0.c qrexecd/qrexec-dom0-child.c qrexecd/qrexec-dom0-svc.c qrexecd/call.c $(RPC_SRC)
MANPAGES += qrexecd/qrexec-client.1 qrexecd/qvm-run.1 qrexecd/qrexec-dom0.8

# The daemon of each qube.
PROGS += qrexecd
LINKS += $(PREFIX)/sbin/qrexec-daemon:qrexecd
SRC_qrexecd = $(addprefix qrexecd/,qrexecd.c setup.c agent.c clients.c peer.c route.c trigger.c ports.c \
	answer.c helper.c door.c runner.c)
MANPAGES += qrexecd/qrexecd.8
