/* SPDX-License-Identifier: ISC */
/*
 * Bounded bytes: a reader and a writer for wire structs (native uint32, spec/qrexec 1), and a queue
 * with a hard limit for what waits to be sent or understood. None of them ever allocates more than
 * its limit or reads outside its bytes; an overrun sets a flag that the caller checks once.
 */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rd {
	const uint8_t *p;
	size_t left;
	bool bad; /* an item was asked for that is not there; all later items are zero */
};

struct rd rd_over(const void *p, size_t n);
uint32_t rd_u32(struct rd *r);
const void *rd_bytes(struct rd *r, size_t n); /* NULL and bad if fewer are left */

struct wr {
	uint8_t *p;
	size_t cap, len;
	bool full; /* something did not fit; nothing partial was written */
};

struct wr wr_over(void *p, size_t cap);
void wr_u32(struct wr *w, uint32_t v);
void wr_bytes(struct wr *w, const void *p, size_t n);
void wr_str(struct wr *w, const char *s);
void wr_padded(struct wr *w, const char *s, size_t field); /* NUL-padded; full if s needs more */

/* A byte queue. Zero-initialise but for max. Owned memory: buf_free. */
struct buf {
	uint8_t *data;
	size_t off, len, cap; /* bytes are data[off .. off + len) */
	size_t max;	      /* len never exceeds it */
};

bool buf_put(
    struct buf *b, const void *p, size_t n); /* all or nothing; false: over max or no memory */
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const uint8_t *buf_bytes(const struct buf *b);
void buf_eat(struct buf *b, size_t n);
void buf_free(struct buf *b);
size_t buf_room(const struct buf *b);
/* read(2) once into the queue. >0 bytes, 0 end of file, -1 error, -2 nothing now or no room. */
ssize_t buf_read_fd(struct buf *b, int fd, size_t most);
/* write(2) what is queued. 0 all gone or would block (look at len), -1 error. Never raises SIGPIPE
 * on sockets. */
int buf_write_fd(struct buf *b, int fd);
/* The whole of a file, which must leave room for a byte more. false: errno, EFBIG if it is too
 * long. */
bool buf_read_file(struct buf *b, int dirfd, const char *name);

#endif
