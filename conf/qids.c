/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids.h"
#include "names.h"
#include "paths.h"
#include "qids.h"

#define LAST "-" /* who has the number that was given last, if nobody has */

struct line {
	uint32_t qid;
	const char *name;
	size_t len; /* of name */
	bool last;
};

static bool
parse(const char *p, size_t n, struct line *l)
{
	const char *blank = memchr(p, ' ', n);
	char number[12];
	size_t len;

	if (!blank || (size_t)(blank - p) >= sizeof number)
		return false;
	len = (size_t)(blank - p);
	memcpy(number, p, len);
	number[len] = '\0';
	l->name = blank + 1;
	l->len = n - len - 1;
	l->last = l->len == 1 && *l->name == *LAST;
	return parse_u32(number, QID_MAX, &l->qid) && l->qid > 0 &&
	       (l->last || name_ok_n(l->name, l->len));
}

/* The next line; false: the end (*n 0), or none. */
static bool
next(const char **p, size_t *n, struct line *l)
{
	const char *end = memchr(*p, '\n', *n);
	const size_t len = end ? (size_t)(end - *p) : 0;

	if (!end || !parse(*p, len, l))
		return false;
	*p += len + 1;
	*n -= len + 1;
	return true;
}

static bool
is(const struct line *l, const char *name)
{
	return !l->last && l->len == strlen(name) && memcmp(l->name, name, l->len) == 0;
}

uint32_t
qids_find(const char *p, size_t n, const char *name, uint32_t *highest, unsigned *bad)
{
	unsigned number = 0;
	uint32_t found = 0;
	struct line l;

	*highest = 0;
	*bad = 0;
	for (; n > 0; number++) {
		if (!next(&p, &n, &l)) {
			*bad = number + 1;
			return 0;
		}
		*highest = l.qid > *highest ? l.qid : *highest;
		if (is(&l, name))
			found = l.qid;
	}
	return found;
}

uint32_t
qids_next(const char *p, size_t n)
{
	static bool used[QID_MAX + 1];
	uint32_t at = 0, highest = 0;
	struct line l;

	memset(used, 0, sizeof used);
	while (n > 0 && next(&p, &n, &l)) {
		used[l.qid] |= !l.last;
		at = l.last ? l.qid : at;
		highest = l.qid > highest ? l.qid : highest;
	}
	at = at ? at : highest;
	for (uint32_t i = 0; i < QID_MAX; i++) {
		at = at % QID_MAX + 1;
		if (!used[at])
			return at;
	}
	return 0;
}

static bool
read_table(int dir, struct buf *b)
{
	b->max = QIDS_BYTES;
	return buf_read_file(b, dir, QIDS_FILE) || errno == ENOENT;
}

static uint32_t
lookup(int dir, const char *name, struct buf *b, uint32_t *highest)
{
	unsigned bad;
	uint32_t qid;

	if (dir < 0 || !read_table(dir, b))
		return 0;
	qid = qids_find((const char *)buf_bytes(b), b->len, name, highest, &bad);
	errno = bad ? EINVAL : 0;
	return qid;
}

uint32_t
qid_of(const char *name)
{
	const int dir = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf b = {0};
	uint32_t highest, qid = lookup(dir, name, &b, &highest);
	const int e = errno;

	buf_free(&b);
	if (dir >= 0)
		close(dir);
	errno = e;
	return qid;
}

static bool
write_table(int dir, struct buf *b)
{
	const int fd =
	    openat(dir, "." QIDS_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok;

	if (fd < 0)
		return false;
	ok = buf_write_fd(b, fd) == 0 && b->len == 0 && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	return ok && renameat(dir, "." QIDS_FILE, dir, QIDS_FILE) == 0 && fsync(dir) == 0;
}

/* All lines but that of name, and who was last. false: it was not there, or no memory. */
static bool
without(struct buf *out, const struct buf *in, const char *name, uint32_t *last)
{
	const char *p = (const char *)buf_bytes(in);
	size_t n = in->len;
	bool there = false, ok = true;
	uint32_t highest = 0;
	struct line l;

	*last = 0;
	while (n > 0 && next(&p, &n, &l)) {
		highest = l.qid > highest ? l.qid : highest;
		there |= is(&l, name);
		if (l.last)
			*last = l.qid;
		else if (!is(&l, name))
			ok = ok && buf_printf(out, "%u %.*s\n", l.qid, (int)l.len, l.name);
	}
	*last = *last ? *last : highest;
	errno = ok ? 0 : ENOMEM;
	return there && ok;
}

uint32_t
qid_assign(const char *name)
{
	int dir, e;
	struct buf b = {0}, more = {.max = QIDS_BYTES};
	uint32_t highest = 0, last, qid;

	(void)mkdir(VAR_DIR, 0755);
	dir = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	qid = lookup(dir, name, &b, &highest);
	if (qid == 0 && dir >= 0 && errno == 0) {
		const uint32_t new = qids_next((const char *)buf_bytes(&b), b.len);

		(void)without(&more, &b, name, &last);
		errno = ENOSPC;
		/* who comes next has to be said only where it is not the highest */
		if (new != 0 && buf_printf(&more, "%u %s\n", new, name) &&
		    (new > highest || buf_printf(&more, "%u " LAST "\n", new)) &&
		    write_table(dir, &more))
			qid = new;
	}
	e = errno;
	buf_free(&b);
	buf_free(&more);
	if (dir >= 0)
		close(dir);
	errno = e;
	return qid;
}

bool
qid_free(const char *name)
{
	const int dir = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf b = {0}, less = {.max = QIDS_BYTES};
	uint32_t highest, last;
	bool ok = dir >= 0;
	int e;

	if (ok && lookup(dir, name, &b, &highest) != 0)
		ok = without(&less, &b, name, &last) && buf_printf(&less, "%u " LAST "\n", last) &&
		     write_table(dir, &less);
	e = errno;
	buf_free(&b);
	buf_free(&less);
	if (dir >= 0)
		close(dir);
	errno = e;
	return ok;
}

void
qids_each(void (*fn)(void *arg, const char *name), void *arg)
{
	const int dir = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf b = {0};
	char name[NAME_LEN_MAX + 1];
	struct line l;

	if (dir >= 0 && read_table(dir, &b)) {
		const char *p = (const char *)buf_bytes(&b);
		size_t n = b.len;

		while (n > 0 && next(&p, &n, &l)) {
			snprintf(name, sizeof name, "%.*s", (int)l.len, l.name);
			if (!l.last)
				fn(arg, name);
		}
	}
	buf_free(&b);
	if (dir >= 0)
		close(dir);
}
