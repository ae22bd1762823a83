/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#include "log.h"
#include "loop.h"
#include "sock.h"
#include "xen/store-wire.h"

#define DEVICE_MAX 4096 /* the kernel takes no longer message, its header counted */

static struct xsd_sockmsg
header(const struct store *s)
{
	struct xsd_sockmsg h;

	memcpy(&h, s->in, sizeof h);
	return h;
}

/* Makes poll_fd readable though nothing waits in the socket. */
static void
ring(struct store *s)
{
	const uint64_t one = 1;

	if (!s->rung && s->wake_fd >= 0 && write(s->wake_fd, &one, sizeof one) == sizeof one)
		s->rung = true;
}

static void
unring(struct store *s)
{
	uint64_t n;

	if (s->rung && read(s->wake_fd, &n, sizeof n) == sizeof n)
		s->rung = false;
}

bool
store_fail(struct store *s, int err, const char *why)
{
	if (!s->gone)
		logit("xenstore: %s", why);
	s->gone = true;
	ring(s);
	errno = err;
	return false;
}

static const char *const places[] = {"/run/xenstored/socket", "/dev/xen/xenbus"};

static bool
open_at(struct store *s, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	s->device = S_ISCHR(st.st_mode);
	s->fd = s->device ? open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : sock_connect(path);
	return s->fd >= 0;
}

static bool
open_any(struct store *s)
{
	const char *env = getenv("XENSTORED_PATH");

	if (env)
		return open_at(s, env);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (open_at(s, places[i]) || errno != ENOENT)
			break;
	return s->fd >= 0;
}

static bool
open_poll(struct store *s)
{
	struct epoll_event e = {.events = EPOLLIN};

	s->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return s->poll_fd >= 0 && s->wake_fd >= 0 &&
	       epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, s->fd, &e) == 0 &&
	       epoll_ctl(s->poll_fd, EPOLL_CTL_ADD, s->wake_fd, &e) == 0;
}

struct store *
store_open(void)
{
	struct store *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return NULL;
	s->fd = s->poll_fd = s->wake_fd = -1;
	s->last = &s->events;
	if (open_any(s) && open_poll(s))
		return s;
	err = errno;
	store_close(s);
	errno = err;
	return NULL;
}

static void
drop_events(struct store *s)
{
	while (s->events) {
		struct event *e = s->events;
		s->events = e->next;
		free(e);
	}
	s->last = &s->events;
	s->nevents = 0;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	drop_events(s);
	while (s->watches) {
		struct watch *w = s->watches;
		s->watches = w->next;
		free(w);
	}
	buf_free(&s->batch);
	if (s->poll_fd >= 0)
		close(s->poll_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

int
store_fd(const struct store *s)
{
	return s->poll_fd;
}

/* One too many, or no memory: what was kept is no longer needed, everything has fired. */
static void
overflow(struct store *s)
{
	drop_events(s);
	s->again = s->watches;
}

/* The payload, whose end is marked by a NUL that is not its own: path NUL token NUL. */
static bool
queue_event(struct store *s, size_t len)
{
	const char *untrusted = (const char *)s->in + STORE_HEADER;
	const size_t path = strnlen(untrusted, len);
	const size_t token = path < len ? strnlen(untrusted + path + 1, len - path - 1) : 0;
	const size_t keep = path < STORE_PATH_MAX ? path : STORE_PATH_MAX - 1;
	struct event *e;

	if (path + token + 2 != len || token >= STORE_TOKEN_MAX)
		return store_fail(s, EPIPE, "an event that makes no sense");
	e = s->nevents < STORE_EVENTS_MAX ? malloc(sizeof *e + keep + token + 2) : NULL;
	if (!e) {
		overflow(s);
		return true;
	}
	memcpy(e->path, untrusted, keep); /* deep below what is watched: cut */
	e->path[keep] = '\0';
	e->token = e->path + keep + 1;
	memcpy(e->token, untrusted + path + 1, token + 1);
	e->next = NULL;
	*s->last = e;
	s->last = &e->next;
	s->nevents++;
	return true;
}

static bool
header_ok(const struct store *s)
{
	const struct xsd_sockmsg h = header(s);

	return h.len <= XENSTORE_PAYLOAD_MAX && h.type < XS_TYPE_COUNT;
}

enum got { GOT_NOTHING, GOT_EVENT, GOT_REPLY, GOT_END };

/* What of one message is there; never waits. */
static enum got
take(struct store *s)
{
	for (;;) {
		const size_t want =
		    s->have < STORE_HEADER ? STORE_HEADER : STORE_HEADER + header(s).len;
		ssize_t n;

		if (s->have == want)
			break;
		n = read(s->fd, s->in + s->have, want - s->have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return GOT_NOTHING;
		if (n <= 0) {
			store_fail(s, EPIPE, "it has gone");
			return GOT_END;
		}
		s->have += (size_t)n;
		if (s->have == STORE_HEADER && !header_ok(s)) {
			store_fail(s, EPIPE, "an answer that makes no sense");
			return GOT_END;
		}
	}
	const size_t len = s->have - STORE_HEADER;
	s->have = 0;
	s->in[STORE_HEADER + len] = '\0';
	if (header(s).type != XS_WATCH_EVENT)
		return GOT_REPLY;
	return queue_event(s, len) ? GOT_EVENT : GOT_END;
}

/* false: too late. */
static bool
wait_for(struct store *s, short what, uint64_t end)
{
	struct pollfd p = {.fd = s->fd, .events = what};
	const uint64_t now = now_ms();

	if (now >= end)
		return store_fail(s, EPIPE, "no answer in time");
	poll(&p, 1, (int)(end - now));
	return true;
}

static bool
put_all(struct store *s, const uint8_t *p, size_t len, uint64_t end)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = s->device ? write(s->fd, p + done, len - done)
				      : send(s->fd, p + done, len - done, MSG_NOSIGNAL);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN) {
			if (!wait_for(s, POLLOUT, end))
				return false;
		} else if (n == 0 || errno != EINTR)
			return store_fail(s, EPIPE, "it has gone");
	}
	return true;
}

static bool
refused(struct store *s, size_t len)
{
	const char *untrusted = (const char *)s->in + STORE_HEADER;

	if (len == 0 || strnlen(untrusted, len) != len - 1)
		return store_fail(s, EPIPE, "an error that makes no sense");
	errno = EIO;
	for (size_t i = 0; i < sizeof xsd_errors / sizeof xsd_errors[0]; i++)
		if (strcmp(untrusted, xsd_errors[i].errstring) == 0)
			errno = xsd_errors[i].errnum;
	return false;
}

/* The next answer, to the request id. */
static bool
answer(struct store *s, uint32_t id, uint32_t type, uint64_t end, size_t *len)
{
	struct xsd_sockmsg h;
	enum got got;

	while ((got = take(s)) != GOT_REPLY) {
		if (got == GOT_END)
			return false;
		if (got == GOT_NOTHING && !wait_for(s, POLLIN, end))
			return false;
	}
	if (s->events || s->again)
		ring(s);
	h = header(s);
	if (h.req_id != id || (h.type != type && h.type != XS_ERROR))
		return store_fail(s, EPIPE, "an answer to something else");
	if (h.type == XS_ERROR)
		return refused(s, h.len);
	if (len)
		*len = h.len;
	return true;
}

/* What was kept goes out in one piece; the answers come in their order. false: the first that
 * failed. */
static bool
flush_batch(struct store *s)
{
	const uint64_t end = now_ms() + STORE_MS;
	const uint32_t first = s->id - s->nbatch + 1;
	const uint32_t n = s->nbatch;

	s->nbatch = 0;
	if (n > 0 && !put_all(s, buf_bytes(&s->batch), s->batch.len, end))
		s->batch_err = errno;
	buf_eat(&s->batch, s->batch.len);
	for (uint32_t i = 0; i < n && !s->gone; i++)
		if (!answer(s, first + i, s->kinds[i], end, NULL) && s->batch_err == 0 &&
		    (s->kinds[i] != XS_RM || errno != ENOENT))
			s->batch_err = errno;
	errno = s->gone ? EPIPE : s->batch_err;
	return errno == 0;
}

static bool
keep(struct store *s, uint32_t type)
{
	const size_t len = STORE_HEADER + s->w.len;

	if (s->nbatch == STORE_BATCH_MAX || buf_room(&s->batch) < len) {
		s->id--; /* this one is not yet asked */
		(void)flush_batch(s);
		s->id++;
	}
	if (!buf_put(&s->batch, s->out, len)) {
		s->id--;
		return false;
	}
	s->kinds[s->nbatch++] = (uint8_t)type;
	return true;
}

void
store_batch(struct store *s)
{
	s->batching = !s->device; /* the kernel takes one message a write */
	s->batch_err = 0;
	s->batch.max = STORE_BATCH_BYTES;
}

bool
store_flush(struct store *s)
{
	const bool ok = flush_batch(s);
	const int err = errno;

	s->batching = false;
	buf_free(&s->batch);
	errno = err;
	return ok;
}

bool
store_ask(struct store *s, uint32_t type, uint32_t tx, size_t *len)
{
	const bool later = s->batching && (type == XS_WRITE || type == XS_SET_PERMS ||
					      type == XS_MKDIR || type == XS_RM);
	const uint64_t end = now_ms() + STORE_MS;
	struct xsd_sockmsg h = {.type = type, .tx_id = tx};

	errno = s->gone ? EPIPE : E2BIG;
	if (s->gone || s->w.full || (s->device && STORE_HEADER + s->w.len > DEVICE_MAX))
		return false;
	if (!later && s->nbatch > 0 && !flush_batch(s))
		return false;
	h.req_id = ++s->id;
	h.len = (uint32_t)s->w.len;
	memcpy(s->out, &h, sizeof h);
	if (later)
		return keep(s, type);
	return put_all(s, s->out, STORE_HEADER + s->w.len, end) && answer(s, s->id, type, end, len);
}

void
store_say(struct store *s, const char *first)
{
	s->w = wr_over(s->out + STORE_HEADER, XENSTORE_PAYLOAD_MAX);
	if (strlen(first) >= STORE_PATH_MAX)
		s->w.full = true;
	wr_bytes(&s->w, first, strlen(first) + 1);
}

void
store_say_u32(struct store *s, const char *before, uint32_t n)
{
	char text[24];
	const int len = snprintf(text, sizeof text, "%s%u", before, n);

	wr_bytes(&s->w, text, (size_t)len + 1);
}

static void
forget(struct store *s, const char *path, const char *token)
{
	for (struct watch **p = &s->watches; *p; p = &(*p)->next) {
		struct watch *w = *p;
		if (strcmp(w->path, path) != 0 || strcmp(w->token, token) != 0)
			continue;
		if (s->again == w)
			s->again = w->next;
		*p = w->next;
		free(w);
		return;
	}
}

bool
store_watch(struct store *s, const char *path, const char *token)
{
	const size_t n = strlen(path) + 1, t = strlen(token) + 1;
	struct watch *w;
	int err;

	errno = E2BIG;
	if (t > STORE_TOKEN_MAX)
		return false;
	w = malloc(sizeof *w + n + t);
	if (!w)
		return false;
	memcpy(w->path, path, n);
	w->token = w->path + n;
	memcpy(w->token, token, t);
	w->next = s->watches;
	s->watches = w;
	store_say(s, path);
	wr_bytes(&s->w, token, t);
	if (store_ask(s, XS_WATCH, 0, NULL))
		return true;
	err = errno;
	forget(s, path, token);
	errno = err;
	return false;
}

bool
store_unwatch(struct store *s, const char *path, const char *token)
{
	store_say(s, path);
	wr_bytes(&s->w, token, strlen(token) + 1);
	if (!store_ask(s, XS_UNWATCH, 0, NULL))
		return false;
	forget(s, path, token);
	return true;
}

static void
give(char path[STORE_PATH_MAX], char token[STORE_TOKEN_MAX], const char *p, const char *t)
{
	snprintf(path, STORE_PATH_MAX, "%s", p);
	snprintf(token, STORE_TOKEN_MAX, "%s", t);
}

int
store_event(struct store *s, char path[STORE_PATH_MAX], char token[STORE_TOKEN_MAX])
{
	enum got got = GOT_NOTHING;
	struct event *e;

	if (!s->events && !s->again && !s->gone)
		got = take(s);
	if (got == GOT_REPLY)
		store_fail(s, EPIPE, "an answer to nothing");
	if (s->again) {
		struct watch *w = s->again;
		s->again = w->next;
		give(path, token, w->path, w->token);
		return 1;
	}
	e = s->events;
	if (!e) {
		if (!s->gone)
			unring(s);
		return s->gone ? -1 : 0;
	}
	s->events = e->next;
	s->nevents--;
	if (!s->events)
		s->last = &s->events;
	give(path, token, e->path, e->token);
	free(e);
	return 1;
}
