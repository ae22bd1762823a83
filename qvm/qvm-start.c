/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define START_MS 3600000 /* the limits are startd's and the qube's own */

static const char help[] =
    "usage: qvm-start [--skip-if-running] [--all [--exclude NAME]] NAME...\n"
    "  --cdrom, --hddisk, --drive BACKEND:DEVICE   not served yet\n"
    "Starts qubes; returns when they answer. Exit: 0, 1 failed or already running.\n";
static bool skip;

static bool
start(struct qube *q)
{
	if (is_dom0(q->conf.name))
		return skip || say("dom0: always runs");
	if (!q->known)
		return false; /* why has been said */
	if (strcmp(q->state, "Running") == 0 || strcmp(q->state, "Paused") == 0) {
		return skip ||
		       say("%s: already %s", q->conf.name,
			   q->state[0] == 'P' ? "running, but paused (qvm-unpause)" : "running");
	}
	return qvm_ask(q->conf.name, "op=start\n", START_MS);
}

int
qvm_start(int argc, char **argv)
{
	static const struct option longs[] = {{"skip-if-running", no_argument, NULL, 's'},
	    {"cdrom", required_argument, NULL, 'd'}, {"hddisk", required_argument, NULL, 'd'},
	    {"drive", required_argument, NULL, 'd'}, PICK_OPTIONS};
	struct pick p = {0};
	struct qube **list, *q;
	size_t n, total;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1) {
		skip = skip || c == 's';
		if (c == 'd')
			return !say("drives are not served yet");
		pick_option(&p, c, optarg, help);
	}
	q = pick_qubes(&p, argv + optind, false, &total);
	list = pick_list(&p, argv + optind, PICK_HALTED, q, total, &n);
	return list == NULL || (n > 0 && qvm_each(list, n, start) > 0);
}
