# SPDX-License-Identifier: ISC
# The engine as a command.
PROGS += qrexec-policy
USER_PROGS += qrexec-policy
SRC_qrexec-policy = $(addprefix qpolicy/,qrexec-policy.c qrexec-policy-explain.c qrexec-policy-lint.c \
	qrexec-policy-graph.c qrexec-policy-exec.c sysinfo-json.c) engine/sysinfo-house.c $(ENGINE_SRC)
LINKS += $(BINDIR)/qrexec-policy-exec:qrexec-policy $(BINDIR)/qubes-policy-lint:qrexec-policy \
	$(BINDIR)/qrexec-policy-graph:qrexec-policy
MANPAGES += qpolicy/qrexec-policy.1
