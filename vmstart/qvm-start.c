/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define START_MS 3600000 /* the limits are startd's and the qube's own */

static const char help[] = "usage: qvm-start [--skip-if-running] [--all [--exclude NAME]] NAME...\n"
			   "Starts qubes; returns when they answer. Exit: 0, 1 failed or already running.\n";
static bool skip;

static bool
start(struct qube *q)
{
	if (is_dom0(q->conf.name)) {
		fprintf(stderr, "dom0: is not started\n");
		return false;
	}
	if (strcmp(q->state, "Running") == 0 || strcmp(q->state, "Paused") == 0) {
		if (!skip)
			fprintf(stderr, "%s: already running\n", q->conf.name);
		return skip;
	}
	return qvm_ask(q->conf.name, "op=start\n", START_MS);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"skip-if-running", no_argument, NULL, 's'},
	    {"all", no_argument, NULL, 'a'}, {"exclude", required_argument, NULL, 'x'},
	    {"verbose", no_argument, NULL, 'v'}, {"quiet", no_argument, NULL, 'q'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	bool all = false;
	size_t n, m = 0;
	struct qube *q, **list;
	const char *exclude[64];
	size_t nexclude = 0;
	int c;

	while ((c = getopt_long(argc, argv, "hvq", longs, NULL)) != -1) {
		if (c == 'h')
			qvm_help(help);
		if (c == '?' || (c == 'x' && nexclude == 64))
			return 2;
		skip = skip || c == 's';
		all = all || c == 'a';
		if (c == 'x')
			exclude[nexclude++] = optarg;
	}
	if (all == (optind < argc) || (nexclude && !all)) {
		fputs(help, stderr);
		return 2;
	}
	q = qubes_all(&n);
	list = calloc(n + (size_t)argc, sizeof *list);
	if (!list)
		return 1;
	for (; optind < argc; optind++)
		if ((list[m++] = qube_named(q, n, argv[optind])) == NULL)
			return 1;
	for (size_t i = 0; all && i < n; i++) {
		bool out = is_dom0(q[i].conf.name) || strcmp(q[i].conf.type, "RemoteVM") == 0 || qube_runs(&q[i]);

		for (size_t j = 0; j < nexclude; j++)
			out = out || strcmp(exclude[j], q[i].conf.name) == 0;
		if (!out)
			list[m++] = &q[i];
	}
	return m > 0 && qvm_each(list, m, start) > 0;
}
