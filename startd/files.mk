# SPDX-License-Identifier: ISC
# startd, who may start and stop qubes.
PROGS += startd
SRC_startd = startd/startd.c startd/startd-jobs.c startd/startd-s6.c startd/startd-place.c startd/startd-prepare.c startd/startd-late.c startd/startd-store.c startd/startd-req.c startd/qids.c
MANPAGES += startd/startd.8
