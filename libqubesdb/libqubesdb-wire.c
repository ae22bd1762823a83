/* SPDX-License-Identifier: ISC */
/*
 * libqubesdb's connection. The daemon is believed in nothing but what a key is worth: each message
 * is checked for type, length and path, and what it can make us allocate is bounded. A message that
 * does not fit ends the connection.
 */
#include "libqubesdb-wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HDR sizeof(struct qdb_hdr)

static bool
path_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= ':') ||
	       c == '_' || c == '/' || c == '.' || c == '@' || c == '-';
}

bool
qdb_path_ok(const char *path)
{
	size_t n = 0;

	if (path == NULL || *path == '\0' || *path == '-')
		return false;
	while (n < QDB_PATH && path_byte((unsigned char)path[n]))
		n++;
	return n < QDB_PATH && path[n] == '\0';
}

bool
qdb_key_ok(const char *path)
{
	return qdb_path_ok(path) && path[0] == '/' && path[strlen(path) - 1] != '/';
}

/* Makes what waits in the handle visible to who polls qdb_watch_fd. */
void
qdb_link_settle(struct qdb_handle *h)
{
	const bool ring = h->first != NULL || h->len > 0 || h->fd < 0;
	const int e = errno;
	uint64_t n = 1;

	if (h->poll < 0 || ring == h->ringing)
		return;
	if ((ring ? write(h->bell, &n, sizeof(n)) : read(h->bell, &n, sizeof(n))) == sizeof(n))
		h->ringing = ring;
	errno = e;
}

void
qdb_link_drop_events(struct qdb_handle *h)
{
	while (h->first != NULL) {
		struct event *ev = h->first;
		h->first = ev->next;
		free(ev);
	}
	h->last = &h->first;
	h->events = 0;
}

/* Ends the connection; events that have come stay. Always false. */
bool
qdb_link_lost(struct qdb_handle *h, int e)
{
	if (h->poll >= 0)
		epoll_ctl(h->poll, EPOLL_CTL_DEL, h->fd, NULL);
	close(h->fd);
	h->fd = -1;
	h->len = 0;
	h->watches = false;
	errno = e;
	return false;
}

static int
dial(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r, e;

	if (fd < 0)
		return -1;
	do
		r = connect(fd, (const struct sockaddr *)a, sizeof(*a));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return fd;
	e = errno;
	close(fd);
	errno = e;
	return -1;
}

bool
qdb_link_polled(struct qdb_handle *h)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return h->poll < 0 || epoll_ctl(h->poll, EPOLL_CTL_ADD, h->fd, &ev) == 0;
}

bool
qdb_link_connect(struct qdb_handle *h)
{
	int e;

	if (h->fd >= 0)
		return true;
	h->fd = dial(&h->rw);
	if (h->fd < 0) {
		e = errno;
		h->fd = dial(&h->ro);
		if (h->fd < 0) {
			errno = e;
			return false;
		}
	}
	qdb_link_drop_events(h);
	return qdb_link_polled(h) || qdb_link_lost(h, errno);
}

/* What has not gone out in one piece goes on: the socket blocks. */
static bool
put(struct qdb_handle *h, const struct qdb_hdr *hdr, const char *value)
{
	uint8_t b[QDB_MESSAGE_MAX];
	const size_t n = HDR + hdr->len;
	size_t done = 0;
	ssize_t r;

	memcpy(b, hdr, HDR);
	if (hdr->len > 0)
		memcpy(b + HDR, value, hdr->len);
	while (done < n) {
		r = send(h->fd, b + done, n - done, MSG_NOSIGNAL);
		if (r < 0 && errno != EINTR)
			return qdb_link_lost(h, errno == ECONNRESET ? EPIPE : errno);
		done += r > 0 ? (size_t)r : 0;
	}
	return true;
}

/* At least n bytes are in. intr: a signal may end the wait for the first of them. */
static bool
fill(struct qdb_handle *h, size_t n, bool intr)
{
	ssize_t r;

	if (h->len < n && h->off + n > sizeof(h->in)) {
		memmove(h->in, h->in + h->off, h->len);
		h->off = 0;
	}
	while (h->len < n) {
		if (h->len == 0)
			h->off = 0;
		r = recv(h->fd, h->in + h->off + h->len, sizeof(h->in) - h->off - h->len, 0);
		if (r == 0)
			return qdb_link_lost(h, EPIPE);
		if (r > 0)
			h->len += (size_t)r;
		else if (errno == EINTR && intr && h->len == 0)
			return false;
		else if (errno != EINTR)
			return qdb_link_lost(h, errno == ECONNRESET ? EPIPE : errno);
	}
	return true;
}

/* Its path is a key's or empty; what the type says beyond that is the caller's to check. */
static bool
header_ok(const struct qdb_hdr *m)
{
	if (m->type >= QDB_OK && m->type <= QDB_ERROR)
		return m->len == 0;
	if (memchr(m->path, '\0', QDB_PATH) == NULL || m->len > QDB_VALUE_MAX)
		return false;
	switch (m->type) {
	case QDB_R_READ:
		return true;
	case QDB_R_MULTIREAD:
		return m->path[0] == '\0' ? m->len == 0 : m->path[0] == '/' && qdb_path_ok(m->path);
	case QDB_R_LIST:
		return m->len == 0 &&
		       (m->path[0] == '\0' || (m->path[0] == '/' && qdb_path_ok(m->path)));
	case QDB_R_WATCH:
		return m->len == 0 && m->path[0] == '/' && qdb_path_ok(m->path);
	default:
		return false;
	}
}

/* The next message; *value (no NUL among its m->len bytes) holds until the next call. */
bool
qdb_link_get(struct qdb_handle *h, struct qdb_hdr *m, const char **value, bool intr)
{
	if (!fill(h, HDR, intr))
		return false;
	memcpy(m, h->in + h->off, HDR);
	if (!header_ok(m))
		return qdb_link_lost(h, EPROTO);
	if (!fill(h, HDR + m->len, false))
		return false;
	*value = (const char *)h->in + h->off + HDR;
	if (memchr(*value, '\0', m->len) != NULL)
		return qdb_link_lost(h, EPROTO);
	h->off += HDR + m->len;
	h->len -= HDR + m->len;
	return true;
}

/* Beyond the limit an event that waits already is as good as two. */
static bool
keep_event(struct qdb_handle *h, const char *path)
{
	struct event *ev;

	if (h->events >= QDB_EVENTS_MAX) {
		for (ev = h->first; ev != NULL; ev = ev->next)
			if (strcmp(ev->path, path) == 0)
				return true;
		return qdb_link_lost(h, ENOBUFS);
	}
	ev = malloc(sizeof(*ev));
	if (ev == NULL)
		return qdb_link_lost(h, ENOMEM);
	memcpy(ev->path, path, sizeof(ev->path));
	ev->next = NULL;
	*h->last = ev;
	h->last = &ev->next;
	h->events++;
	return true;
}

/* The next message that is no event. */
bool
qdb_link_answer(struct qdb_handle *h, struct qdb_hdr *m, const char **value)
{
	while (qdb_link_get(h, m, value, false)) {
		if (m->type != QDB_R_WATCH)
			return true;
		if (!keep_event(h, m->path))
			return false;
	}
	return false;
}

/*
 * One request and the first message of its answer. A daemon that was started anew since the last
 * call is asked again, once: every request may be repeated. Not if there were watches, which the
 * caller has to set again and would not know of.
 */
bool
qdb_link_ask(struct qdb_handle *h, const struct qdb_hdr *req, const char *data, struct qdb_hdr *m,
    const char **value)
{
	const bool again = h->fd >= 0 && !h->watches;

	if (!qdb_link_connect(h))
		return false;
	if (put(h, req, data) && qdb_link_answer(h, m, value))
		return true;
	if (errno != EPIPE || !again)
		return false;
	if (!qdb_link_connect(h)) {
		errno = EPIPE;
		return false;
	}
	return put(h, req, data) && qdb_link_answer(h, m, value);
}

/* An answer that is not the wanted one: says why, in errno. Always false. */
bool
qdb_link_refused(struct qdb_handle *h, const struct qdb_hdr *m)
{
	if (m->type == QDB_NOENT)
		errno = ENOENT;
	else if (m->type == QDB_ERROR)
		errno = EACCES;
	else
		return qdb_link_lost(h, EPROTO);
	return false;
}
