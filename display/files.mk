# SPDX-License-Identifier: ISC
# Who offers a display to the guids, in the person's session. No library of X's: it only lets them in.
PROGS += qubes-display
USER_PROGS += qubes-display
SRC_qubes-display = display/qubes-display.c display/xauth.c
MANPAGES += display/qubes-display.1
