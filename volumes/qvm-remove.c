/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm/qvm.h"
#include "storage/storage.h"
#include "vmedit.h"

static const char help[] =
    "usage: qvm-remove [-f] [--all [--exclude NAME]] NAME...\n"
    "Removes qubes: their files in /etc/qubes/vm.d, then their volumes.\n"
    "  -f, --force   without asking\n"
    "Refused for one that runs, and while others name it (template, netvm, ...).\n"
    "Exit: 0, 1 failed, not wanted, 2 usage.\n";

static bool
wanted(struct qube **list, size_t n)
{
	char answer[16] = "";

	printf("This removes, with all that is in them:\n");
	for (size_t i = 0; i < n; i++)
		printf("  %s\n", list[i]->conf.name);
	printf("Are you sure? [y/N] ");
	fflush(stdout);
	if (fgets(answer, sizeof answer, stdin) == NULL)
		putchar('\n');
	answer[strcspn(answer, "\n")] = '\0';
	return strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 || strcmp(answer, "yes") == 0;
}

static void
nobody(void *arg, const char *by, const char *key)
{
	(void)arg, (void)by, (void)key;
}

/* 0 done, 1 in use by others, -1 failed. quiet_use: who uses it is not said. */
static int
remove_one(int dir, const char *name, bool quiet_use)
{
	char arg[NAME_LEN_MAX + 1];
	struct vmconf_error e;
	const char *bad;
	struct qube q;

	snprintf(arg, sizeof arg, "%s", name);
	if (is_dom0(name))
		return say("dom0 cannot be removed"), -1;
	q.state[0] = '\0';
	if (!qube_load(name, &q) && q.state[0] == '\0')
		return -1;
	if (qube_runs(&q))
		return say("%s: runs (qvm-shutdown --wait %s, or qvm-kill %s)", name, name, name),
		       -1;
	if (!vmedit_remove_unused(dir, name, quiet_use ? nobody : ref_say, arg, &e)) {
		if (errno == EBUSY)
			return 1;
		return say_conf(&e), -1;
	}
	errno = 0;
	bad = storage_remove(name);
	if (bad == NULL)
		return 0;
	say("%s: removed, but for its volumes: %s%s%s; startd does that when it starts", name, bad,
	    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	return -1;
}

/* One after the other; those that others name stay in the list. How many failed. */
static int
pass(int dir, struct qube **list, size_t *n, bool quiet_use)
{
	size_t left = 0;
	int failed = 0, r;

	for (size_t i = 0; i < *n; i++) {
		r = remove_one(dir, list[i]->conf.name, quiet_use);
		failed += r < 0;
		if (r > 0)
			list[left++] = list[i];
	}
	*n = left;
	return failed;
}

/* A template may be listed before its AppVMs: as often as the list grows shorter. */
static int
remove_all(struct qube **list, size_t n)
{
	const int dir = vm_dir();
	int failed = 0;
	size_t before = n + 1;

	while (n > 0 && n < before) {
		before = n;
		failed += pass(dir, list, &n, true);
	}
	failed += pass(dir, list, &n, false);
	return failed + (int)n;
}

int
qvm_remove(int argc, char **argv)
{
	static const struct option longs[] = {{"force", no_argument, NULL, 'f'}, PICK_OPTIONS};
	struct pick p = {0};
	struct qube **list, *q;
	size_t n, total;
	bool force = false;
	int c;

	while ((c = getopt_long(argc, argv, "f" COMMON_SHORT, longs, NULL)) != -1) {
		force = force || c == 'f';
		pick_option(&p, c, optarg, help);
	}
	q = pick_qubes(&p, argv + optind, false, &total);
	list = pick_list(&p, argv + optind, PICK_ALL, q, total, &n);
	if (list == NULL)
		return 1;
	if (n == 0)
		return 0;
	if (!force && !wanted(list, n))
		return 1;
	return remove_all(list, n) > 0;
}
