# SPDX-License-Identifier: ISC
# Who offers a display to the guids, in the person's session. No library of X's: it only lets them in.
PROGS += qubes-display
USER_PROGS += qubes-display
SRC_qubes-display = display/qubes-display.c display/xauth.c
# Beside it, who tells the qubes of the monitors: static, as guid is.
HOST_PROGS += qubes-monitors
SRC_qubes-monitors = display/qubes-monitors.c display/no-names.c
LINK_qubes-monitors = -static-pie
LIBS_qubes-monitors = -lxcb-randr -lxcb -lXau -lXdmcp
# In a qube: what they are told.
HOST_PROGS += set-monitor-layout
SRC_set-monitor-layout = display/set-monitor-layout.c display/screen.c display/no-names.c
LINK_set-monitor-layout = -static-pie
LIBS_set-monitor-layout = -lxcb-randr -lxcb -lXau -lXdmcp
LINKS += $(LIBDIR)/agent-rpc/qubes.SetMonitorLayout:set-monitor-layout
MANPAGES += display/qubes-display.1
LINKS += $(if $(MANPAGES),$(MANDIR)/man1/qubes-monitors.1:$(MANDIR)/man1/qubes-display.1)
