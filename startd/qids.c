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

/* One line without its newline. */
static bool
line(const char *p, size_t n, uint32_t *qid, const char **name, size_t *name_len)
{
	const char *blank = memchr(p, ' ', n);
	char number[12];
	size_t len;

	if (!blank || (size_t)(blank - p) >= sizeof number)
		return false;
	len = (size_t)(blank - p);
	memcpy(number, p, len);
	number[len] = '\0';
	*name = blank + 1;
	*name_len = n - len - 1;
	return parse_u32(number, QID_MAX, qid) && *qid > 0 && name_ok_n(*name, *name_len);
}

uint32_t
qids_find(const char *p, size_t n, const char *name, uint32_t *highest, unsigned *bad)
{
	const size_t want = strlen(name);
	unsigned number = 0;
	uint32_t found = 0;

	*highest = 0;
	*bad = 0;
	while (n > 0) {
		const char *end = memchr(p, '\n', n), *who;
		const size_t len = end ? (size_t)(end - p) : n;
		size_t who_len;
		uint32_t qid;

		number++;
		if (!end || !line(p, len, &qid, &who, &who_len)) {
			*bad = number;
			return 0;
		}
		*highest = qid > *highest ? qid : *highest;
		if (who_len == want && memcmp(who, name, want) == 0)
			found = qid;
		p += len + 1;
		n -= len + 1;
	}
	return found;
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

uint32_t
qid_assign(const char *name)
{
	int dir, e;
	struct buf b = {0};
	uint32_t highest = 0, qid;

	(void)mkdir(VAR_DIR, 0755);
	dir = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	qid = lookup(dir, name, &b, &highest);
	if (qid == 0 && dir >= 0 && errno == 0) {
		errno = ENOSPC;
		if (highest < QID_MAX && buf_printf(&b, "%u %s\n", highest + 1, name) &&
		    write_table(dir, &b))
			qid = highest + 1;
	}
	e = errno;
	buf_free(&b);
	if (dir >= 0)
		close(dir);
	errno = e;
	return qid;
}
