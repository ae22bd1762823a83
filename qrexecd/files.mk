# SPDX-License-Identifier: ISC
# The daemon of each qube: routes its calls.
PROGS += qrexecd
LINKS += $(PREFIX)/sbin/qrexec-daemon:qrexecd
SRC_qrexecd = $(addprefix qrexecd/,qrexecd.c setup.c agent.c clients.c peer.c route.c route-hand.c dispose.c trigger.c ports.c \
	answer.c helper.c door.c runner.c)
MANPAGES += qrexecd/qrexecd.8
