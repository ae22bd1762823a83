# SPDX-License-Identifier: ISC
# The commands that manage qubes: one program, and a link for each (qvm-main.c has the same list).
QVM_TOOLS = qubes-prefs qvm-check qvm-features qvm-kill qvm-ls qvm-pause qvm-prefs qvm-service qvm-shutdown qvm-start \
	qvm-tags qvm-template-update qvm-unpause
PROGS += qvm
USER_PROGS += qvm
LINKS += $(patsubst %,$(BINDIR)/%:qvm,$(QVM_TOOLS) $(VOLUME_TOOLS))
SRC_qvm = $(addprefix qvm/,qvm-main.c qvm.c qvm-refs.c qvm-ls-fields.c) \
	$(filter $(wildcard qvm/*.c),$(QVM_TOOLS:%=qvm/%.c)) $(VOLUME_TOOLS_SRC) $(STORAGE_SRC)
MANPAGES += qvm/qvm.1 $(QVM_TOOLS:%=qvm/%.1)
COMPLETIONS = $(PREFIX)/share/bash-completion/completions
INSTALL_FILES += qvm/completion.bash:$(COMPLETIONS)/qvm qvm/completion.zsh:$(PREFIX)/share/zsh/site-functions/_qvm
LINKS += $(patsubst %,$(COMPLETIONS)/%:$(COMPLETIONS)/qvm,$(QVM_TOOLS) $(VOLUME_TOOLS))
