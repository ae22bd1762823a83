# SPDX-License-Identifier: ISC
# startd, who may start and stop qubes.
PROGS += startd
SRC_startd = startd/startd.c startd/startd-jobs.c startd/startd-start.c startd/startd-stop.c startd/startd-net.c startd/startd-disp.c startd/startd-preload.c startd/startd-s6.c startd/startd-place.c startd/startd-prepare.c startd/startd-late.c startd/startd-store.c startd/startd-req.c
MANPAGES += startd/startd.8
