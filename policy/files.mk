# SPDX-License-Identifier: ISC
# policyd, the prompt in the person's session, and the policy that is shipped.
PROGS += policyd
SRC_policyd = policy/policyd.c policy/policyd-req.c policy/policyd-sys.c policy/policyd-decide.c policy/policyd-ask.c \
	policy/ticket.c policy/audit.c engine/sysinfo-house.c $(ENGINE_SRC)
MANPAGES += policy/policyd.8

HOST_PROGS += qrexec-ask
USER_PROGS += qrexec-ask
SRC_qrexec-ask = policy/qrexec-ask.c policy/qrexec-ask-json.c policy/qrexec-ask-x.c
LIBS_qrexec-ask = -lX11
MANPAGES += policy/qrexec-ask.1

INSTALL_FILES += $(foreach f,$(wildcard policy/default/*.policy policy/default/include/*),$(f):/etc/qubes/policy.d/$(f:policy/default/%=%)) \
	policy/default/legacy-about:/etc/qubes-rpc/policy/.about
