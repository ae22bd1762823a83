/* SPDX-License-Identifier: ISC */
/* qvm-volume: what volumes there are, how big, and their former states. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "qvm/qvm.h"
#include "storage/storage.h"
#include "vmedit.h"

static const char help[] =
    "usage: qvm-volume list [-p POOL] [VM...]\n"
    "       qvm-volume info VM:VOLUME [PROPERTY]\n"
    "       qvm-volume resize VM:VOLUME SIZE\n"
    "       qvm-volume revert VM:VOLUME [REVISION]\n"
    "Volumes are root, private, volatile and kernel. SIZE is in bytes, or with K, M, G or T.\n"
    "  -p POOL    only those of this pool; there is one, file\n";

struct place {
	struct qube q;
	enum volume_id id;
};

/* VM:VOLUME; cut in place. */
static bool
parse_place(char *arg, struct place *p)
{
	char *colon = strchr(arg, ':');
	int id;

	if (colon == NULL)
		usage("%s: VM:VOLUME is meant", text_esc(arg));
	*colon = '\0';
	id = storage_find(colon + 1);
	if (id < 0)
		return say(
		    "%s: no such volume: root, private, volatile or kernel", text_esc(colon + 1));
	p->id = (enum volume_id)id;
	return qube_load(arg, &p->q);
}

static bool
failed(const char *e)
{
	return errno != 0 ? say("%s: %s", e, strerror(errno)) : say("%s", e);
}

/* list */

struct row {
	char volume[STORAGE_PATH + 8];
	const char *vm, *name;
	bool revert;
};

static void
print_rows(const struct row *rows, size_t n)
{
	int wide = (int)strlen("POOL:VOLUME"), vm = (int)strlen("VMNAME");

	for (size_t i = 0; i < n; i++) {
		wide = (int)strlen(rows[i].volume) > wide ? (int)strlen(rows[i].volume) : wide;
		vm = (int)strlen(rows[i].vm) > vm ? (int)strlen(rows[i].vm) : vm;
	}
	printf("%-*s  %-*s  %-11s  %s\n", wide, "POOL:VOLUME", vm, "VMNAME", "VOLUME_NAME",
	    "REVERT_POSSIBLE");
	for (size_t i = 0; i < n; i++)
		printf("%-*s  %-*s  %-11s  %s\n", wide, rows[i].volume, vm, rows[i].vm,
		    rows[i].name, rows[i].revert ? "Yes" : "No");
}

/* A qube's rows; how many. */
static size_t
rows_of(const struct qube *q, struct row *rows)
{
	static const char *const without[] = {"AdminVM", "RemoteVM", NULL};
	struct revision former[STORAGE_REVISIONS];
	struct volume v[VOL_N];

	if (!q->known || one_of(without, q->conf.type) || storage_list(&q->conf, v) != VOL_N)
		return 0;
	for (int id = 0; id < VOL_N; id++) {
		struct row *r = &rows[id];

		snprintf(r->volume, sizeof r->volume, STORAGE_POOL ":%s", v[id].vid);
		r->vm = q->conf.name;
		r->name = v[id].name;
		r->revert = storage_revisions(&q->conf, (enum volume_id)id, former) > 0;
	}
	return VOL_N;
}

static int
list(int argc, char **argv, const char *pool)
{
	struct qube *q, *one;
	size_t total, n = 0;
	struct row *rows;

	if (pool != NULL && strcmp(pool, STORAGE_POOL) != 0)
		return !say("%s: no such pool: there is " STORAGE_POOL, text_esc(pool));
	q = qubes_all(&total);
	rows = calloc((total + (size_t)argc + 1) * VOL_N, sizeof *rows);
	if (rows == NULL)
		return !say("no memory");
	for (int i = 0; i < argc; i++) {
		one = qube_named(q, total, argv[i]);
		if (one == NULL) {
			free(rows);
			return 1;
		}
		n += rows_of(one, rows + n);
	}
	for (size_t i = 0; argc == 0 && i < total; i++)
		n += rows_of(&q[i], rows + n);
	print_rows(rows, n);
	free(rows);
	return 0;
}

/* info */

#define INFO_N 11
#define VALUE (STORAGE_PATH + 1)

static const char *const properties[INFO_N] = {"pool", "vid", "rw", "source", "save_on_stop",
    "snap_on_start", "size", "usage", "revisions_to_keep", "ephemeral", "is_outdated"};

static void
values_of(const struct volume *v, char out[INFO_N][VALUE])
{
	const char *const texts[] = {STORAGE_POOL, v->vid, v->rw ? "True" : "False", v->source,
	    v->save_on_stop ? "True" : "False", v->snap_on_start ? "True" : "False"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		snprintf(out[i], VALUE, "%s", texts[i]);
	snprintf(out[6], VALUE, "%" PRIu64, v->size);
	snprintf(out[7], VALUE, "%" PRIu64, v->usage);
	snprintf(out[8], VALUE, "%u", v->revisions_to_keep);
	snprintf(out[9], VALUE, "%s", v->ephemeral ? "True" : "False");
	snprintf(out[10], VALUE, "%s", v->is_outdated ? "True" : "False");
}

static bool
print_revisions(const struct place *p)
{
	struct revision former[STORAGE_REVISIONS];
	const int n = storage_revisions(&p->q.conf, p->id, former);
	char when[32];

	if (n < 0)
		return say("%s: %s", p->q.conf.name, strerror(errno));
	printf("List of available revisions (for revert):%s\n", n == 0 ? " none" : "");
	for (int i = 0; i < n; i++) {
		const time_t t = (time_t)former[i].when;
		struct tm tm;

		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		printf("%u@%s\n", former[i].number, when);
	}
	return true;
}

static int
info(struct place *p, const char *property)
{
	static char values[INFO_N][VALUE];
	struct volume v[VOL_N];

	if (storage_list(&p->q.conf, v) != VOL_N)
		return !say("%s: %s", p->q.conf.name, strerror(errno));
	values_of(&v[p->id], values);
	if (property != NULL && strcmp(property, "revisions") == 0)
		return !print_revisions(p);
	for (int i = 0; i < INFO_N; i++) {
		if (property == NULL)
			printf("%-17s%s%s\n", properties[i], values[i][0] ? "  " : "", values[i]);
		else if (strcmp(property, properties[i]) == 0)
			return puts(values[i]) < 0;
	}
	if (property != NULL)
		return !say("%s: no such property of a volume", text_esc(property));
	return !print_revisions(p);
}

/* resize, revert */

/* Bytes, or with a suffix; 0: none. */
static uint64_t
parse_size(const char *arg)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = {{"", 1}, {"B", 1}, {"K", 1u << 10}, {"KiB", 1u << 10}, {"KB", 1000},
	    {"M", 1u << 20}, {"MiB", 1u << 20}, {"MB", 1000000}, {"G", 1u << 30}, {"GiB", 1u << 30},
	    {"GB", 1000000000}, {"T", 1ull << 40}, {"TiB", 1ull << 40}, {"TB", 1000000000000}};
	const size_t digits = strspn(arg, "0123456789");
	char number[24];
	uint64_t n;

	if (digits == 0 || digits >= sizeof number)
		return 0;
	memcpy(number, arg, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (strcasecmp(arg + digits, units[i].unit) == 0 &&
		    parse_u64(number, UINT64_MAX / units[i].bytes, &n))
			return n * units[i].bytes;
	return 0;
}

static int
resize(struct place *p, const char *size)
{
	const uint64_t bytes = parse_size(size), mib = bytes / 1048576 + (bytes % 1048576 != 0);
	struct vmconf_error err;
	char key[32], value[16];
	const char *e;

	if (bytes == 0)
		usage("%s: not a size", text_esc(size));
	if (mib > VM_SIZE_MAX)
		return !say("%s: more than 16 TiB", text_esc(size));
	errno = 0;
	e = storage_resize(&p->q.conf, p->id, mib * 1048576);
	if (e != NULL)
		return errno == ERANGE ? !say("%s: it would shrink: make a new one, and copy", e)
				       : !failed(e);
	snprintf(key, sizeof key, "%s_size", storage_name(p->id));
	snprintf(value, sizeof value, "%u", (unsigned)mib);
	return vmedit_set(vm_dir(), p->q.conf.name, key, value, &err) ? 0 : !say_conf(&err);
}

/* N or N@TIME, as info says it. */
static int
revert(const struct place *p, const char *revision)
{
	char number[16] = "0";
	uint32_t n = 0;
	const char *e;

	if (revision != NULL)
		snprintf(number, sizeof number, "%.*s", (int)strcspn(revision, "@"), revision);
	if (!parse_u32(number, UINT32_MAX, &n) || (revision != NULL && n == 0))
		return !say("%s: no such revision", text_esc(revision));
	errno = 0;
	e = storage_revert(&p->q.conf, p->id, n);
	return e != NULL && !failed(e);
}

static int
act(const char *what, int argc, char **argv)
{
	static struct place p;
	const bool is_info = strcmp(what, "info") == 0 || strcmp(what, "i") == 0;
	const bool is_resize = strcmp(what, "resize") == 0 || strcmp(what, "extend") == 0;
	const bool is_revert = strcmp(what, "revert") == 0 || strcmp(what, "rv") == 0;

	if (!is_info && !is_resize && !is_revert)
		usage("%s: list, info, resize or revert", text_esc(what));
	if (argc < 1 || argc > 2 || (is_resize && argc != 2))
		usage("%s: VM:VOLUME%s", what, is_resize ? " and a size" : "");
	if (!parse_place(argv[0], &p))
		return 1;
	if (is_info)
		return info(&p, argv[1]);
	return is_resize ? resize(&p, argv[1]) : revert(&p, argv[1]);
}

int
qvm_volume(int argc, char **argv)
{
	static const struct option longs[] = {{"pool", required_argument, NULL, 'p'}, COMMON_LONG};
	const char *pool = NULL, *what;
	int c;

	while ((c = getopt_long(argc, argv, "p:" COMMON_SHORT, longs, NULL)) != -1) {
		if (c == 'p')
			pool = optarg;
		common(c, help);
	}
	what = optind < argc ? argv[optind++] : "list";
	if (strcmp(what, "list") == 0 || strcmp(what, "ls") == 0 || strcmp(what, "l") == 0)
		return list(argc - optind, argv + optind, pool);
	return act(what, argc - optind, argv + optind);
}
