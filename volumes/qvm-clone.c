/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "qvm-make.h"
#include "vmedit.h"

static const char help[] =
    "usage: qvm-clone [OPTION]... QUBE NEW\n"
    "Makes a qube like another one: all that its file says, and copies of its volumes.\n"
    "  -C, --class CLASS   TemplateVM and StandaloneVM may become each other\n"
    "  --ignore-errors     taken, and without effect\n"
    "  -P, --pool POOL, -p VOLUME=POOL   there is one: file\n"
    "Exit: 0, 1 failed: nothing has changed; 2 usage.\n";

static bool
own_root(const char *class)
{
	return strcmp(class, "TemplateVM") == 0 || strcmp(class, "StandaloneVM") == 0;
}

/* What cannot be copied. */
static bool
may(const struct vmconf *c, const char *class)
{
	if (is_dom0(c->name))
		return say("dom0 cannot be copied");
	if (strcmp(c->type, "DispVM") == 0)
		return say("%s: a disposable: copy %s", c->name, c->template);
	if (strcmp(class, c->type) != 0 && !(own_root(class) && own_root(c->type)))
		return say("%s: a copy of a %s cannot be a %s%s", c->name, c->type, text_esc(class),
		    strcmp(class, "StandaloneVM") == 0 ? " (qvm-create --standalone)" : "");
	if (c->private[0] != '\0' || (own_root(c->type) && c->root[0] != '\0'))
		return say(
		    "%s: its file names a volume by its path; make the new one by qvm-create "
		    "with a copy of that",
		    c->name);
	/* the new one's file is root's, and believed */
	if (geteuid() == 0 && !c->trusted && (c->root[0] == '/' || c->kernel[0] == '/'))
		return say(
		    "%s: its file, which names a path, is not root's alone or has no line name = "
		    "%s: make the new one by qvm-create with the same properties",
		    c->name, c->name);
	return true;
}

static bool
write_text(int dir, const struct vmconf *c, const char *class, struct buf *text)
{
	/* what belongs to one qube alone */
	static const char *const alone[] = {"ip", "mac", "dispid", "volatile", "name", NULL};
	bool ok = buf_read_file(text, dir, c->name) || say("%s: cannot be read", c->name);

	for (const char *const *key = alone; ok && *key != NULL; key++)
		ok = make_line(text, *key, NULL);
	ok = ok && (strcmp(class, c->type) == 0 || make_line(text, "type", class));
	if (ok && own_root(class))
		ok = make_line(text, "template", NULL);
	if (ok && strcmp(class, "TemplateVM") == 0 && strcmp(c->type, class) != 0)
		ok = make_line(text, "netvm", NULL);
	return ok && make_uuid(text);
}

int
qvm_clone(int argc, char **argv)
{
	static const struct option longs[] = {{"class", required_argument, NULL, 'C'},
	    {"ignore-errors", no_argument, NULL, 'i'}, {"pool", required_argument, NULL, 'P'},
	    COMMON_LONG};
	struct buf text = {.max = TEXT_MAX};
	struct qube q;
	const struct source from = {.clone = &q.conf};
	const char *class = NULL;
	int c, dir, rc = 1;

	while ((c = getopt_long(argc, argv, "C:P:p:" COMMON_SHORT, longs, NULL)) != -1) {
		if (c == 'C')
			class = optarg;
		if (c == 'P' || c == 'p')
			make_pool(optarg);
		common(c, help);
	}
	if (argc - optind != 2)
		usage("the names of a qube and of the new one");
	if (!qube_load(argv[optind], &q))
		return 1;
	dir = vm_dir();
	class = class != NULL ? class : q.conf.type;
	if (may(&q.conf, class) && make_name(dir, argv[optind + 1]) &&
	    write_text(dir, &q.conf, class, &text))
		rc = make_qube(dir, argv[optind + 1], &text, &from);
	buf_free(&text);
	return rc;
}
