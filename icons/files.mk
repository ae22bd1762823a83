# SPDX-License-Identifier: ISC
# What stands for a qube's windows in a task bar. Against glibc, as guid.
HOST_PROGS += qubes.WindowIconUpdater
SRC_qubes.WindowIconUpdater = icons/window-icons.c icons/icon.c icons/tint.c display/x-door.c
LINK_qubes.WindowIconUpdater = -static-pie
LIBS_qubes.WindowIconUpdater = -lxcb -lXau -lXdmcp
LINKS += /etc/qubes-rpc/qubes.WindowIconUpdater:qubes.WindowIconUpdater
INSTALL_FILES += services/as-root:/etc/qubes/rpc-config/qubes.WindowIconUpdater
