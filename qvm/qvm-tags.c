/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "qvm.h"
#include "vmedit.h"

static const char help[] = "usage: qvm-tags QUBE [list [TAG] | add TAG... | del TAG...]\n"
			   "Shows a qube's tags, one a line, or changes them.\n"
			   "Exit: 0, 1 failed or no such tag, 2 usage.\n";

static int
list(const struct vmconf *c, const char *only)
{
	bool found = only == NULL;

	for (size_t i = 0; i < c->ntags; i++) {
		if (only != NULL && strcmp(c->tags[i], only) != 0)
			continue;
		puts(c->tags[i]);
		found = true;
	}
	return found && fflush(stdout) == 0 ? 0 : 1;
}

static int
change(const char *name, char **tags, bool there)
{
	struct vmconf_error e;
	const int dir = vm_dir();

	for (; *tags != NULL; tags++)
		if (!vmedit_tag(dir, name, *tags, there, &e))
			return !say_conf(&e);
	return 0;
}

int
qvm_tags(int argc, char **argv)
{
	static const struct option longs[] = {COMMON_LONG};
	static const char *const lists[] = {"list", "ls", "l", NULL};
	static const char *const adds[] = {"add", "a", "set", NULL};
	static const char *const dels[] = {"del", "d", "unset", "u", NULL};
	struct qube q;
	const char *verb;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1)
		common(c, help);
	argv += optind;
	argc -= optind;
	if (argc == 0)
		usage("a qube's name is missing");
	verb = argc > 1 ? argv[1] : "list";
	if (!one_of(lists, verb) && !one_of(adds, verb) && !one_of(dels, verb))
		usage("%s: not list, add or del", text_esc(verb));
	if (one_of(lists, verb) ? argc > 3 : argc < 3)
		usage("%s: %s", verb, argc > 3 ? "one tag" : "which tag?");
	if (!qube_load(argv[0], &q))
		return 1;
	if (one_of(lists, verb))
		return list(&q.conf, argc == 3 ? argv[2] : NULL);
	return change(q.conf.name, argv + 2, one_of(adds, verb));
}
