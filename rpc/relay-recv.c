/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "relay-state.h"

#define SMALL_WRITE 4096 /* what a pipe with any room takes without waiting */

/*
 * An inherited pipe or terminal is shared with others, who would not expect O_NONBLOCK: we open it
 * anew for ourselves. Where that is not possible, small writes after poll(2) do not wait either.
 */
void
dst_open(struct dst *d, int fd, bool filter)
{
	char path[32];
	struct stat sb;
	int mine, flags;

	*d = (struct dst){.fd = fd, .filter = filter, .most = SIZE_MAX};
	if (fd < 0 || fstat(fd, &sb) < 0)
		return;
	d->open = true;
	d->sock = S_ISSOCK(sb.st_mode);
	flags = fcntl(fd, F_GETFL);
	if (d->sock || S_ISREG(sb.st_mode) || flags & O_NONBLOCK)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	mine = open(path, (flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (mine < 0 || dup3(mine, fd, O_CLOEXEC) < 0)
		d->most = SMALL_WRITE;
	if (mine >= 0)
		close(mine);
}

/* The program at the other end of a stream socket sees the end at once; other descriptors are
 * closed. */
void
dst_end(struct st *s, struct dst *d)
{
	bool shared = s->r->in == d->fd || (s->r->usr1 && d->sock && d == &s->out);

	if (!d->open)
		return;
	d->open = false;
	if (!shared && d->fd != STDERR_FILENO)
		close(d->fd);
	else if (d->sock)
		shutdown(d->fd, SHUT_WR);
}

static void
filter(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] < 0x20 || p[i] > 0x7e) && (p[i] < '\a' || p[i] > '\n') && p[i] != '\r')
			p[i] = '_';
}

/* The reader of our standard output has gone: as in a local pipe, the writer ends. */
static void
dst_broken(struct st *s, struct dst *d)
{
	dst_end(s, d);
	if (s->r->side != RELAY_CALLER || s->r->child > 0 || d != &s->out || d->sock)
		return;
	s->code = 128 + SIGPIPE;
	s->over = true;
}

/* Returns how much of it is dealt with. */
static size_t
dst_put(struct st *s, struct dst *d, uint8_t *p, size_t n)
{
	ssize_t k;

	if (!d->open)
		return n;
	if (d->filter)
		filter(p, n);
	if (d->sock)
		k = send(d->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		k = write(d->fd, p, n < d->most ? n : d->most);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		k = 0;
	if (k < 0) {
		dst_broken(s, d);
		return n;
	}
	if ((size_t)k < n)
		s->blocked = d;
	return (size_t)k;
}

static void
broken(struct st *s, const char *what, uint32_t v)
{
	logit("data channel: %s (%u): the call is ended", what, v);
	s->bad = true;
}

/* QSB-087: a caller has no standard error and no exit status. */
static void
drop_from_caller(struct st *s, const uint8_t *untrusted_p, size_t n)
{
	char esc[LOG_ESC_MAX];

	log_limited(&s->limit, "data channel: dropped %s from the caller: %s",
	    s->rx_type == MSG_DATA_STDERR ? "STDERR" : "EXIT_CODE",
	    log_esc(esc, sizeof esc, untrusted_p, n < 32 ? n : 32));
}

static size_t
status_put(struct st *s, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && s->nstatus < sizeof s->status; i++)
		s->status[s->nstatus++] = p[i];
	return n;
}

static size_t
rx_payload(struct st *s, uint8_t *untrusted_p, size_t n)
{
	if (s->r->t_first != NULL && *s->r->t_first == 0)
		*s->r->t_first = now_us();
	if (s->rx_type == MSG_DATA_STDIN || s->rx_type == MSG_DATA_STDOUT)
		return dst_put(s, &s->out, untrusted_p, n);
	if (s->r->side == RELAY_SERVICE) {
		drop_from_caller(s, untrusted_p, n);
		return n;
	}
	if (s->rx_type == MSG_DATA_STDERR)
		return dst_put(s, &s->errout, untrusted_p, n);
	return status_put(s, untrusted_p, n);
}

static void
rx_exit(struct st *s)
{
	uint32_t v;

	memcpy(&v, s->status, sizeof v);
	s->code = s->nstatus < sizeof s->status ? EXIT_LINK_LOST : (int)v;
	s->r->got_exit = true;
	s->over = true;
}

static void
rx_eof(struct st *s)
{
	bool caller = s->r->side == RELAY_CALLER;

	if (s->rx_type == MSG_DATA_STDIN || s->rx_type == MSG_DATA_STDOUT) {
		s->client_eof = true;
		dst_end(s, &s->out);
	} else if (!caller) {
		drop_from_caller(s, NULL, 0);
	} else if (s->rx_type == MSG_DATA_STDERR) {
		dst_end(s, &s->errout);
	}
}

static bool
rx_hello(struct st *s)
{
	struct rd r = rd_over(s->rx + s->rx_off, s->rx_end - s->rx_off);
	uint32_t type = rd_u32(&r), len = rd_u32(&r), version;

	if (s->rx_end - s->rx_off < MSG_HEADER_LEN)
		return false;
	if (type != MSG_HELLO || len != HELLO_LEN) {
		broken(s, "no HELLO first, but type", type);
		return false;
	}
	version = rd_u32(&r);
	if (r.bad)
		return false;
	if (version < QREXEC_VERSION_MIN) {
		broken(s, "the peer's version is too old", version);
		return false;
	}
	s->rx_off += MSG_HEADER_LEN + HELLO_LEN;
	s->r->version = version < QREXEC_VERSION ? version : QREXEC_VERSION;
	s->hello_got = true;
	if (!s->hello_put)
		put_hello(s);
	begin(s);
	return true;
}

static bool
rx_header(struct st *s)
{
	struct rd r = rd_over(s->rx + s->rx_off, s->rx_end - s->rx_off);
	uint32_t type = rd_u32(&r), len = rd_u32(&r);
	bool caller = s->r->side == RELAY_CALLER;

	if (r.bad)
		return false;
	if (type < MSG_DATA_STDIN || type > MSG_DATA_EXIT_CODE) {
		broken(s, "unknown message type", type);
		return false;
	}
	if (len > s->chunk) {
		broken(s, "message too long", len);
		return false;
	}
	if (type == (caller ? MSG_DATA_STDIN : MSG_DATA_STDOUT))
		log_limited(
		    &s->limit, "data channel: a stream of the wrong direction is taken as ours");
	s->rx_off += MSG_HEADER_LEN;
	s->rx_type = type;
	s->rx_left = len;
	if (len == 0)
		rx_eof(s);
	if (len == 0 && caller && type == MSG_DATA_EXIT_CODE)
		rx_exit(s);
	return !s->over;
}

/* One step over what has been received; false: nothing more can be done with it now. */
static bool
rx_step(struct st *s)
{
	size_t n = s->rx_end - s->rx_off, done;

	if (s->over || s->bad || s->blocked != NULL)
		return false;
	if (!s->hello_got)
		return rx_hello(s);
	if (s->rx_left == 0)
		return rx_header(s);
	if (n > s->rx_left)
		n = s->rx_left;
	if (n == 0)
		return false;
	done = rx_payload(s, s->rx + s->rx_off, n);
	s->rx_off += done;
	s->rx_left -= done;
	if (s->rx_left == 0 && s->rx_type == MSG_DATA_EXIT_CODE && s->r->side == RELAY_CALLER)
		rx_exit(s);
	return done == n;
}

void
rx_turn(struct st *s)
{
	size_t room;
	ssize_t n;

	while (rx_step(s))
		;
	if (!s->v_in || s->over || s->bad || s->blocked != NULL)
		return;
	/* What is left is at most the beginning of a header. */
	memmove(s->rx, s->rx + s->rx_off, s->rx_end - s->rx_off);
	s->rx_end -= s->rx_off;
	s->rx_off = 0;
	room = sizeof s->rx - s->rx_end;
	n = vchan_read(s->r->v, s->rx + s->rx_end, room);
	if (n < 0) {
		s->lost = true;
		return;
	}
	s->v_in = (size_t)n == room;
	s->rx_end += (size_t)n;
	while (rx_step(s))
		;
}
