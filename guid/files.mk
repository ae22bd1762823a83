# SPDX-License-Identifier: ISC
# The windows of a qube, on a person's display. Against glibc, since X's libraries are, but static: none of them is in Dom0.
HOST_PROGS += guid
SRC_guid = $(addprefix guid/,agent.c clip.c guid.c hints.c input.c options.c override.c pixels.c setup.c tray.c window.c x-start.c x.c) \
	display/no-names.c display/x.c display/x-open.c display/gui-link.c display/x-door.c icons/tint.c rpc/control.c $(if $(filter local,$(BACKEND)),lib/grant.c) local/grant-file.c
LINK_guid = -static-pie
LIBS_guid = -lxcb-shm -lxcb -lXau -lXdmcp
# What each message and each pixel goes through.
$(addprefix $(O)/hobj/guid/,agent.o pixels.o window.o): CFLAGS += -O2
LINKS += $(PREFIX)/bin/qubes-guid:guid
MANPAGES += guid/guid.8
