# SPDX-License-Identifier: ISC
# The prompt, in the person's session.
HOST_PROGS += qrexec-ask
USER_PROGS += qrexec-ask
SRC_qrexec-ask = ask/qrexec-ask.c ask/qrexec-ask-json.c ask/qrexec-ask-x.c
LIBS_qrexec-ask = -lX11
MANPAGES += ask/qrexec-ask.1
