/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define START_MS 3600000 /* the limits are startd's and the qube's own */

static const char help[] =
    "usage: qvm-start [--skip-if-running] [--all [--exclude NAME]] NAME...\n"
    "Starts qubes; returns when they answer. Exit: 0, 1 failed or already running.\n";
static bool skip;

static bool
start(struct qube *q)
{
	if (is_dom0(q->conf.name)) {
		fprintf(stderr, "dom0: always runs\n");
		return false;
	}
	if (!q->known)
		return false; /* why has been said */
	if (strcmp(q->state, "Running") == 0 || strcmp(q->state, "Paused") == 0) {
		if (!skip)
			fprintf(stderr, "%s: already running\n", q->conf.name);
		return skip;
	}
	return qvm_ask(q->conf.name, "op=start\n", START_MS);
}

int
qvm_start(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"skip-if-running", no_argument, NULL, 's'}, PICK_OPTIONS, {0}};
	struct pick p = {0};
	struct qube **list;
	size_t n;
	int c;

	while ((c = getopt_long(argc, argv, "hvq", longs, NULL)) != -1) {
		skip = skip || c == 's';
		if (!pick_option(&p, c, optarg, help))
			return 2;
	}
	list = pick_list(&p, argv + optind, false, help, &n);
	if (!list)
		return n ? 2 : 1;
	return n > 0 && qvm_each(list, n, start) > 0;
}
