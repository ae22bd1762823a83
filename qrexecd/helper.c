/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qrexecd.h"
#include "sock.h"

#define RETRY_MS 5u

void
helper_free(struct helper *h)
{
	if (h == NULL)
		return;
	loop_cancel(h->q->loop, h->deadline);
	loop_cancel(h->q->loop, h->retry);
	if (h->fd >= 0) {
		loop_del(h->q->loop, h->fd);
		close(h->fd);
	}
	if (h->passed >= 0)
		close(h->passed);
	buf_free(&h->in);
	buf_free(&h->out);
	free(h);
}

/* Whatever comes now, done has been told: the connection is only kept or freed. */
static void
finish(struct helper *h, const char *why)
{
	loop_cancel(h->q->loop, h->deadline);
	h->deadline = 0;
	if (h->fd >= 0)
		loop_del(h->q->loop, h->fd);
	h->done(h, why);
}

static void
on_deadline(struct loop *l, int fd, short revents, void *arg)
{
	struct helper *h = arg;

	(void)l, (void)fd, (void)revents;
	h->deadline = 0;
	finish(h, h->connected ? "no answer in time" : "cannot connect");
}

static void
on_readable(struct loop *l, int fd, short revents, void *arg)
{
	struct helper *h = arg;
	const char *why = NULL;
	char part[2048];
	ssize_t r;
	int passed = -1;

	(void)l, (void)revents;
	r = sock_recv_fd(fd, part, sizeof(part), &passed);
	if (passed >= 0) {
		if (h->passed >= 0)
			close(h->passed);
		h->passed = passed;
	}
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r > 0 && !buf_put(&h->in, part, (size_t)r))
		why = "the answer is too long";
	else if (r <= 0 && h->in.len == 0)
		why = "hung up without an answer";
	else if (r > 0 && kv_whole(buf_bytes(&h->in), h->in.len) == 0)
		return;
	finish(h, why);
}

static void
on_kept(struct loop *l, int fd, short revents, void *arg)
{
	char junk[64];
	ssize_t r = read(fd, junk, sizeof(junk));

	(void)l, (void)revents;
	if (r > 0)
		finish(arg, NULL);
	else if (r == 0 || (errno != EAGAIN && errno != EINTR))
		finish(arg, "hung up");
}

void
helper_keep(struct helper *h, void (*done)(struct helper *, const char *))
{
	h->done = done;
	buf_free(&h->in);
	buf_free(&h->out);
	if (!loop_add(h->q->loop, h->fd, POLLIN, on_kept, h))
		die("no memory");
}

/* A full backlog cannot be polled for: a short timer, within the deadline. */
static void
on_connect(struct loop *l, int fd, short revents, void *arg)
{
	struct helper *h = arg;

	(void)fd, (void)revents;
	h->retry = 0;
	h->fd = sock_connect(h->path);
	if (h->fd < 0 && (errno == EAGAIN || errno == EINTR)) {
		h->retry = loop_after(l, RETRY_MS, on_connect, h);
		if (h->retry != 0)
			return;
	}
	if (h->fd < 0) {
		finish(
		    h, errno == ENOENT || errno == ECONNREFUSED ? "not there" : "cannot connect");
		return;
	}
	h->connected = true;
	if (!sock_send_fd(h->fd, buf_bytes(&h->out), h->out.len, -1) ||
	    !loop_add(l, h->fd, POLLIN, on_readable, h)) {
		finish(h, "cannot send the request");
		return;
	}
	buf_free(&h->out);
}

struct helper *
helper_ask(struct qd *q, const char *path, uint32_t ms, const char *request,
    void (*done)(struct helper *, const char *), void *arg)
{
	size_t len = strlen(path) + 1;
	struct helper *h = calloc(1, sizeof(*h) + len);

	if (h == NULL)
		return NULL;
	memcpy(h + 1, path, len);
	*h = (struct helper){
	    .q = q, .path = (char *)(h + 1), .fd = -1, .passed = -1, .done = done, .arg = arg};
	h->in.max = h->out.max = KV_BYTES;
	h->retry = loop_after(q->loop, 0, on_connect, h);
	if (ms > 0)
		h->deadline = loop_after(q->loop, ms, on_deadline, h);
	if (!buf_put(&h->out, request, strlen(request)) || h->retry == 0 ||
	    (ms > 0 && h->deadline == 0)) {
		helper_free(h);
		return NULL;
	}
	return h;
}

const char *
helper_result(const struct helper *h, struct kv *kv, char *why, size_t size)
{
	const char *p = (const char *)buf_bytes(&h->in), *at = memmem(p, h->in.len, "result=", 7);
	const char *bad, *result, *reason;
	char esc[LOG_ESC_MAX];

	/* startd's progress lines may come first */
	while (at != NULL && at > p && at[-1] != '\n')
		at = memmem(at + 1, h->in.len - (size_t)(at + 1 - p), "result=", 7);
	bad = at == NULL ? "no result" : kv_parse(kv, at, h->in.len - (size_t)(at - p));
	if (bad != NULL) {
		snprintf(why, size, "malformed answer: %s", bad);
		return why;
	}
	result = kv_get(kv, "result");
	if (strcmp(result, "ok") == 0)
		return NULL;
	reason = kv_get(kv, "reason");
	snprintf(why, size, "%s",
	    log_escs(esc, sizeof(esc), reason != NULL ? reason : "no reason given"));
	return why;
}
