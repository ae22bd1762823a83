# SPDX-License-Identifier: ISC

# policyd
PROGS += policyd
SRC_policyd = policy/policyd.c policy/policyd-req.c policy/policyd-sys.c policy/policyd-decide.c policy/policyd-ask.c \
	policy/ticket.c policy/audit.c policy/sysinfo-house.c $(ENGINE_SRC)
MANPAGES += policy/policyd.8

# The engine (policyd, qrexec-policy), and the command
ENGINE_SRC = policy/engine.c policy/engine-ask.c policy/engine-match.c policy/engine-mem.c policy/parse.c \
	policy/parse-line.c policy/sysinfo.c
SYSREAD_SRC = policy/sysinfo-house.c policy/sysinfo-json.c
PROGS += qrexec-policy
USER_PROGS += qrexec-policy
SRC_qrexec-policy = policy/qrexec-policy.c policy/qrexec-policy-explain.c policy/qrexec-policy-lint.c \
	policy/qrexec-policy-graph.c policy/qrexec-policy-exec.c $(ENGINE_SRC) $(SYSREAD_SRC)
LINKS += $(BINDIR)/qrexec-policy-exec:qrexec-policy $(BINDIR)/qubes-policy-lint:qrexec-policy \
	$(BINDIR)/qrexec-policy-graph:qrexec-policy
MANPAGES += policy/qrexec-policy.1 policy/policy.5
INSTALL_FILES += $(foreach f,$(wildcard policy/default/*.policy policy/default/include/*),$(f):/etc/qubes/policy.d/$(f:policy/default/%=%)) \
	policy/default/legacy-about:/etc/qubes-rpc/policy/.about

# The prompt, in the person's session
HOST_PROGS += qrexec-ask
USER_PROGS += qrexec-ask
SRC_qrexec-ask = policy/qrexec-ask.c policy/qrexec-ask-json.c policy/qrexec-ask-x.c
LIBS_qrexec-ask = -lX11
MANPAGES += policy/qrexec-ask.1
