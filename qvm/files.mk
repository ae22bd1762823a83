# SPDX-License-Identifier: ISC
# The commands that manage qubes: one program, and a link for each (qvm-main.c has the same list).
QVM_TOOLS = qvm-kill qvm-ls qvm-shutdown qvm-start
PROGS += qvm
USER_PROGS += qvm
LINKS += $(QVM_TOOLS:%=$(BINDIR)/%:qvm)
SRC_qvm = qvm/qvm-main.c qvm/qvm.c $(filter $(wildcard qvm/*.c),$(QVM_TOOLS:%=qvm/%.c))
MANPAGES += $(QVM_TOOLS:%=qvm/%.1)
