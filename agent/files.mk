# SPDX-License-Identifier: ISC
# What runs inside a minimal qube. LIBDIR/agent-rpc holds the services that vmstart gives to each.
PROGS += qrexec-agent qrexec-client-vm vm-exec updates-forward
USER_PROGS += qrexec-client-vm
SRC_qrexec-agent = agent/qrexec-agent.c agent/exec.c $(RPC_SRC)
SRC_qrexec-client-vm = agent/qrexec-client-vm.c $(RPC_SRC)
SRC_vm-exec = agent/vm-exec.c
SRC_updates-forward = agent/updates-forward.c libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
LINKS += $(LIBDIR)/qrexec-client-vm:qrexec-client-vm $(LIBDIR)/agent-rpc/qubes.VMExec:vm-exec \
	$(LIBDIR)/agent-rpc/qubes.UpdatesProxy:/dev/tcp/127.0.0.1/8082
INSTALL_FILES += agent/rpc/qubes.WaitForSession:$(LIBDIR)/agent-rpc/qubes.WaitForSession:755 \
	agent/rpc/qubes.VMShell:$(LIBDIR)/agent-rpc/qubes.VMShell:755 \
	agent/rpc-config/qubes.UpdatesProxy:$(LIBDIR)/agent-rpc-config/qubes.UpdatesProxy
MANPAGES += agent/qrexec-agent.8 agent/qrexec-client-vm.1 agent/updates-forward.8
ifeq ($(BACKEND),xen)
PROGS += qube-init
SRC_qube-init = agent/qube-init.c agent/qube-root.c agent/programs.c
MANPAGES += agent/qube-init.8
endif
