/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "qvm.h"

#define PAUSE_MS 60000

static const char help[] =
    "usage: qvm-pause [-S] [--all [--exclude NAME]] NAME...\n"
    "Stops the processors of qubes: nothing runs in them until qvm-unpause.\n"
    "  -S, --suspend   the same: no qube is put to sleep yet\n"
    "Exit: 0, 1 failed, 2 usage.\n";
static const char help_unpause[] = "usage: qvm-unpause [--all [--exclude NAME]] NAME...\n"
				   "Lets paused qubes run again.\n"
				   "Exit: 0, 1 failed, 2 usage.\n";

static bool
pause_one(struct qube *q)
{
	if (is_dom0(q->conf.name))
		return say("dom0: cannot be paused");
	if (!qube_runs(q))
		return say("%s: not running (qvm-start %s)", q->conf.name, q->conf.name);
	return qvm_ask(q->conf.name, "op=pause\n", PAUSE_MS);
}

static bool
unpause_one(struct qube *q)
{
	if (is_dom0(q->conf.name) || !qube_runs(q))
		return say("%s: not paused", q->conf.name);
	return qvm_ask(q->conf.name, "op=unpause\n", PAUSE_MS);
}

static int
each(int argc, char **argv, const char *text, bool (*fn)(struct qube *))
{
	static const struct option longs[] = {{"suspend", no_argument, NULL, 'S'}, PICK_OPTIONS};
	struct pick p = {0};
	struct qube **list, *q;
	size_t n, total;
	int c;

	while ((c = getopt_long(argc, argv, "S" COMMON_SHORT, longs, NULL)) != -1)
		pick_option(&p, c, optarg, text);
	q = pick_qubes(&p, argv + optind, false, &total);
	list = pick_list(&p, argv + optind, PICK_RUNNING, q, total, &n);
	return list == NULL || (n > 0 && qvm_each(list, n, fn) > 0);
}

int
qvm_pause(int argc, char **argv)
{
	return each(argc, argv, help, pause_one);
}

int
qvm_unpause(int argc, char **argv)
{
	return each(argc, argv, help_unpause, unpause_one);
}
