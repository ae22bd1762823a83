# SPDX-License-Identifier: ISC
# The commands that manage qubes: one program, and a link for each (qvm-main.c has the same list).
QVM_TOOLS = qubes-prefs qvm-check qvm-clone qvm-create qvm-features qvm-kill qvm-ls qvm-pause qvm-prefs qvm-remove \
	qvm-service qvm-shutdown qvm-start qvm-tags qvm-template-update qvm-template-import qvm-unpause qvm-volume
PROGS += qvm
USER_PROGS += qvm
LINKS += $(QVM_TOOLS:%=$(BINDIR)/%:qvm)
SRC_qvm = $(addprefix qvm/,qvm-main.c qvm.c qvm-make.c qvm-refs.c qvm-ls-fields.c) \
	$(filter $(wildcard qvm/*.c),$(QVM_TOOLS:%=qvm/%.c)) startd/qids.c $(STORAGE_SRC)
MANPAGES += qvm/qvm.1 $(QVM_TOOLS:%=qvm/%.1)
COMPLETIONS = $(PREFIX)/share/bash-completion/completions
INSTALL_FILES += qvm/completion.bash:$(COMPLETIONS)/qvm qvm/completion.zsh:$(PREFIX)/share/zsh/site-functions/_qvm
LINKS += $(QVM_TOOLS:%=$(COMPLETIONS)/%:$(COMPLETIONS)/qvm)
