/* SPDX-License-Identifier: ISC */
#include "policy/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "names.h"

struct audit_file {
	char name[NAME_LEN_MAX + 1];
	int fd; /* -1: could not be opened */
	off_t size;
	bool kept, torn; /* torn: the last line is cut short */
};

void
audit_open(struct audit *a, const char *dir)
{
	a->dir = openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dir < 0)
		die("%s", dir);
}

static int
open_current(const struct audit *a, const char *name)
{
	char path[NAME_LEN_MAX + 16];

	(void)mkdirat(a->dir, name, 02750);
	snprintf(path, sizeof(path), "%s/current", name);
	return openat(a->dir, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
}

static void
file_open(struct audit *a, struct audit_file *f)
{
	struct stat st;

	if (f->fd >= 0)
		close(f->fd);
	f->torn = false;
	f->fd = open_current(a, f->name);
	f->size = f->fd >= 0 && fstat(f->fd, &st) == 0 ? st.st_size : 0;
	if (f->fd < 0)
		logit("audit of %s: %s", f->name, strerror(errno));
	a->work |= f->size >= AUDIT_MAX;
}

static struct audit_file *
file_find(const struct audit *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->file[i].name, name) == 0)
			return &a->file[i];
	}
	return NULL;
}

void
audit_mark(struct audit *a)
{
	for (size_t i = 0; i < a->n; i++)
		a->file[i].kept = false;
}

void
audit_keep(struct audit *a, const char *name)
{
	struct audit_file *f = file_find(a, name);

	if (f == NULL) {
		f = realloc(a->file, (a->n + 1) * sizeof(*f));
		if (f == NULL)
			die("out of memory");
		a->file = f;
		f = &a->file[a->n++];
		*f = (struct audit_file){.fd = -1};
		snprintf(f->name, sizeof(f->name), "%s", name);
		file_open(a, f);
	}
	f->kept = true;
}

void
audit_sweep(struct audit *a)
{
	size_t left = 0;

	for (size_t i = 0; i < a->n; i++) {
		if (a->file[i].kept)
			a->file[left++] = a->file[i];
		else if (a->file[i].fd >= 0)
			close(a->file[i].fd);
	}
	a->n = left;
}

/* 1 becomes 2 and so on; current becomes 1. */
static void
turn_over(struct audit *a, struct audit_file *f)
{
	char from[NAME_LEN_MAX + 16], to[NAME_LEN_MAX + 16];

	for (int i = AUDIT_KEPT; i > 0; i--) {
		snprintf(to, sizeof(to), "%s/%d", f->name, i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s/%d", f->name, i - 1);
		else
			snprintf(from, sizeof(from), "%s/current", f->name);
		if (renameat(a->dir, from, a->dir, to) < 0 && errno != ENOENT)
			logit("audit of %s: rename: %s", f->name, strerror(errno));
	}
	file_open(a, f);
}

void
audit_idle(struct audit *a)
{
	a->work = false;
	for (size_t i = 0; i < a->n; i++) {
		struct audit_file *f = &a->file[i];

		if (f->fd < 0)
			file_open(a, f);
		if (f->fd >= 0 && f->size >= AUDIT_MAX)
			turn_over(a, f);
	}
}

/* Appends to line, which has room for size bytes and holds n; the new n. */
static size_t
add(char *line, size_t size, size_t n, const char *key, const char *value)
{
	if (value == NULL || size - n < 64)
		return n;
	n += (size_t)snprintf(line + n, size - n, " %s=", key);
	if (*value == '\0')
		return n;
	log_escs(line + n, size - n - 32, value);
	return n + strlen(line + n);
}

/* rule=FILE:LINE, with the slashes as they are. */
static size_t
add_rule(char *line, size_t size, size_t n, const struct audit_facts *f)
{
	size_t part;
	const char *p = f->file, *sep = " rule=";

	if (p == NULL)
		return n;
	for (;; p += part + 1) {
		part = strcspn(p, "/");
		if (size - n < 4 * part + 64)
			return n;
		n += (size_t)snprintf(line + n, size - n, "%s", sep);
		if (part > 0)
			n += strlen(log_esc(line + n, size - n, p, part));
		if (p[part] == '\0')
			break;
		sep = "/";
	}
	return n + (size_t)snprintf(line + n, size - n, ":%u", f->line);
}

static size_t
make_line(char *line, size_t size, bool torn, const struct audit_facts *f)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = (size_t)snprintf(line, size, "%stime=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    torn ? "\n" : "", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(now.tv_nsec / 1000000));
	n = add(line, size - 1024, n, "source", f->source);
	n = add(line, size - 1024, n, "target", f->target);
	n = add(line, size - 1024, n, "decision", f->decision);
	n = add_rule(line, size - 1024, n, f);
	n = add(line, size - 1024, n, "destination", f->destination);
	n = add(line, size - 1024, n, "session", f->session);
	n = add(line, size - 1024, n, "answer", f->answer);
	n = add(line, size - 1024, n, "policy_source", f->policy_source);
	n = add(line, size - 1024, n, "reason", f->reason);
	n = add(line, size - 1024, n, "eval", f->eval ? "yes" : NULL);
	/* Last, for it is the only one that a qube can make long. */
	n = add(line, size, n, "service", f->service);
	line[n++] = '\n';
	return n;
}

bool
audit_line(struct audit *a, const struct audit_facts *f)
{
	struct audit_file *to = file_find(a, f->source);
	char line[AUDIT_LINE_MAX];
	struct stat st;
	size_t n;
	ssize_t w;

	if (to == NULL)
		to = file_find(a, "-");
	/* Removed by hand, or never opened: nobody would see the line. */
	if (to == NULL || to->fd < 0 || fstat(to->fd, &st) < 0 || st.st_nlink == 0) {
		if (to != NULL && to->fd >= 0) {
			close(to->fd);
			to->fd = -1;
		}
		a->work = true;
		errno = ENOENT;
		return false;
	}
	n = make_line(line, sizeof(line), to->torn, f);
	w = write(to->fd, line, n);
	if (w < 0)
		return false;
	to->size += w;
	to->torn = (size_t)w != n;
	a->work |= to->size >= AUDIT_MAX;
	errno = ENOSPC;
	return !to->torn;
}
