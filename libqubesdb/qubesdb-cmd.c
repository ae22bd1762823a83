/* SPDX-License-Identifier: ISC */
/*
 * qubesdb-read, -write, -rm, -list, -multiread, -watch, -read-bool: one program, known by the last
 * part of its name (spec/qubesdb 7). Values come from a qube: nothing but printable ASCII reaches
 * the output, unless it is asked for.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libqubesdb.h"
#include "names.h"
#include "paths.h"
#include "qdb/qdb.h"

enum { DONE, FAILED, ABSENT, BOOL_ERROR };

struct cmd {
	const struct verb *verb;
	qdb_handle_t h;
	const char *domain, *dir, *other; /* other: what read prints for a key that is not there */
	bool full, raw, wait, remove, owner, quiet;
	long events;
};

struct verb {
	const char *name, *called; /* for -c, and in argv[0] */
	const char *options;
	int min, max; /* arguments; max -1: any number */
	int (*run)(struct cmd *c, int n, char **args);
	const char *usage;
};

static void __attribute__((format(printf, 2, 3)))
complain(const struct cmd *c, const char *fmt, ...)
{
	va_list ap;

	if (c->quiet)
		return;
	fprintf(stderr, "qubesdb-%s: ", c->verb->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static const char *
why(int e)
{
	switch (e) {
	case ENOENT:
		return "no such key";
	case EINVAL:
		return "not a key: at most 63 of A-Z a-z 0-9 _ / . : @ -, beginning with /";
	case EACCES:
		return "refused by qubesdb";
	case EMSGSIZE:
		return "the value is longer than 3071 bytes";
	case EPIPE:
		return "qubesdb has ended";
	case EPROTO:
		return "qubesdb answers nonsense";
	default:
		return strerror(e);
	}
}

static int
failed(const struct cmd *c, const char *path)
{
	complain(c, "%s: %s", path, why(errno));
	return FAILED;
}

/* A failure counts more than a key that is not there. */
static int
worse(int a, int b)
{
	return a == FAILED || b == DONE ? a : b;
}

/* What was printed has reached whom it is for. */
static int
flushed(const struct cmd *c)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return DONE;
	complain(c, "standard output: %s", strerror(errno));
	return FAILED;
}

static void
put_value(const char *value, size_t len, bool raw)
{
	if (raw) {
		fwrite(value, 1, len, stdout);
	} else {
		for (size_t i = 0; i < len; i++) {
			const unsigned char b = (unsigned char)value[i];
			printf(b >= 0x20 && b <= 0x7e ? "%c" : "\\x%02x", b);
		}
	}
	putchar('\n');
}

/* Watched first and then read once more, so that nothing comes between. */
static char *
read_waiting(struct cmd *c, char *path, unsigned int *len)
{
	char *value = qdb_read(c->h, path, len), *event;
	int e;

	if (value != NULL || errno != ENOENT || !qdb_watch(c->h, path))
		return value;
	while ((value = qdb_read(c->h, path, len)) == NULL && errno == ENOENT) {
		event = qdb_read_watch(c->h);
		if (event == NULL)
			return NULL;
		free(event);
	}
	e = errno;
	if (value != NULL)
		qdb_unwatch(c->h, path);
	errno = e;
	return value;
}

static int
read_one(struct cmd *c, char *path)
{
	unsigned int len = 0;
	char *value = c->wait ? read_waiting(c, path, &len) : qdb_read(c->h, path, &len);
	const bool found = value != NULL;
	const bool absent = !found && errno == ENOENT;
	int r;

	if (!found && (!absent || c->other == NULL)) {
		r = failed(c, path);
		return absent ? ABSENT : r;
	}
	if (c->full)
		printf("%s = ", path);
	if (found)
		put_value(value, len, c->raw);
	else
		put_value(c->other, strlen(c->other), c->raw);
	free(value);
	r = flushed(c);
	/* Removed when it is printed: never lost between. */
	if (r == DONE && found && c->remove && !qdb_rm(c->h, path))
		r = failed(c, path);
	return r;
}

static int
run_read(struct cmd *c, int n, char **args)
{
	int r = DONE;

	if (c->other != NULL && n != 1) {
		complain(c, "--default is for one key");
		return FAILED;
	}
	for (int i = 0; i < n; i++)
		r = worse(r, read_one(c, args[i]));
	return r;
}

static int
run_bool(struct cmd *c, int n, char **args)
{
	uint32_t absent = ABSENT;
	unsigned int len = 0;
	char *value;

	if (n > 1 && !parse_u32(args[1], 255, &absent)) {
		complain(c, "%s: an exit code, 0 to 255", args[1]);
		return BOOL_ERROR;
	}
	value = qdb_read(c->h, args[0], &len);
	if (value == NULL && errno == ENOENT)
		return (int)absent;
	if (value == NULL) {
		failed(c, args[0]);
		return BOOL_ERROR;
	}
	free(value);
	return len > 0 ? 0 : 1;
}

/* All are looked at before the first is written; one that is refused ends it: the last one may be
 * what says that the others are complete. */
static int
run_write(struct cmd *c, int n, char **args)
{
	if (n % 2 != 0) {
		complain(c, "%s: no value", args[n - 1]);
		return FAILED;
	}
	for (int i = 0; i < n; i += 2) {
		errno = qdb_key_ok(args[i]) ? EMSGSIZE : EINVAL;
		if (errno == EINVAL || strlen(args[i + 1]) > QDB_VALUE_MAX)
			return failed(c, args[i]);
	}
	for (int i = 0; i < n; i += 2)
		if (!qdb_write(c->h, args[i], args[i + 1], (unsigned int)strlen(args[i + 1])))
			return failed(c, args[i]);
	return DONE;
}

static int
run_rm(struct cmd *c, int n, char **args)
{
	int r = DONE;

	for (int i = 0; i < n; i++)
		if (!qdb_rm(c->h, args[i]))
			r = worse(r, failed(c, args[i]));
	return r;
}

static int
run_owners(struct cmd *c, const char *path, size_t skip)
{
	unsigned int nd = 0, nq = 0, d = 0, q = 0;
	char **dom0 = qdb_list_of(c->h, QDB_OF_DOM0, path, &nd);
	char **qube = dom0 == NULL ? NULL : qdb_list_of(c->h, QDB_OF_QUBE, path, &nq);
	int r, order;

	r = qube == NULL ? failed(c, path) : DONE;
	while (qube != NULL && (d < nd || q < nq)) {
		order = d == nd ? 1 : q == nq ? -1 : strcmp(dom0[d], qube[q]);
		printf("%s %s\n",
		    order < 0	? "dom0"
		    : order > 0 ? "qube"
				: "both",
		    (order <= 0 ? dom0[d] : qube[q]) + skip);
		d += order <= 0;
		q += order >= 0;
	}
	for (d = 0; dom0 != NULL && d < nd; d++)
		free(dom0[d]);
	for (q = 0; qube != NULL && q < nq; q++)
		free(qube[q]);
	free(dom0);
	free(qube);
	return worse(r, flushed(c));
}

static int
run_list(struct cmd *c, int n, char **args)
{
	const size_t skip = c->full ? 0 : strlen(args[0]);
	char **keys;

	(void)n;
	if (c->owner)
		return run_owners(c, args[0], skip);
	keys = qdb_list(c->h, args[0], NULL);
	if (keys == NULL)
		return failed(c, args[0]);
	for (char **k = keys; *k != NULL; k++) {
		puts(*k + skip);
		free(*k);
	}
	free(keys);
	return flushed(c);
}

static int
run_multiread(struct cmd *c, int n, char **args)
{
	unsigned int *lens = NULL, count = 0;
	char **kv;
	int r = DONE;

	for (int i = 0; i < n; i++) {
		kv = qdb_multiread(c->h, args[i], &lens, &count);
		if (kv == NULL) {
			r = worse(r, failed(c, args[i]));
			continue;
		}
		for (unsigned int k = 0; k < count; k++) {
			printf("%s = ", kv[2 * k] + (c->full ? 0 : strlen(args[i])));
			put_value(kv[2 * k + 1], lens[k], false);
			free(kv[2 * k]);
			free(kv[2 * k + 1]);
		}
		free(kv);
		free(lens);
	}
	return worse(r, flushed(c));
}

static int
run_watch(struct cmd *c, int n, char **args)
{
	char *event;

	for (int i = 0; i < n; i++)
		if (!qdb_watch(c->h, args[i]))
			return failed(c, args[i]);
	for (long left = c->events; left != 0; left -= left > 0) {
		event = qdb_read_watch(c->h);
		if (event == NULL) {
			complain(c, "%s", why(errno));
			return FAILED;
		}
		puts(event);
		free(event);
		if (flushed(c) != DONE)
			return FAILED;
	}
	return DONE;
}

static const struct verb verbs[] = {
    {"read", "read", "d:qhfrwxe:", 1, -1, run_read,
	"[-fqrwx] [-d QUBE] [-e DEFAULT] KEY...\n"
	"  -f             with the key: KEY = VALUE\n"
	"  -r             bytes as they are; else what is not printable is shown as \\xNN\n"
	"  -w             wait until the key exists\n"
	"  -x             remove the key when it is printed\n"
	"  -e, --default  to print if the key does not exist (one key only)\n"},
    {"write", "write", "+d:qh", 2, -1, run_write, "[-q] [-d QUBE] KEY VALUE [KEY VALUE]...\n"},
    {"rm", "rm", "d:qh", 1, -1, run_rm,
	"[-q] [-d QUBE] KEY...\n"
	"  KEY/ is everything below KEY\n"},
    {"list", "list", "d:qhfo", 1, 1, run_list,
	"[-foq] [-d QUBE] PREFIX\n"
	"  -f             keys in full, with PREFIX\n"
	"  -o, --owner    in Dom0: who has a value for it: dom0, qube or both KEY\n"},
    {"multiread", "multiread", "d:qhf", 1, -1, run_multiread,
	"[-fq] [-d QUBE] PREFIX...\n"
	"  -f             keys in full, with PREFIX\n"},
    {"watch", "watch", "d:qhn:", 1, -1, run_watch,
	"[-q] [-d QUBE] [-n COUNT] KEY...\n"
	"  -n             end after so many changes (1); below 0: never\n"
	"  KEY/ is everything below KEY\n"},
    {"read-bool", "bool", "d:qh", 1, 2, run_bool,
	"[-q] [-d QUBE] KEY [DEFAULT]\n"
	"  exits 0 if KEY has a value, 1 if it is empty, DEFAULT (2) without KEY, 3 on an error\n"},
};

static const struct verb *
verb_named(const char *s)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(s, verbs[i].name) == 0 || strcmp(s, verbs[i].called) == 0)
			return &verbs[i];
	return NULL;
}

static void
verb_usage(const struct verb *v, FILE *f)
{
	fprintf(f,
	    "usage: qubesdb-%s %s"
	    "  -d             another qube's store (Dom0); \"\": our own\n"
	    "  -q             no messages\n"
	    "      --socket-dir=DIR\n",
	    v->name, v->usage);
}

static int
no_verb(int argc, char **argv)
{
	const bool help =
	    argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
	FILE *f = help ? stdout : stderr;

	fputs("usage: qubesdb-cmd -c VERB [OPTION]... ARGUMENT..., or qubesdb-VERB; VERB is\n", f);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		fprintf(f, "  %s\n", verbs[i].name);
	return help ? DONE : FAILED;
}

static bool
count_ok(const char *s, long *n)
{
	char *end;

	errno = 0;
	*n = strtol(s, &end, 10);
	return errno == 0 && end != s && *end == '\0';
}

/* true: go on. Else *code is what to exit with. */
static bool
option(struct cmd *c, int o, int *code)
{
	bool *const flag = o == 'f'   ? &c->full
			   : o == 'r' ? &c->raw
			   : o == 'w' ? &c->wait
			   : o == 'x' ? &c->remove
			   : o == 'o' ? &c->owner
			   : o == 'q' ? &c->quiet
				      : NULL;

	if (flag != NULL)
		*flag = true;
	else if (o == 'd')
		c->domain = *optarg != '\0' ? optarg : NULL;
	else if (o == 'e')
		c->other = optarg;
	else if (o == 'D')
		c->dir = optarg;
	else if (o == 'h') {
		verb_usage(c->verb, stdout);
		*code = flushed(c);
		return false;
	} else if (o != 'n' || !count_ok(optarg, &c->events)) {
		if (o == 'n')
			complain(c, "%s: not a number", optarg);
		verb_usage(c->verb, stderr);
		return false;
	}
	return true;
}

/* Those that this verb has not are unknown to it. */
static bool
options(struct cmd *c, int argc, char **argv, int *code)
{
	static const struct option all[] = {{"help", no_argument, NULL, 'h'},
	    {"socket-dir", required_argument, NULL, 'D'}, {"default", required_argument, NULL, 'e'},
	    {"owner", no_argument, NULL, 'o'}, {0}};
	int o;

	while ((o = getopt_long(argc, argv, c->verb->options, all, NULL)) != -1) {
		if (o != 'D' && strchr(c->verb->options, o) == NULL)
			o = '?';
		if (!option(c, o, code))
			return false;
	}
	argc -= optind;
	if (argc >= c->verb->min && (c->verb->max < 0 || argc <= c->verb->max))
		return true;
	verb_usage(c->verb, stderr);
	return false;
}

int
main(int argc, char **argv)
{
	struct cmd c = {.dir = RUN_DIR, .events = 1};
	const char *name = argc > 0 ? argv[0] : "";
	int code;

	if (argc > 1 && strncmp(argv[1], "-c", 2) == 0) {
		const int taken = argv[1][2] != '\0' ? 1 : 2;
		name = taken == 1 ? argv[1] + 2 : argc > 2 ? argv[2] : "";
		argc -= argc > taken ? taken : argc - 1;
		argv += taken;
	} else {
		name = strrchr(name, '-') != NULL ? strrchr(name, '-') + 1 : name;
	}
	c.verb = verb_named(name);
	if (c.verb == NULL)
		return no_verb(argc, argv);
	code = c.verb->run == run_bool ? BOOL_ERROR : FAILED;
	if (!options(&c, argc, argv, &code))
		return code;
	c.h = qdb_open_dir(c.dir, c.domain);
	if (c.h == NULL) {
		complain(&c, "no qubesdb%s%s: %s", c.domain != NULL ? " of " : "",
		    c.domain != NULL ? c.domain : "", strerror(errno));
		return code;
	}
	code = c.verb->run(&c, argc - optind, argv + optind);
	qdb_close(c.h);
	return code;
}
