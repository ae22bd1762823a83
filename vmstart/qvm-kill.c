/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define KILL_MS 60000

static const char help[] = "usage: qvm-kill NAME...\nEnds qubes at once, without asking them.\n";

static bool
kill_one(struct qube *q)
{
	if (is_dom0(q->conf.name) || !qube_runs(q)) {
		fprintf(stderr, "%s: not running\n", q->conf.name);
		return false;
	}
	return qvm_ask(q->conf.name, "op=kill\n", KILL_MS);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"verbose", no_argument, NULL, 'v'},
	    {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct qube *q, **list;
	size_t n, m = 0;
	int c;

	while ((c = getopt_long(argc, argv, "hvq", longs, NULL)) != -1) {
		if (c == 'h')
			qvm_help(help);
		if (c == '?')
			return 2;
	}
	if (optind == argc) {
		fputs(help, stderr);
		return 2;
	}
	q = qubes_all(&n);
	list = calloc((size_t)argc, sizeof *list);
	if (!list)
		return 1;
	for (; optind < argc; optind++)
		if ((list[m++] = qube_named(q, n, argv[optind])) == NULL)
			return 1;
	return qvm_each(list, m, kill_one) > 0;
}
