/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kv.h"
#include "log.h"
#include "paths.h"
#include "qvm.h"

static int
by_name(const void *a, const void *b)
{
	const struct qube *x = a, *y = b;

	if (is_dom0(x->conf.name) != is_dom0(y->conf.name))
		return is_dom0(x->conf.name) ? -1 : 1;
	return strcmp(x->conf.name, y->conf.name);
}

static void
fill(struct qube *q, const char *name, int etc, int run)
{
	struct vmconf_error e;

	memset(q, 0, sizeof *q);
	q->known = vmconf_load(etc, name, &q->conf, &e);
	if (!q->known && e.line > 0)
		fprintf(stderr, ETC_VM "/%s:%u: %s\n", e.file, e.line, e.text);
	else if (!q->known)
		fprintf(stderr, ETC_VM "/%s: %s: %s\n", name, e.file, e.text);
	snprintf(q->conf.name, sizeof q->conf.name, "%s", name);
	if (run >= 0 && state_read(run, name, &q->st))
		snprintf(q->state, sizeof q->state, "%s", q->st.state);
	else
		snprintf(q->state, sizeof q->state, "Halted");
}

static void
dom0(struct qube *q)
{
	*q = (struct qube){.known = true, .state = "Running"};
	snprintf(q->conf.name, sizeof q->conf.name, "dom0");
	snprintf(q->conf.type, sizeof q->conf.type, "AdminVM");
	snprintf(q->conf.label, sizeof q->conf.label, "black");
}

struct qube *
qubes_all(size_t *n)
{
	const int etc = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int run = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = opendir(ETC_VM);
	const struct dirent *f;
	struct qube *q = malloc(sizeof *q);
	size_t cap = 1;

	if (run < 0 && errno == EACCES) {
		fprintf(stderr, RUN_DIR ": only root and members of group qubes may\n");
		exit(1);
	}
	if (etc < 0 || !d || !q) {
		fprintf(stderr, "%s: %s\n", ETC_VM, strerror(errno));
		exit(1);
	}
	dom0(&q[0]);
	*n = 1;
	while ((f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || is_dom0(f->d_name) || strcmp(f->d_name, "defaults") == 0)
			continue;
		if (*n == cap) {
			struct qube *more = realloc(q, 2 * cap * sizeof *q);

			if (!more)
				break;
			q = more;
			cap *= 2;
		}
		fill(&q[(*n)++], f->d_name, etc, run);
	}
	closedir(d);
	close(etc);
	if (run >= 0)
		close(run);
	qsort(q, *n, sizeof *q, by_name);
	return q;
}

struct qube *
qube_named(struct qube *q, size_t n, const char *name)
{
	char esc[LOG_ESC_MAX];

	for (size_t i = 0; i < n; i++)
		if (strcmp(q[i].conf.name, name) == 0)
			return &q[i];
	fprintf(stderr, "no such domain: %s\n", log_escs(esc, sizeof esc, name));
	return NULL;
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
	for (size_t i = 0; i < n; i++) {
		const pid_t pid = fork();

		if (pid == 0)
			_exit(fn(list[i]) ? 0 : 1);
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
qvm_help(const char *text)
{
	fputs(text, stdout);
	exit(0);
}

bool
pick_option(struct pick *p, int c, const char *arg, const char *help)
{
	if (c == 'h')
		qvm_help(help);
	if (c == 'a')
		p->all = true;
	if (c == '?')
		fputs(help, stderr);
	if (c == 'x' && p->nexclude < EXCLUDE_MAX)
		p->exclude[p->nexclude++] = arg;
	return c != '?';
}

static bool
excluded(const struct pick *p, const char *name)
{
	for (size_t i = 0; i < p->nexclude; i++)
		if (strcmp(p->exclude[i], name) == 0)
			return true;
	return false;
}

struct qube **
pick_list(const struct pick *p, char **names, bool running, const char *help, size_t *n)
{
	size_t total, m = 0, given = 0;
	struct qube *q, **list, *one;

	while (names[given])
		given++;
	*n = 1;
	if (p->all == (given > 0) || (p->nexclude > 0 && !p->all)) {
		fputs(help, stderr);
		return NULL;
	}
	q = qubes_all(&total);
	list = calloc(total + given + 1, sizeof(struct qube *));
	if (!list)
		return NULL;
	*n = 0;
	for (; *names; names++) {
		one = qube_named(q, total, *names);
		if (!one) {
			free(list);
			return NULL;
		}
		list[m++] = one;
	}
	for (size_t i = 0; p->all && i < total; i++)
		if (!is_dom0(q[i].conf.name) && strcmp(q[i].conf.type, "RemoteVM") != 0 &&
		    qube_runs(&q[i]) == running && !excluded(p, q[i].conf.name))
			list[m++] = &q[i];
	*n = m;
	return list;
}
