/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"

#define BUF_MIN 256u
/* Most files are of a few lines, and reading them is to cost no page. */
#define FILE_SMALL 512u
#define FILE_PART 65536u

struct rd
rd_over(const void *p, size_t n)
{
	return (struct rd){.p = p, .left = n};
}

const void *
rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->left) {
		r->bad = true;
		return NULL;
	}
	if (n > 0)
		r->p += n;
	r->left -= n;
	return p;
}

uint32_t
rd_u32(struct rd *r)
{
	uint32_t v = 0;
	const void *p = rd_bytes(r, sizeof(v));

	if (p != NULL)
		memcpy(&v, p, sizeof(v));
	return v;
}

struct wr
wr_over(void *p, size_t cap)
{
	return (struct wr){.p = p, .cap = cap};
}

void
wr_bytes(struct wr *w, const void *p, size_t n)
{
	if (w->full || n > w->cap - w->len) {
		w->full = true;
		return;
	}
	if (n > 0)
		memcpy(w->p + w->len, p, n);
	w->len += n;
}

void
wr_u32(struct wr *w, uint32_t v)
{
	wr_bytes(w, &v, sizeof(v));
}

void
wr_str(struct wr *w, const char *s)
{
	wr_bytes(w, s, strlen(s));
}

void
wr_padded(struct wr *w, const char *s, size_t field)
{
	size_t n = strlen(s);

	if (w->full || n > field || field > w->cap - w->len) {
		w->full = true;
		return;
	}
	wr_bytes(w, s, n);
	if (field > n)
		memset(w->p + w->len, 0, field - n);
	w->len += field - n;
}

size_t
buf_room(const struct buf *b)
{
	return b->len < b->max ? b->max - b->len : 0;
}

const uint8_t *
buf_bytes(const struct buf *b)
{
	return b->data != NULL ? b->data + b->off : (const uint8_t *)"";
}

/* Makes room for n more bytes behind the last one. */
static bool
reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_MIN;
	uint8_t *p;

	if (n > buf_room(b))
		return false;
	if (n <= b->cap - b->off - b->len)
		return true;
	if (b->off > 0) {
		memmove(b->data, b->data + b->off, b->len);
		b->off = 0;
	}
	while (cap < b->len + n)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	if (cap == b->cap)
		return true;
	p = realloc(b->data, cap);
	if (p == NULL)
		return false;
	b->data = p;
	b->cap = cap;
	return true;
}

bool
buf_put(struct buf *b, const void *p, size_t n)
{
	if (!reserve(b, n))
		return false;
	if (n > 0)
		memcpy(b->data + b->off + b->len, p, n);
	b->len += n;
	return true;
}

bool
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;
	bool ok;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		return false;
	ok = buf_put(b, s, (size_t)n);
	free(s);
	return ok;
}

void
buf_eat(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->off = b->len = 0;
		return;
	}
	b->off += n;
	b->len -= n;
}

void
buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->off = b->len = b->cap = 0;
}

ssize_t
buf_read_fd(struct buf *b, int fd, size_t most)
{
	size_t n = most < buf_room(b) ? most : buf_room(b);
	ssize_t r;

	if (n == 0)
		return -2;
	if (!reserve(b, n)) {
		errno = ENOMEM;
		return -1;
	}
	r = read(fd, b->data + b->off + b->len, n);
	if (r > 0)
		b->len += (size_t)r;
	else if (b->len == 0)
		buf_free(b); /* nothing came: an idle queue holds no memory */
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return -2;
	return r;
}

int
buf_write_fd(struct buf *b, int fd)
{
	ssize_t r;

	while (b->len > 0) {
		r = send(fd, b->data + b->off, b->len, MSG_NOSIGNAL);
		if (r < 0 && errno == ENOTSOCK)
			r = write(fd, b->data + b->off, b->len);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return errno == EAGAIN ? 0 : -1;
		buf_eat(b, (size_t)r);
	}
	return 0;
}

bool
buf_read_file(struct buf *b, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int e;
	ssize_t r;

	if (fd < 0)
		return false;
	/* One byte of room stays: a file that fills the queue is too long, or we could not tell. */
	while ((r = buf_read_fd(b, fd, b->len < FILE_SMALL ? FILE_SMALL : FILE_PART)) > 0)
		;
	e = r == -2 ? EFBIG : errno;
	close(fd);
	errno = e;
	return r == 0;
}
