# SPDX-License-Identifier: ISC
# What runs inside a minimal qube.
PROGS += qrexec-agent qrexec-client-vm
USER_PROGS += qrexec-client-vm
SRC_qrexec-agent = agent/qrexec-agent.c agent/exec.c $(RPC_SRC)
SRC_qrexec-client-vm = agent/qrexec-client-vm.c $(RPC_SRC)
LINKS += $(LIBDIR)/qrexec-client-vm:qrexec-client-vm
