/* SPDX-License-Identifier: ISC */
/* Files, directories and includes (spec/policy 1, 2 "Directives", 5). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "names.h"
#include "parse.h"

void
complain(struct loader *l, const char *file, unsigned line, unsigned col, const char *fmt, ...)
{
	struct policy *p = l->p;
	struct policy_error e = {.line = line, .col = col};
	va_list ap;

	if (p->nerrors >= ERRORS_MAX)
		return;
	for (size_t i = 0; i < p->nerrors; i++) /* a file that is included twice says it once */
		if (p->errors[i].line == line && p->errors[i].col == col &&
		    strcmp(p->errors[i].file, file) == 0 && line != 0)
			return;
	e.file = arena_dup(&p->mem, file, strlen(file));
	va_start(ap, fmt);
	e.text = arena_vprintf(&p->mem, fmt, ap);
	va_end(ap);
	p->errors = grow(p->errors, &p->cap_errors, p->nerrors, sizeof(*p->errors));
	p->errors[p->nerrors++] = e;
}

static void
add_dep(struct policy *p, const char *dir, size_t n)
{
	if (n == 0)
		n = 1; /* of "/file" */
	for (size_t i = 0; i < p->ndeps; i++)
		if (strlen(p->deps[i]) == n && memcmp(p->deps[i], dir, n) == 0)
			return;
	p->deps = grow(p->deps, &p->cap_deps, p->ndeps, sizeof(*p->deps));
	p->deps[p->ndeps++] = arena_dup(&p->mem, dir, n);
}

/* The directory of a file, and of what a link points to: a change there must be seen too. */
static void
add_dep_of(struct policy *p, const char *file)
{
	const char *slash = strrchr(file, '/');
	char real[PATH_MAX];

	if (slash != NULL)
		add_dep(p, file, (size_t)(slash - file));
	/* Not lstat: policyd's filter knows as few calls as it can. */
	if (readlink(file, real, sizeof(real)) >= 0 && realpath(file, real) != NULL)
		add_dep(p, real, (size_t)(strrchr(real, '/') - real));
}

static bool
over(struct loader *l, const char *file, bool is, const char *what)
{
	if (!is || l->full)
		return l->full;
	complain(l, file, 0, 0, "%s", what);
	l->full = true;
	return true;
}

/* The whole file and a NUL behind it. False after a complaint. */
static bool
read_all(struct loader *l, const char *file, int fd, struct buf *b)
{
	ssize_t r;

	b->max = BYTES_MAX;
	while ((r = buf_read_fd(b, fd, 8192)) > 0 || (r == -2 && buf_room(b) > 0))
		l->bytes += r > 0 ? (size_t)r : 0;
	if (r == -1)
		complain(l, file, 0, 0, "cannot be read: %s", strerror(errno));
	return r != -1 && !over(l, file, r == -2 || l->bytes > BYTES_MAX || !buf_put(b, "", 1),
			      "the policy files are too large together");
}

/* LF, CR LF and CR end a line. */
static void
parse_text(const struct unit *u, char *text, size_t n)
{
	char *end = text + n, *p = text, *q;
	unsigned no = 1;
	size_t len, badat;
	bool crlf;

	for (; p < end && !u->l->full; no++, p = q + 1 + crlf) {
		for (q = p; q < end && *q != '\n' && *q != '\r';)
			q++;
		len = (size_t)(q - p);
		crlf = q + 1 < end && q[0] == '\r' && q[1] == '\n';
		*q = '\0';
		badat = utf8_bad(p, len);
		if (badat < len)
			complain(u->l, u->file, no, (unsigned)badat + 1, "not UTF-8");
		else if (memchr(p, '\0', len) != NULL)
			complain(u->l, u->file, no, (unsigned)strlen(p) + 1, "a NUL byte");
		else if (len > LINE_MAX_BYTES)
			complain(
			    u->l, u->file, no, 1, "a line of more than %d bytes", LINE_MAX_BYTES);
		else
			parse_line(u, no, p);
	}
}

/* from, w: the line and word that include it, or NULL for a file of the directories themselves. */
static void
load(struct unit *u, const struct line *from, const struct word *w)
{
	const char *at = from == NULL ? u->file : from->u->file;
	unsigned line = from == NULL ? 0 : from->no, col = w == NULL ? 0 : w->col;
	struct loader *l = u->l;
	struct stat st = {0};
	struct buf text = {0};
	int fd;

	add_dep_of(l->p, u->file);
	if (over(l, u->file, ++l->files > FILES_MAX,
		"too many policy files (do includes run in a circle?)"))
		return;
	fd = openat(AT_FDCWD, u->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		complain(l, at, line, col, "%s: %s", u->file,
		    fd < 0 ? strerror(errno) : "expected a file");
		if (fd >= 0)
			close(fd);
		return;
	}
	u->dev = st.st_dev;
	u->ino = st.st_ino;
	for (const struct unit *up = u->up; up != NULL; up = up->up)
		if ((up->dev == u->dev && up->ino == u->ino) || u->depth > INCLUDE_DEPTH) {
			complain(l, at, line, col, "%s %s", u->file,
			    u->depth > INCLUDE_DEPTH ? "is included too deep" : "includes itself");
			close(fd);
			return;
		}
	if (read_all(l, u->file, fd, &text))
		parse_text(u, (char *)text.data + text.off, text.len - 1);
	close(fd);
	buf_free(&text);
}

static const char *
join(struct policy *p, const char *base, const char *path)
{
	if (path[0] == '/')
		return arena_dup(&p->mem, path, strlen(path));
	return arena_printf(&p->mem, "%s/%s", base, path);
}

void
include_file(const struct line *ln, const struct word *w, const char *service, const char *argument)
{
	struct unit u = {.l = ln->u->l,
	    .up = ln->u,
	    .base = ln->u->base,
	    .service = service,
	    .argument = argument,
	    .depth = ln->u->depth + 1};

	u.file = join(u.l->p, u.base, w->s);
	load(&u, ln, w);
}

/* Names of a directory, sorted by byte. */
struct names {
	char **v;
	size_t n, cap;
};

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* SERVICE+ARG files sorted, and behind them the plain SERVICE. */
static int
by_service(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	size_t nx = strcspn(x, "+"), ny = strcspn(y, "+");
	int d = memcmp(x, y, nx < ny ? nx : ny);

	if (d != 0 || nx != ny)
		return d != 0 ? d : nx < ny ? -1 : 1;
	if ((x[nx] == '+') != (y[ny] == '+'))
		return x[nx] == '+' ? -1 : 1;
	return strcmp(x, y);
}

static bool
ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool
legacy_name(const char *s)
{
	return !ends(s, ".rpmsave") && !ends(s, ".rpmnew") && !ends(s, ".swp") && call_bytes(s);
}

static bool
policy_name(const char *s)
{
	for (; *s != '\0'; s++)
		if (!(*s >= '0' && *s <= '9') && !(*s >= 'a' && *s <= 'z') &&
		    strchr("_.-", *s) == NULL)
			return false;
	return true;
}

/* Lists what counts in dir. A wrong name is an error in policy.d and simply no policy in the legacy
 * one. */
static bool
list(struct loader *l, const char *dir, bool legacy, struct names *out)
{
	struct policy *p = l->p;
	struct dirent *e;
	struct stat st;
	DIR *d;
	int fd;

	add_dep(p, dir, strlen(dir));
	fd = openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL)
		return false;
	while ((e = readdir(d)) != NULL) {
		const char *s = e->d_name;

		if (s[0] == '.' || !(legacy ? legacy_name(s) : ends(s, ".policy")) ||
		    fstatat(dirfd(d), s, &st, 0) != 0 || !S_ISREG(st.st_mode))
			continue;
		if (!legacy && !policy_name(s)) {
			complain(
			    l, join(p, dir, s), 0, 0, "file name: expected bytes of a-z 0-9 _ . -");
			continue;
		}
		out->v = grow(out->v, &out->cap, out->n, sizeof(char *));
		out->v[out->n++] = arena_dup(&p->mem, s, strlen(s));
		if (over(l, dir, out->n > FILES_MAX, "too many files in this directory"))
			break;
	}
	closedir(d);
	if (out->n > 0)
		qsort(out->v, out->n, sizeof(char *), legacy ? by_service : by_bytes);
	return true;
}

void
include_dir(const struct line *ln, const struct word *w)
{
	const char *dir = join(ln->u->l->p, ln->u->base, w->s);
	struct names names = {0};

	if (!list(ln->u->l, dir, false, &names))
		complain(ln->u->l, ln->u->file, ln->no, w->col, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < names.n; i++) {
		struct unit u = {
		    .l = ln->u->l, .up = ln->u, .base = ln->u->base, .depth = ln->u->depth + 1};

		u.file = join(u.l->p, dir, names.v[i]);
		load(&u, ln, w);
	}
	free(names.v);
}

void
include_legacy(const struct line *ln)
{
	struct loader *l = ln->u->l;
	struct names names = {0};

	if (!list(l, l->legacy, true, &names))
		complain(
		    l, ln->u->file, ln->no, ln->w[0].col, "%s: %s", l->legacy, strerror(errno));
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.v[i];
		size_t n = strcspn(name, "+");
		struct unit u = {.l = l, .up = ln->u, .base = l->legacy, .depth = ln->u->depth + 1};

		u.file = join(l->p, l->legacy, name);
		u.service = arena_dup(&l->p->mem, name, n);
		u.argument = name[n] == '\0' ? "*" : name + n;
		if (n == 0) {
			complain(l, u.file, 0, 0, "file name: expected a service before the +");
			continue;
		}
		load(&u, ln, &ln->w[0]);
		if (name[n] == '+') {
			implied_deny(&u, "@anyvm");
			implied_deny(&u, "@adminvm");
		}
	}
	free(names.v);
}

static void
load_one(struct loader *l, const char *dir, const char *name)
{
	struct unit u = {.l = l, .base = dir, .file = join(l->p, dir, name)};

	load(&u, NULL, NULL);
}

static struct policy *
policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		die("policy");
	return p;
}

struct policy *
policy_load(const struct policy_dirs *dirs)
{
	struct policy *p = policy_new();
	struct loader l = {
	    .p = p, .legacy = arena_dup(&p->mem, dirs->legacy, strlen(dirs->legacy))};
	const char *dir[2] = {dirs->run, dirs->etc};
	struct names names[2] = {0};
	size_t at[2] = {0};
	int d;

	for (d = 0; d < 2; d++) {
		dir[d] = arena_dup(&p->mem, dir[d], strlen(dir[d]));
		if (!list(&l, dir[d], false, &names[d]))
			complain(&l, dir[d], 0, 0, "%s", strerror(errno));
	}
	while (at[0] < names[0].n || at[1] < names[1].n) {
		d = at[0] == names[0].n	  ? 1
		    : at[1] == names[1].n ? -1
					  : strcmp(names[0].v[at[0]], names[1].v[at[1]]);
		if (d == 0)
			at[1]++; /* the one in run hides it */
		d = d > 0;
		load_one(&l, dir[d], names[d].v[at[d]]);
		at[d]++;
	}
	free(names[0].v);
	free(names[1].v);
	policy_index(p);
	return p;
}

struct policy *
policy_load_file(const char *path, const char *service, const char *argument)
{
	struct policy *p = policy_new();
	struct loader l = {.p = p, .legacy = "/etc/qubes-rpc/policy"};
	struct unit u = {
	    .l = &l, .file = path, .base = ".", .service = service, .argument = argument};
	const char *slash = strrchr(path, '/');

	u.file = arena_dup(&p->mem, path, strlen(path));
	if (slash != NULL)
		u.base = arena_dup(&p->mem, path, slash == path ? 1 : (size_t)(slash - path));
	load(&u, NULL, NULL);
	policy_index(p);
	return p;
}

void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	arena_free(&p->mem);
	free(p->rules);
	free(p->crules);
	free(p->errors);
	free(p->deps);
	free(p->table);
	free(p);
}

bool
policy_ok(const struct policy *p)
{
	return p->nerrors == 0;
}

size_t
policy_nerrors(const struct policy *p)
{
	return p->nerrors;
}

const struct policy_error *
policy_error(const struct policy *p, size_t i)
{
	return i < p->nerrors ? &p->errors[i] : NULL;
}

const char *
policy_dep(const struct policy *p, size_t i)
{
	return i < p->ndeps ? p->deps[i] : NULL;
}

size_t
policy_nrules(const struct policy *p)
{
	return p->nrules;
}

const struct rule *
policy_rule(const struct policy *p, size_t i)
{
	return i < p->nrules ? &p->rules[i] : NULL;
}
