/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm-ls.h"

#define FIELDS_MAX 32
#define FILTERS_MAX 32

static const char help[] =
    "usage: qvm-ls [OPTION]... [NAME]...\n"
    "Lists qubes: NAME STATE CLASS LABEL TEMPLATE NETVM.\n"
    "  --raw-list           names only\n"
    "  --raw-data           fields with | between them, no heading\n"
    "  -O, --fields LIST    these columns, with , between them (--help-columns)\n"
    "  -o, --format FORMAT  simple, network, disk, kernel, prefs or full\n"
    "  -n, -d, -k           --format network, disk, kernel\n"
    "  -t, --tree           each qube below its netvm\n"
    "  --running --paused --halted\n"
    "  --tags T... --label L --class C   several with , between them\n"
    "  --features K=V... --prefs K=V...  with these values\n"
    "  --exclude NAME   --sort FIELD   --reverse-sort\n"
    "Exit: 0, 1 no such qube, 2 usage.\n";

static const struct {
	const char *name, *fields;
} formats[] = {
    {"simple", "NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM"},
    {"network", "NAME,STATE,NETVM,IP,IPBACK,GATEWAY"},
    {"disk", "NAME,STATE,DISK,PRIV-CURR,PRIV-MAX,PRIV-USED,ROOT-CURR,ROOT-MAX,ROOT-USED"},
    {"kernel", "NAME,STATE,CLASS,TEMPLATE,KERNEL,KERNELOPTS"},
    {"prefs", "NAME,LABEL,TEMPLATE,NETVM,VCPUS,MEMORY,MAXMEM,VIRT_MODE"},
    {"full", "NAME,STATE,CLASS,LABEL,TEMPLATE,NETVM,QID,XID,UUID,DEFAULT_DISPVM,AUTOSTART,TAGS"},
};
#define NFORMATS (sizeof formats / sizeof *formats)

struct wish {
	const char *key, *value;
};

static struct {
	int raw_list, raw_data, running, paused, halted, reverse, ignored; /* set by getopt_long */
	bool tree, sorted;
	const char *labels, *classes, *exclude[EXCLUDE_MAX], *tags[FILTERS_MAX];
	struct wish feature[FILTERS_MAX], pref[FILTERS_MAX];
	size_t nexclude, nfields, ntags, nfeatures, nprefs;
	struct field field[FIELDS_MAX], sort;
} o;

/* A line of the table: a text for each column, and for the order. */
struct row {
	const struct qube *q;
	char *cell[FIELDS_MAX + 1];
	size_t depth;
};

static void
field_named(const char *s, size_t n, struct field *f)
{
	char name[40];

	snprintf(name, sizeof name, "%.*s", (int)(n < 39 ? n : 39), s);
	if (n >= 39 || !field_find(s, n, f))
		usage("no such field: %s (--help-columns)", text_esc(name));
}

static void
take_fields(const char *s)
{
	o.nfields = 0;
	while (*s) {
		const size_t n = strcspn(s, ",");

		if (o.nfields == FIELDS_MAX)
			usage("more than %d fields", FIELDS_MAX);
		field_named(s, n, &o.field[o.nfields++]);
		s += n + (s[n] == ',');
	}
	if (o.nfields == 0)
		usage("no fields");
}

static void
take_format(const char *name)
{
	for (size_t i = 0; i < NFORMATS; i++)
		if (strcmp(formats[i].name, name) == 0) {
			take_fields(formats[i].fields);
			return;
		}
	usage("no such format: %s", text_esc(name));
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
tagged(const struct qube *q)
{
	for (size_t t = 0; t < o.ntags; t++)
		for (size_t i = 0; i < q->conf.ntags; i++)
			if (listed(o.tags[t], q->conf.tags[i]))
				return true;
	return o.ntags == 0;
}

static bool
state_wanted(const struct qube *q)
{
	if (!o.running && !o.paused && !o.halted)
		return true;
	return (o.running && strcmp(q->state, "Running") == 0) ||
	       (o.paused && strcmp(q->state, "Paused") == 0) || (o.halted && !qube_runs(q));
}

static bool
wanted(const struct qube *q)
{
	char out[VALUE_MAX];
	const char *v;

	for (size_t i = 0; i < o.nexclude; i++)
		if (strcmp(o.exclude[i], q->conf.name) == 0)
			return false;
	for (size_t i = 0; i < o.nfeatures; i++) {
		v = vmconf_feature(&q->conf, o.feature[i].key);
		if (v == NULL || strcmp(v, o.feature[i].value) != 0)
			return false;
	}
	for (size_t i = 0; i < o.nprefs; i++)
		if (!property_get(q, o.pref[i].key, out) ||
		    strcmp(strcmp(out, "-") == 0 ? "" : out, o.pref[i].value) != 0)
			return false;
	return state_wanted(q) && tagged(q) && (!o.labels || listed(o.labels, q->conf.label)) &&
	       (!o.classes || listed(o.classes, q->conf.type));
}

static int
by_sort(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = strcmp(x->cell[FIELDS_MAX], y->cell[FIELDS_MAX]);

	if (r == 0)
		r = strcmp(x->q->conf.name, y->q->conf.name);
	return o.reverse ? -r : r;
}

static char *
cell(const struct field *f, const struct qube *q)
{
	char v[VALUE_MAX], *copy;

	field_get(f, q, v);
	copy = strdup(v);
	if (copy == NULL)
		exit(1);
	return copy;
}

static void
fill(struct row *r, const struct qube *q)
{
	r->q = q;
	if (o.sorted)
		r->cell[FIELDS_MAX] = cell(&o.sort, q);
	for (size_t f = 0; f < o.nfields && !o.raw_list; f++)
		r->cell[f] = cell(&o.field[f], q);
}

/* How many columns of a terminal: UTF-8's following bytes take none. */
static size_t
columns(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static size_t
indent(const struct row *r, size_t f)
{
	return o.tree && strcmp(o.field[f].name, "NAME") == 0 ? 2 * r->depth : 0;
}

static void
print_cell(const struct row *r, size_t f, size_t width, const char *v)
{
	const size_t in = r != NULL ? indent(r, f) : 0;

	for (size_t i = 2; i < in; i++)
		putchar(' ');
	printf("%s%s", in > 0 ? "\xe2\x94\x94\xe2\x94\x80" : "", v);
	if (f + 1 == o.nfields) {
		putchar('\n');
		return;
	}
	for (size_t i = in + columns(v); i < width + 2; i++)
		putchar(' ');
}

static void
print_table(const struct row *row, size_t n)
{
	size_t width[FIELDS_MAX] = {0}, w;

	for (size_t f = 0; f < o.nfields; f++) {
		width[f] = strlen(o.field[f].name);
		for (size_t i = 0; i < n; i++) {
			w = columns(row[i].cell[f]) + indent(&row[i], f);
			width[f] = w > width[f] ? w : width[f];
		}
	}
	for (size_t f = 0; f < o.nfields; f++)
		print_cell(NULL, f, width[f], o.field[f].name);
	for (size_t i = 0; i < n; i++)
		for (size_t f = 0; f < o.nfields; f++)
			print_cell(&row[i], f, width[f], row[i].cell[f]);
}

static void
print(const struct row *row, size_t n)
{
	for (size_t i = 0; i < n && o.raw_list; i++)
		puts(row[i].q->conf.name);
	if (o.raw_list)
		return;
	if (!o.raw_data) {
		print_table(row, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t f = 0; f < o.nfields; f++)
			printf("%s%c", row[i].cell[f], f + 1 < o.nfields ? '|' : '\n');
}

/* Into out, below one netvm (NULL: those that have none in the list), in the order they have. */
static size_t
branch(const struct row *row, size_t n, const char *netvm, size_t depth, struct row *out)
{
	size_t m = 0;

	for (size_t i = 0; i < n && depth <= n; i++) {
		bool here = false;

		for (size_t j = 0; j < n && !here; j++)
			here = strcmp(row[j].q->conf.name, row[i].q->conf.netvm) == 0;
		if (netvm != NULL ? strcmp(row[i].q->conf.netvm, netvm) != 0 : here)
			continue;
		out[m] = row[i];
		out[m++].depth = depth;
		m += branch(row, n, row[i].q->conf.name, depth + 1, out + m);
	}
	return m;
}

static void
add_wish(const char *word, struct wish *all, size_t *n, char *pair)
{
	char *value = value_after(pair);

	if (value == NULL || *n == FILTERS_MAX)
		usage("%s: up to %d of NAME=VALUE", word, FILTERS_MAX);
	all[*n].key = pair;
	all[(*n)++].value = value;
}

static void
filter(int c, char *arg)
{
	if (c == 'T' && o.ntags == FILTERS_MAX)
		usage("more than %d tags", FILTERS_MAX);
	if (c == 'T')
		o.tags[o.ntags++] = arg;
	if (c == 'e')
		add_wish("--features", o.feature, &o.nfeatures, arg);
	if (c == 'p')
		add_wish("--prefs", o.pref, &o.nprefs, arg);
}

static void
option(int c)
{
	switch (c) {
	case 'O':
		take_fields(optarg);
		break;
	case 'o':
		take_format(optarg);
		break;
	case 'n':
		take_format("network");
		break;
	case 'd':
		take_format("disk");
		break;
	case 'k':
		take_format("kernel");
		break;
	case 't':
		o.tree = true;
		break;
	case 's':
		field_named(optarg, strlen(optarg), &o.sort);
		o.sorted = true;
		break;
	case 'L':
		o.labels = optarg;
		break;
	case 'c':
		o.classes = optarg;
		break;
	case 'x':
		if (o.nexclude == EXCLUDE_MAX)
			usage("more than %d --exclude", EXCLUDE_MAX);
		o.exclude[o.nexclude++] = optarg;
		break;
	case 'C':
		fields_help();
		exit(fflush(stdout) == 0 ? 0 : 1);
	case 'F':
		for (size_t i = 0; i < NFORMATS; i++)
			printf("%s: %s\n", formats[i].name, formats[i].fields);
		exit(fflush(stdout) == 0 ? 0 : 1);
	default:
		common(c, help);
	}
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {{"raw-list", no_argument, &o.raw_list, 1},
	    {"raw-data", no_argument, &o.raw_data, 1}, {"running", no_argument, &o.running, 1},
	    {"paused", no_argument, &o.paused, 1}, {"halted", no_argument, &o.halted, 1},
	    {"reverse-sort", no_argument, &o.reverse, 1}, {"all", no_argument, &o.ignored, 1},
	    {"fields", required_argument, NULL, 'O'}, {"tags", required_argument, NULL, 'T'},
	    {"label", required_argument, NULL, 'L'}, {"class", required_argument, NULL, 'c'},
	    {"features", required_argument, NULL, 'e'}, {"prefs", required_argument, NULL, 'p'},
	    {"sort", required_argument, NULL, 's'}, {"exclude", required_argument, NULL, 'x'},
	    {"format", required_argument, NULL, 'o'}, {"network", no_argument, NULL, 'n'},
	    {"disk", no_argument, NULL, 'd'}, {"kernel", no_argument, NULL, 'k'},
	    {"tree", no_argument, NULL, 't'}, {"help-columns", no_argument, NULL, 'C'},
	    {"help-formats", no_argument, NULL, 'F'}, COMMON_LONG};
	int c;

	while ((c = getopt_long(argc, argv, "O:o:ndkt" COMMON_SHORT, longs, NULL)) != -1) {
		if (strchr("Tep", c) == NULL || c == '\0') {
			option(c);
			continue;
		}
		filter(c, optarg); /* these take all words up to the next option */
		while (optind < argc && argv[optind][0] != '-')
			filter(c, argv[optind++]);
	}
}

static bool
has(const struct row *row, size_t n, const struct qube *q)
{
	for (size_t i = 0; i < n; i++)
		if (row[i].q == q)
			return true;
	return false;
}

/* Those whose netvms go round come last. */
static void
as_tree(const struct row *row, size_t n, struct row *out)
{
	size_t m = branch(row, n, NULL, 0, out);

	for (size_t i = 0; i < n && m < n; i++)
		if (!has(out, m, row[i].q))
			out[m++] = row[i];
}

int
qvm_ls(int argc, char **argv)
{
	struct qube *q;
	struct row *row, *tree;
	const struct qube *one;
	size_t n, m = 0;

	take_fields(formats[0].fields);
	options(argc, argv);
	q = qubes_all(&n);
	row = calloc(n + (size_t)argc, sizeof *row);
	tree = calloc(n + (size_t)argc, sizeof *row);
	if (row == NULL || tree == NULL)
		exit(1);
	for (int i = optind; i < argc; i++) {
		one = qube_named(q, n, argv[i]);
		if (one == NULL)
			exit(1);
		if (!has(row, m, one) && wanted(one))
			fill(&row[m++], one);
	}
	for (size_t i = 0; optind == argc && i < n; i++)
		if (wanted(&q[i]))
			fill(&row[m++], &q[i]);
	if (o.sorted)
		qsort(row, m, sizeof *row, by_sort);
	if (o.tree)
		as_tree(row, m, tree);
	print(o.tree ? tree : row, m);
	free(row);
	free(tree);
	free(q);
	return fflush(stdout) == 0 ? 0 : 1;
}
