/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "qvm.h"

#define KILL_MS 60000

static const char help[] = "usage: qvm-kill [--all [--exclude NAME]] NAME...\nEnds qubes at once, "
			   "without asking them.\nExit: 0, 1 failed, 2 usage.\n";

static bool
kill_one(struct qube *q)
{
	if (is_dom0(q->conf.name))
		return say("dom0: cannot be killed");
	if (!qube_runs(q))
		return say("%s: not running", q->conf.name);
	return qvm_ask(q->conf.name, "op=kill\n", KILL_MS);
}

int
qvm_kill(int argc, char **argv)
{
	static const struct option longs[] = {PICK_OPTIONS};
	struct pick p = {0};
	struct qube **list, *q;
	size_t n, total;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1)
		pick_option(&p, c, optarg, help);
	q = pick_qubes(&p, argv + optind, false, &total);
	list = pick_list(&p, argv + optind, PICK_RUNNING, q, total, &n);
	return list == NULL || (n > 0 && qvm_each(list, n, kill_one) > 0);
}
