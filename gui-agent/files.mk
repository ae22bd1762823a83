# SPDX-License-Identifier: ISC
# In a minimal qube that has an X server: its windows, told to Dom0. Static, as guid is: a qube need not have X's libraries.
HOST_PROGS += gui-agent
SRC_gui-agent = $(addprefix gui-agent/,clip.c gui-agent.c input.c link.c pixels.c props.c pure.c server.c share.c tray.c window.c x.c) \
	display/no-names.c display/x.c display/x-open.c display/gui-link.c display/screen.c libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
LINK_gui-agent = -static-pie
LIBS_gui-agent = -lxcb-composite -lxcb-damage -lxcb-xtest -lxcb-xkb -lxcb-xfixes -lxcb-shm -lxcb-randr -lxcb-render -lxcb-shape -lxcb -lXau -lXdmcp
# What each pixel and each event goes through.
$(addprefix $(O)/hobj/gui-agent/,pixels.o window.o x.o): CFLAGS += -O2
# Its X server, when process 1 starts it.
INSTALL_FILES += gui-agent/start-x:$(LIBDIR)/start-x:755
MANPAGES += gui-agent/gui-agent.8
