# SPDX-License-Identifier: ISC
# What runs inside a minimal qube. LIBDIR/agent-rpc holds the services that vmstart gives to each.
PROGS += qrexec-agent qrexec-client-vm vm-exec
USER_PROGS += qrexec-client-vm
SRC_qrexec-agent = agent/qrexec-agent.c agent/exec.c $(RPC_SRC)
SRC_qrexec-client-vm = agent/qrexec-client-vm.c $(RPC_SRC)
SRC_vm-exec = agent/vm-exec.c
LINKS += $(LIBDIR)/qrexec-client-vm:qrexec-client-vm $(LIBDIR)/agent-rpc/qubes.VMExec:vm-exec
INSTALL_FILES += agent/rpc/qubes.WaitForSession:$(LIBDIR)/agent-rpc/qubes.WaitForSession:755 \
	agent/rpc/qubes.VMShell:$(LIBDIR)/agent-rpc/qubes.VMShell:755
MANPAGES += agent/qrexec-agent.8 agent/qrexec-client-vm.1
ifeq ($(BACKEND),xen)
PROGS += qube-init
SRC_qube-init = agent/qube-init.c agent/qube-root.c
MANPAGES += agent/qube-init.8
endif
