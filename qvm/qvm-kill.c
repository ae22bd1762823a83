/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define KILL_MS 60000

static const char help[] =
    "usage: qvm-kill [--all [--exclude NAME]] NAME...\nEnds qubes at once, without asking them.\n";

static bool
kill_one(struct qube *q)
{
	if (is_dom0(q->conf.name) || !qube_runs(q)) {
		fprintf(stderr,
		    is_dom0(q->conf.name) ? "%s: cannot be killed\n" : "%s: not running\n",
		    q->conf.name);
		return false;
	}
	return qvm_ask(q->conf.name, "op=kill\n", KILL_MS);
}

int
qvm_kill(int argc, char **argv)
{
	static const struct option longs[] = {PICK_OPTIONS, {0}};
	struct pick p = {0};
	struct qube **list;
	size_t n;
	int c;

	while ((c = getopt_long(argc, argv, "hvq", longs, NULL)) != -1)
		if (!pick_option(&p, c, optarg, help))
			return 2;
	list = pick_list(&p, argv + optind, true, help, &n);
	if (!list)
		return n ? 2 : 1;
	return n > 0 && qvm_each(list, n, kill_one) > 0;
}
