# SPDX-License-Identifier: ISC
# startd, who may start and stop qubes, and the commands that ask it.
PROGS += startd qvm-start qvm-shutdown qvm-kill qvm-ls
USER_PROGS += qvm-start qvm-shutdown qvm-kill qvm-ls
SRC_startd = startd/startd.c startd/startd-jobs.c startd/startd-s6.c startd/startd-place.c startd/startd-prepare.c startd/startd-late.c startd/startd-store.c startd/startd-req.c startd/qids.c
SRC_qvm-start = startd/qvm-start.c startd/qvm.c
SRC_qvm-shutdown = startd/qvm-shutdown.c startd/qvm.c
SRC_qvm-kill = startd/qvm-kill.c startd/qvm.c
SRC_qvm-ls = startd/qvm-ls.c startd/qvm.c
MANPAGES += startd/startd.8 startd/qvm-start.1 startd/qvm-shutdown.1 startd/qvm-kill.1 startd/qvm-ls.1
