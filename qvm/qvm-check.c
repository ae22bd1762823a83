/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

static const char help[] =
    "usage: qvm-check [--running] [--paused] [--template] [--networked] [--all [--exclude NAME]] "
    "NAME...\n"
    "Whether qubes are there, or run, are paused, are templates, have a netvm.\n"
    "Exit: 0 all of them, 1 none, or one that is not there, 3 some, 2 usage.\n";

static bool
exists(const struct qube *q)
{
	(void)q;
	return true;
}

static bool
is_paused(const struct qube *q)
{
	return strcmp(q->state, "Paused") == 0;
}

static bool
is_template(const struct qube *q)
{
	return strcmp(q->conf.type, "TemplateVM") == 0;
}

static bool
is_networked(const struct qube *q)
{
	return q->conf.netvm[0] != '\0' || q->conf.provides_network;
}

static const struct filter {
	char option;
	bool (*fn)(const struct qube *q);
	const char *word;
} filters[] = {{'\0', exists, "exists"}, {'R', qube_runs, "is running"},
    {'P', is_paused, "is paused"}, {'T', is_template, "is a template"},
    {'N', is_networked, "is networked"}};
#define NFILTERS (sizeof filters / sizeof *filters)

int
qvm_check(int argc, char **argv)
{
	static const struct option longs[] = {{"running", no_argument, NULL, 'R'},
	    {"paused", no_argument, NULL, 'P'}, {"template", no_argument, NULL, 'T'},
	    {"networked", no_argument, NULL, 'N'}, PICK_OPTIONS};
	const struct filter *f = &filters[0];
	struct pick p = {0};
	struct qube **list, *q;
	size_t n, total, yes = 0;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1) {
		for (size_t i = 1; i < NFILTERS; i++)
			if (filters[i].option == c)
				f = &filters[i];
		pick_option(&p, c, optarg, help);
	}
	q = pick_qubes(&p, argv + optind, false, &total);
	list = pick_list(&p, argv + optind, PICK_ALL, q, total, &n);
	if (list == NULL)
		return 1;
	for (size_t i = 0; i < n; i++) {
		if (!f->fn(list[i]))
			continue;
		yes++;
		if (!quiet)
			say("%s: %s", list[i]->conf.name, f->word);
	}
	return yes == n && n > 0 ? 0 : yes == 0 ? 1 : 3;
}
