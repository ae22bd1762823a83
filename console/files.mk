# SPDX-License-Identifier: ISC
# The console process, vmstart's only child, and who attaches to it.
CONSOLE_SRC = console/console.c $(CONSOLE_SRC_$(BACKEND))
CONSOLE_SRC_local = console/source-local.c
CONSOLE_SRC_xen = console/source-xen.c console/console-ring.c
PROGS += qvm-console
USER_PROGS += qvm-console
SRC_qvm-console = console/qvm-console.c console/term-filter.c
MANPAGES += console/qvm-console.1
