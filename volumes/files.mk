# SPDX-License-Identifier: ISC
# The commands that make, copy, change and remove qubes' volumes; part of the program qvm (qvm/files.mk).
VOLUME_TOOLS = qvm-clone qvm-create qvm-remove qvm-template-import qvm-volume
VOLUME_TOOLS_SRC = volumes/qvm-make.c $(VOLUME_TOOLS:%=volumes/%.c)
MANPAGES += $(VOLUME_TOOLS:%=volumes/%.1)
