/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"

#define FIELDS_MAX 32
#define VALUE_MAX 2200 /* 32 tags of 63 */

static const char help[] =
    "usage: qvm-ls [OPTION]... [NAME]...\n"
    "  --raw-list           names only\n"
    "  --raw-data           fields with | between them, no heading\n"
    "  -O, --fields LIST    of NAME STATE CLASS LABEL TEMPLATE NETVM UUID XID QID TAGS "
    "DEFAULT_DISPVM\n"
    "                       TEMPLATE_FOR_DISPVMS AUTOSTART DEFAULT_USER INTERNAL\n"
    "  --format FORMAT      simple, full\n"
    "  --running --paused --halted\n"
    "  --tags T... --label L --class C   several with , between them\n"
    "  --exclude NAME   --sort FIELD   --reverse-sort\n";

struct field {
	const char *name;
	void (*get)(const struct qube *q, char *out);
};

static void
text(char *out, const char *s)
{
	snprintf(out, VALUE_MAX, "%s", s[0] ? s : "-");
}

#define FIELD(fn, expr)                                                                            \
	static void fn(const struct qube *q, char *out)                                            \
	{                                                                                          \
		text(out, expr);                                                                   \
	}
#define BOOL(fn, expr) FIELD(fn, (expr) ? "True" : "False")

FIELD(f_name, q->conf.name)
FIELD(f_state, q->state)
FIELD(f_class, q->conf.type)
FIELD(f_label, q->conf.label)
FIELD(f_template, q->conf.template)
FIELD(f_uuid, q->conf.uuid)
FIELD(f_dispvm, q->conf.default_dispvm)
FIELD(f_user, q->conf.default_user)
BOOL(f_tfd, q->conf.template_for_dispvms)
BOOL(f_autostart, q->conf.autostart)
BOOL(f_internal, q->conf.internal)

static void
f_netvm(const struct qube *q, char *out)
{
	(void)q;
	text(out, "");
}

static void
f_xid(const struct qube *q, char *out)
{
	if (is_dom0(q->conf.name) || qube_runs(q))
		snprintf(out, VALUE_MAX, "%u", q->st.domid);
	else
		text(out, "");
}

static void
f_qid(const struct qube *q, char *out)
{
	if (is_dom0(q->conf.name) || qube_runs(q))
		snprintf(out, VALUE_MAX, "%u", q->st.qid);
	else
		text(out, "");
}

static void
f_tags(const struct qube *q, char *out)
{
	size_t len = 0;

	text(out, "");
	for (size_t i = 0; i < q->conf.ntags; i++)
		len += (size_t)snprintf(
		    out + len, VALUE_MAX - len, "%s%s", i ? "," : "", q->conf.tags[i]);
}

static const struct field fields[] = {{"NAME", f_name}, {"STATE", f_state}, {"CLASS", f_class},
    {"LABEL", f_label}, {"TEMPLATE", f_template}, {"NETVM", f_netvm}, {"UUID", f_uuid},
    {"XID", f_xid}, {"DOMID", f_xid}, {"QID", f_qid}, {"TAGS", f_tags},
    {"DEFAULT_DISPVM", f_dispvm}, {"TEMPLATE_FOR_DISPVMS", f_tfd}, {"AUTOSTART", f_autostart},
    {"DEFAULT_USER", f_user}, {"INTERNAL", f_internal}};

static struct {
	int raw_list, raw_data, running, paused, halted, reverse, ignored; /* set by getopt_long */
	const char *tags, *labels, *classes, *exclude[EXCLUDE_MAX];
	size_t nexclude, nfields;
	const struct field *field[FIELDS_MAX], *sort;
} o;

static const struct field *
field_named(const char *s, size_t n)
{
	char up[32] = "";

	for (size_t i = 0; i < n && i < sizeof up - 1; i++)
		up[i] = (char)(s[i] == '-' ? '_' : toupper((unsigned char)s[i]));
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (n < sizeof up && strcmp(fields[i].name, up) == 0)
			return &fields[i];
	fprintf(stderr, "qvm-ls: no such field: %.*s\n", (int)n, s);
	exit(2);
}

static void
take_fields(const char *s)
{
	o.nfields = 0;
	while (*s && o.nfields < FIELDS_MAX) {
		const size_t n = strcspn(s, ",");

		o.field[o.nfields++] = field_named(s, n);
		s += n + (s[n] == ',');
	}
}

static bool
listed(const char *list, const char *word)
{
	while (*list) {
		const size_t n = strcspn(list, ",");

		if (n == strlen(word) && memcmp(list, word, n) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static bool
wanted(const struct qube *q)
{
	const bool by_state = o.running || o.paused || o.halted;
	bool tagged = o.tags == NULL;

	for (size_t i = 0; i < o.nexclude; i++)
		if (strcmp(o.exclude[i], q->conf.name) == 0)
			return false;
	if (by_state && !(o.running && strcmp(q->state, "Running") == 0) &&
	    !(o.paused && strcmp(q->state, "Paused") == 0) && !(o.halted && !qube_runs(q)))
		return false;
	for (size_t i = 0; !tagged && i < q->conf.ntags; i++)
		tagged = listed(o.tags, q->conf.tags[i]);
	return tagged && (!o.labels || listed(o.labels, q->conf.label)) &&
	       (!o.classes || listed(o.classes, q->conf.type));
}

static int
by_field(const void *a, const void *b)
{
	char x[VALUE_MAX], y[VALUE_MAX];
	int r;

	o.sort->get(a, x);
	o.sort->get(b, y);
	r = strcmp(x, y);
	return o.reverse ? -r : r;
}

static void
print_row(const struct qube *q, const int *width)
{
	char v[VALUE_MAX];

	for (size_t f = 0; f < o.nfields; f++) {
		snprintf(v, sizeof v, "%s", o.field[f]->name);
		if (q)
			o.field[f]->get(q, v);
		if (f + 1 < o.nfields)
			printf("%-*s  ", width[f], v);
		else
			printf("%s\n", v);
	}
}

static void
print_table(const struct qube *q, size_t n)
{
	int width[FIELDS_MAX] = {0};
	char v[VALUE_MAX];

	for (size_t f = 0; f < o.nfields; f++) {
		width[f] = (int)strlen(o.field[f]->name);
		for (size_t i = 0; i < n; i++) {
			o.field[f]->get(&q[i], v);
			width[f] = (int)strlen(v) > width[f] ? (int)strlen(v) : width[f];
		}
	}
	print_row(NULL, width);
	for (size_t i = 0; i < n; i++)
		print_row(&q[i], width);
}

static void
print(const struct qube *q, size_t n)
{
	char v[VALUE_MAX];

	for (size_t i = 0; i < n && o.raw_list; i++)
		puts(q[i].conf.name);
	if (o.raw_list)
		return;
	if (!o.raw_data) {
		print_table(q, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t f = 0; f < o.nfields; f++) {
			o.field[f]->get(&q[i], v);
			printf("%s%c", v, f + 1 < o.nfields ? '|' : '\n');
		}
}

static void
format(const char *name)
{
	if (strcmp(name, "full") == 0) {
		take_fields("NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM,QID,XID,UUID,DEFAULT_DISPVM,"
			    "AUTOSTART,TAGS");
	} else if (strcmp(name, "simple") != 0) {
		fprintf(stderr, "qvm-ls: no such format: %s\n", name);
		exit(2);
	}
}

static void
option(int c)
{
	if (c == 'h')
		qvm_help(help);
	if (c == '?') {
		fputs(help, stderr);
		exit(2);
	}
	if (c == 'O')
		take_fields(optarg);
	if (c == 'F')
		format(optarg);
	if (c == 's')
		o.sort = field_named(optarg, strlen(optarg));
	if (c == 't')
		o.tags = optarg;
	if (c == 'L')
		o.labels = optarg;
	if (c == 'c')
		o.classes = optarg;
	if (c == 'x' && o.nexclude < EXCLUDE_MAX)
		o.exclude[o.nexclude++] = optarg;
}

int
qvm_ls(int argc, char **argv)
{
	static const struct option longs[] = {{"raw-list", no_argument, &o.raw_list, 1},
	    {"raw-data", no_argument, &o.raw_data, 1}, {"running", no_argument, &o.running, 1},
	    {"paused", no_argument, &o.paused, 1}, {"halted", no_argument, &o.halted, 1},
	    {"reverse-sort", no_argument, &o.reverse, 1}, {"all", no_argument, &o.ignored, 1},
	    {"verbose", no_argument, &o.ignored, 1}, {"quiet", no_argument, &o.ignored, 1},
	    {"fields", required_argument, NULL, 'O'}, {"tags", required_argument, NULL, 't'},
	    {"label", required_argument, NULL, 'L'}, {"class", required_argument, NULL, 'c'},
	    {"sort", required_argument, NULL, 's'}, {"exclude", required_argument, NULL, 'x'},
	    {"format", required_argument, NULL, 'F'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct qube *q, *show;
	size_t n, m = 0;
	int c;

	take_fields("NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM");
	while ((c = getopt_long(argc, argv, "O:hvq", longs, NULL)) != -1)
		option(c);
	q = qubes_all(&n);
	show = calloc(n + (size_t)argc, sizeof *show);
	if (!show)
		exit(1);
	for (int i = optind; i < argc; i++) {
		const struct qube *one = qube_named(q, n, argv[i]);

		if (!one)
			exit(1);
		if (wanted(one))
			show[m++] = *one;
	}
	for (size_t i = 0; optind == argc && i < n; i++)
		if (wanted(&q[i]))
			show[m++] = q[i];
	if (o.sort)
		qsort(show, m, sizeof *show, by_field);
	print(show, m);
	free(show);
	free(q);
	return 0;
}
