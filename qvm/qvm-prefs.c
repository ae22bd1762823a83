/* SPDX-License-Identifier: ISC */
/* qvm-prefs and qubes-prefs: the lines of a file of vm.d, and what follows from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qvm.h"
#include "vmedit.h"
#include "vmprops.h"

#define ROWS 96

static const char help_qube[] =
    "usage: qvm-prefs [OPTION]... QUBE [PROPERTY [VALUE]]\n"
    "Shows a qube's properties, or one of them, or sets it.\n"
    "  -D, --default, --unset   take its line away: what is inherited counts again\n"
    "  --hide-default           show only what is set\n"
    "  --help-properties        name them all\n"
    "Exit: 0, 1 failed, 2 usage or no such property.\n";
static const char help_machine[] =
    "usage: qubes-prefs [OPTION]... [PROPERTY [VALUE]]\n"
    "Shows the properties of the machine, or one of them, or sets it.\n"
    "  -D, --default, --unset   take its line away: what is built in counts again\n"
    "  --hide-default           show only what is set\n"
    "  --help-properties        name them all\n"
    "Exit: 0, 1 failed, 2 usage or no such property.\n";

/* One property: of conf/vmprops.h, or a key of vm.d that has no other name there. */
struct row {
	const char *name, *type, *key;
	bool is_default;
	char value[KEY_TEXT > PROP_TEXT ? KEY_TEXT : PROP_TEXT];
};

static struct {
	struct view v;
	bool machine, unset, hide;
	int dir;
	struct row row[ROWS];
	size_t n;
} o;

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static bool
has_key(const char *key)
{
	for (size_t i = 0; i < o.n; i++)
		if (o.row[i].key != NULL && strcmp(o.row[i].key, key) == 0)
			return true;
	return false;
}

static bool
shown_key(const struct key *k)
{
	static const char *const elsewhere[] = {"tags", "type", NULL};

	return !one_of(elsewhere, k->name) && !has_key(k->name) &&
	       (o.machine ? k->flags & GLOBAL : !(k->flags & ONLY));
}

static void
rows(void)
{
	struct row *r;

	for (const struct prop *p = prop_next(&o.v, NULL); p != NULL && o.n < ROWS;
	     p = prop_next(&o.v, p)) {
		r = &o.row[o.n++];
		r->name = prop_name(p);
		r->type = prop_type(p);
		r->key = prop_key(p);
		r->is_default = r->key == NULL || prop_is_default(p, &o.v);
		prop_value(p, &o.v, r->value);
		if (strcmp(r->type, "vm") == 0 && r->value[0] == '\0')
			snprintf(r->value, sizeof r->value, "None");
	}
	for (const struct key *k = key_next(NULL); k != NULL && o.n < ROWS; k = key_next(k)) {
		if (!shown_key(k))
			continue;
		r = &o.row[o.n++];
		r->name = r->key = k->name;
		r->type = key_type(k);
		r->is_default = o.v.seen.line[key_number(k)] == 0;
		key_print(&o.v.conf, k, r->value);
		if (strcmp(r->type, "vm") == 0 && r->value[0] == '\0')
			snprintf(r->value, sizeof r->value, "None");
	}
	qsort(o.row, o.n, sizeof o.row[0], by_name);
}

static const struct row *
row_named(const char *name)
{
	struct vmconf_error e;
	const char *why;

	for (size_t i = 0; i < o.n; i++)
		if (strcmp(o.row[i].name, name) == 0)
			return &o.row[i];
	if (strcmp(name, "tags") == 0)
		usage("tags are changed by qvm-tags");
	why = vmconf_key_wrong(name, &e);
	if (why != NULL && strchr(why, '(') != NULL)
		usage("no such property: %s %s", text_esc(name), strchr(why, '('));
	usage("no such property of %s: %s", o.machine ? "the machine" : o.v.conf.name,
	    text_esc(name));
}

static int
list(void)
{
	int width = 0;

	for (size_t i = 0; i < o.n; i++)
		if ((int)strlen(o.row[i].name) > width)
			width = (int)strlen(o.row[i].name);
	for (size_t i = 0; i < o.n; i++)
		if (!o.hide || !o.row[i].is_default)
			printf("%-*s  %c  %s\n", width, o.row[i].name,
			    o.row[i].is_default ? 'D' : '-', o.row[i].value);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* What others rely on, or what does not go while it runs. */
static bool
may(const char *key, const char *val)
{
	const char *name = o.v.conf.name;
	const bool gone = val == NULL || !vmconf_true(val);

	if (strcmp(key, "template") == 0 && o.v.runs)
		return say("%s: runs: its template can be changed when it does not", name);
	if (gone && strcmp(key, "provides_network") == 0)
		return ref_free(o.dir, name, "netvm");
	if (gone && strcmp(key, "template_for_dispvms") == 0)
		return ref_free(o.dir, name, "template") &&
		       ref_free(o.dir, name, "default_dispvm") &&
		       ref_free(o.dir, name, "management_dispvm");
	return val == NULL || ref_fits(o.dir, o.v.conf.type, key, val);
}

static int
set(const struct row *r, const char *given)
{
	struct vmconf_error e;
	const char *val = given != NULL ? value_of(r->type, given) : NULL;

	if (r->key == NULL) {
		say("%s: cannot be set", r->name);
		return 1;
	}
	if (!may(r->key, val))
		return 1;
	if (vmedit_set(o.dir, o.v.conf.name, r->key, val, &e))
		return 0;
	say_conf(&e);
	return 1;
}

static int
help_properties(void)
{
	for (size_t i = 0; i < o.n; i++)
		printf("%-22s %s%s\n", o.row[i].name, o.row[i].type,
		    o.row[i].key == NULL ? ", cannot be set" : "");
	return 0;
}

static int
run(char **args, bool properties)
{
	const char *name = o.machine ? "defaults" : *args++;
	const int run_dir = state_dir();
	struct vmconf_error e;
	const struct row *r;

	o.dir = vm_dir();
	if (!o.machine && !qube_exists(name))
		return 1;
	if (!view_load(o.dir, run_dir, is_dom0(name) ? "dom0" : name, &o.v, &e)) {
		say_conf(&e);
		return 1;
	}
	rows();
	if (properties)
		return help_properties();
	if (args[0] == NULL)
		return list();
	r = row_named(args[0]);
	if (o.unset || args[1] != NULL)
		return set(r, o.unset ? NULL : args[1]);
	puts(r->value);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int
prefs(int argc, char **argv, bool machine)
{
	static const struct option longs[] = {{"default", no_argument, NULL, 'D'},
	    {"unset", no_argument, NULL, 'D'}, {"delete", no_argument, NULL, 'D'},
	    {"get", no_argument, NULL, 'g'}, {"set", no_argument, NULL, 's'},
	    {"list", no_argument, NULL, 'l'}, {"hide-default", no_argument, NULL, 'H'},
	    {"help-properties", no_argument, NULL, 'p'}, COMMON_LONG};
	bool properties = false;
	int c, n;

	o.machine = machine;
	while ((c = getopt_long(argc, argv, "Dgsl" COMMON_SHORT, longs, NULL)) != -1) {
		o.unset = o.unset || c == 'D';
		o.hide = o.hide || c == 'H';
		properties = properties || c == 'p';
		common(c, machine ? help_machine : help_qube);
	}
	n = argc - optind + machine;
	if (n < 1)
		usage("a qube's name is missing");
	if (o.unset && n != 2)
		usage("--unset: one property");
	if (n > 3)
		usage("more than one value: put it in quotes");
	return run(argv + optind, properties);
}

int
qvm_prefs(int argc, char **argv)
{
	return prefs(argc, argv, false);
}

int
qubes_prefs(int argc, char **argv)
{
	return prefs(argc, argv, true);
}
