/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "log.h"
#include "paths.h"
#include "qvm.h"

const char *tool_name = "qvm";
bool quiet;

bool
say(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", tool_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return false;
}

bool
say_conf(const struct vmconf_error *e)
{
	if (errno == EACCES)
		return say("%s: %s (only root and members of group qubes may)", e->file, e->text);
	if (e->line > 0)
		return say(ETC_VM "/%s:%u: %s", e->file, e->line, e->text);
	return say("%s%s%s", e->file, e->file[0] != '\0' ? ": " : "", e->text);
}

void
usage(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", tool_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (%s --help)\n", tool_name);
	exit(EXIT_USAGE);
}

const char *
text_esc(const char *untrusted)
{
	static char esc[2][LOG_ESC_MAX];
	static unsigned turn;

	turn = !turn;
	return log_escs(esc[turn], sizeof esc[turn], untrusted);
}

void
common(int c, const char *help)
{
	if (c == 'h' || c == 'V') {
		if (c == 'h')
			fputs(help, stdout);
		else
			printf("%s (Cubicle)\n", tool_name);
		exit(fflush(stdout) == 0 ? 0 : 1);
	}
	if (c == 'q')
		quiet = true;
	if (c == '?') {
		fprintf(stderr, "%.*s\n", (int)strcspn(help, "\n"), help);
		exit(EXIT_USAGE);
	}
}

int
vm_dir(void)
{
	const int dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		say("%s: %s", ETC_VM, strerror(errno));
		exit(1);
	}
	return dir;
}

int
state_dir(void)
{
	const int run = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (run < 0 && errno == EACCES) {
		say(RUN_DIR ": only root and members of group qubes may");
		exit(1);
	}
	return run;
}

/* dom0 first, then by name. */
static int
order(const char *a, const char *b)
{
	if (is_dom0(a) != is_dom0(b))
		return is_dom0(a) ? -1 : 1;
	return strcmp(a, b);
}

static int
by_name(const void *a, const void *b)
{
	const struct qube *x = a, *y = b;

	return order(x->conf.name, y->conf.name);
}

/* A line of its own for each file, without our name: it is the file's fault. */
static void
wrong_file(const char *name, const struct vmconf_error *e)
{
	if (e->line > 0)
		fprintf(stderr, ETC_VM "/%s:%u: %s\n", e->file, e->line, e->text);
	else
		fprintf(stderr, ETC_VM "/%s: %s: %s\n", name, e->file, e->text);
}

static void
fill(struct qube *q, const char *name, struct vmconf_cache *etc, int run)
{
	struct vmconf_error e;

	memset(&q->st, 0, sizeof q->st);
	q->known = vmconf_cache_read(etc, name, &q->conf, &e);
	if (!q->known) {
		wrong_file(name, &e);
		memset(&q->conf, 0, sizeof q->conf);
	}
	snprintf(q->conf.name, sizeof q->conf.name, "%s", name);
	if (is_dom0(name))
		snprintf(q->state, sizeof q->state, "Running");
	else if (run >= 0 && state_read(run, name, &q->st))
		snprintf(q->state, sizeof q->state, "%s", q->st.state);
	else
		snprintf(q->state, sizeof q->state, "Halted");
}

static int
by_its_name(const void *name, const void *q)
{
	return order(name, ((const struct qube *)q)->conf.name);
}

static struct qube *
named(struct qube *q, size_t n, const char *name)
{
	return bsearch(name, q, n, sizeof *q, by_its_name);
}

/* Loops of netvms, from what has been read already. */
static void
look_for_loops(struct qube *q, size_t n, int etc)
{
	struct vmconf c;
	struct vmconf_error e;
	const struct qube *net;

	for (size_t i = 0; i < n; i++) {
		size_t hops = 0;

		for (net = &q[i]; net != NULL && net->conf.netvm[0] != '\0' && hops <= n; hops++)
			net = named(q, n, net->conf.netvm);
		if (hops > n && !vmconf_load(etc, q[i].conf.name, &c, &e)) {
			wrong_file(q[i].conf.name, &e);
			q[i].known = false;
		}
	}
}

typedef char name_text[NAME_LEN_MAX + 1];

static int
by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* All of vm.d but dom0, sorted. */
static name_text *
all_names(size_t *n)
{
	DIR *d = opendir(ETC_VM);
	const struct dirent *f;
	size_t cap = 64;
	name_text *list = malloc(cap * sizeof *list), *more;

	*n = 0;
	while (d != NULL && list != NULL && (f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || is_dom0(f->d_name) || strcmp(f->d_name, "defaults") == 0)
			continue;
		if (*n == cap) {
			more = realloc(list, 2 * cap * sizeof *list);
			if (more == NULL)
				break;
			list = more;
			cap *= 2;
		}
		snprintf(list[(*n)++], sizeof *list, "%.31s", f->d_name);
	}
	if (d == NULL || list == NULL) {
		say("%s: %s", ETC_VM, strerror(errno));
		exit(1);
	}
	closedir(d);
	qsort(list, *n, sizeof *list, by_text);
	return list;
}

static struct vmconf_cache *
cache_of(int dir)
{
	struct vmconf_cache *k = vmconf_cache_new(dir);

	if (k == NULL) {
		say("no memory");
		exit(1);
	}
	return k;
}

struct qube *
qubes_all(size_t *n)
{
	const int etc = vm_dir(), run = state_dir();
	struct vmconf_cache *k = cache_of(etc);
	size_t names;
	name_text *list = all_names(&names);
	struct qube *q = malloc((names + 1) * sizeof *q);

	if (q == NULL) {
		say("no memory");
		exit(1);
	}
	fill(&q[0], "dom0", k, run);
	for (size_t i = 0; i < names; i++)
		fill(&q[i + 1], list[i], k, run);
	*n = names + 1;
	free(list);
	vmconf_cache_free(k);
	look_for_loops(q, *n, etc);
	close(etc);
	if (run >= 0)
		close(run);
	return q;
}

static bool
no_such(const char *name)
{
	return say("no such domain: %s (qvm-ls lists them)", text_esc(name));
}

struct qube *
qube_named(struct qube *q, size_t n, const char *name)
{
	struct qube *one = name_ok(name) ? named(q, n, name) : NULL;

	if (one == NULL)
		no_such(name);
	return one;
}

/* Whether it is dom0 or has a file. */
static bool
is_qube(const char *name)
{
	const int dir = vm_dir();
	const bool ok = name_ok(name) && strcmp(name, "defaults") != 0 &&
			(is_dom0(name) || faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);

	close(dir);
	return ok;
}

bool
qube_exists(const char *name)
{
	return is_qube(name) || no_such(name);
}

bool
qube_load(const char *name, struct qube *q)
{
	const int dir = vm_dir(), run = state_dir();
	struct vmconf_cache *k = cache_of(dir);
	const bool ok = qube_exists(name);

	if (ok)
		fill(q, name, k, run);
	vmconf_cache_free(k);
	close(dir);
	if (run >= 0)
		close(run);
	return ok && q->known;
}

bool
qube_runs(const struct qube *q)
{
	return strcmp(q->state, "Halted") != 0;
}

bool
qvm_ask(const char *name, const char *lines, int ms)
{
	struct buf req = {.max = KV_BYTES};
	struct kv *kv = calloc(1, sizeof *kv);
	const char *bad = "no memory", *reason;

	if (kv && buf_printf(&req, "%sname=%s\n\n", lines, name))
		bad = access(RUN_STATE, F_OK) < 0
			  ? "is not up (cubicle-up)"
			  : kv_call(START_SOCK, buf_bytes(&req), req.len, ms, kv, NULL);
	buf_free(&req);
	if (bad) {
		fprintf(stderr, "%s: startd: %s\n", name, bad);
	} else if (strcmp(kv_get(kv, "result") ? kv_get(kv, "result") : "", "ok") != 0) {
		reason = kv_get(kv, "reason");
		bad = reason ? reason : "refused";
		fprintf(stderr, "%s: %s\n", name, bad);
	}
	free(kv);
	return bad == NULL;
}

int
qvm_each(struct qube **list, size_t n, bool (*fn)(struct qube *))
{
	int failed = 0, status;
	size_t forked = 0;

	if (n == 1)
		return fn(list[0]) ? 0 : 1;
	fflush(stdout);
	for (size_t i = 0; i < n; i++) {
		const pid_t pid = fork();

		if (pid == 0) {
			const bool ok = fn(list[i]);

			fflush(stdout);
			_exit(ok ? 0 : 1);
		}
		if (pid < 0)
			failed++;
		else
			forked++;
	}
	while (forked-- > 0)
		if (wait(&status) < 0 || status != 0)
			failed++;
	return failed;
}

void
pick_option(struct pick *p, int c, const char *arg, const char *help)
{
	if (c == 'a')
		p->all = true;
	if (c == 'x' && p->nexclude == EXCLUDE_MAX)
		usage("more than %d --exclude", EXCLUDE_MAX);
	if (c == 'x')
		p->exclude[p->nexclude++] = arg;
	common(c, help);
}

struct qube *
pick_qubes(const struct pick *p, char **names, bool whole, size_t *n)
{
	size_t given = 0;
	struct qube *q;

	while (names[given])
		given++;
	if (p->all && given > 0)
		usage("--all, or names: not both");
	if (!p->all && given == 0)
		usage("a name is missing");
	if (p->nexclude > 0 && !p->all)
		usage("--exclude can only be used with --all");
	if (p->all || whole)
		return qubes_all(n);
	*n = 0;
	q = calloc(given + 1, sizeof *q);
	for (size_t i = 0; q != NULL && i < given; i++)
		if (is_qube(names[i]) && named(q, *n, names[i]) == NULL) {
			qube_load(names[i], &q[(*n)++]);
			qsort(q, *n, sizeof *q, by_name);
		}
	if (q == NULL) {
		say("no memory");
		exit(1);
	}
	return q;
}

static bool
excluded(const struct pick *p, const char *name)
{
	for (size_t i = 0; i < p->nexclude; i++)
		if (strcmp(p->exclude[i], name) == 0)
			return true;
	return false;
}

static bool
meant(const struct pick *p, const struct qube *q, enum pick_all which)
{
	return !is_dom0(q->conf.name) && strcmp(q->conf.type, "RemoteVM") != 0 &&
	       (which == PICK_ALL || qube_runs(q) == (which == PICK_RUNNING)) &&
	       !excluded(p, q->conf.name);
}

struct qube **
pick_list(const struct pick *p, char **names, enum pick_all which, struct qube *q, size_t total,
    size_t *n)
{
	size_t given = 0;
	struct qube **list, *one;

	while (names[given])
		given++;
	*n = 0;
	list = calloc(total + given + 1, sizeof(struct qube *));
	if (!list)
		return NULL;
	for (; *names; names++) {
		one = qube_named(q, total, *names);
		if (!one) {
			free(list);
			return NULL;
		}
		list[(*n)++] = one;
	}
	for (size_t i = 0; p->all && i < total; i++)
		if (meant(p, &q[i], which))
			list[(*n)++] = &q[i];
	return list;
}
