# SPDX-License-Identifier: ISC
# policyd, and the policy that is shipped.
PROGS += policyd
SRC_policyd = policy/policyd.c policy/policyd-req.c policy/policyd-sys.c policy/policyd-decide.c policy/policyd-ask.c \
	policy/ticket.c policy/audit.c engine/sysinfo-house.c $(ENGINE_SRC)
MANPAGES += policy/policyd.8

INSTALL_FILES += $(foreach f,$(wildcard policy/default/*.policy policy/default/include/*),$(f):/etc/qubes/policy.d/$(f:policy/default/%=%)) \
	policy/default/legacy-about:/etc/qubes-rpc/policy/.about
