# SPDX-License-Identifier: ISC
# The policy engine: files in, decisions out. Linked by policyd and qrexec-policy.
ENGINE_SRC = engine/engine.c engine/engine-ask.c engine/engine-match.c engine/engine-mem.c engine/parse.c \
	engine/parse-line.c engine/sysinfo.c
MANPAGES += engine/policy.5
