/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "sock.h"

#define AGAIN_MS 200 /* chand is started anew within a second or so */

void
control_open(struct control *c, int fd, uint32_t domid)
{
	*c = (struct control){.fd = fd, .domid = fd >= 0 ? domid : 0};
}

static void
unwatch(struct control *c)
{
	if (c->loop == NULL)
		return;
	if (c->watched >= 0)
		loop_del(c->loop, c->watched);
	loop_cancel(c->loop, c->timer);
	c->watched = -1;
	c->timer = 0;
}

void
control_close(struct control *c)
{
	unwatch(c);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->again = 0;
}

static void
ended(struct control *c)
{
	control_close(c);
	c->again = c->domid != 0 ? now_ms() + AGAIN_MS : 0;
}

int
control_wait(const struct control *c)
{
	const uint64_t now = now_ms();

	if (c->again == 0)
		return -1;
	return c->again > now ? (int)(c->again - now) : 0;
}

static void
ask(struct control *c)
{
	char request[48];
	const int n = snprintf(request, sizeof request, "role=watch\ndomid=%u\n\n", c->domid);

	c->again = 0;
	c->fd = sock_connect(CHAN_SOCK);
	c->asked = true;
	c->n = 0;
	if (c->fd < 0 || !sock_send_fd(c->fd, request, (size_t)n, -1))
		ended(c);
}

/* The answer, when it is whole: the same domain, or ours has gone. */
static bool
same(const char *text, size_t n, uint32_t mine)
{
	struct kv kv;
	const char *result, *domid;
	uint32_t theirs;

	if (kv_parse(&kv, text, n) != NULL)
		return false;
	result = kv_get(&kv, "result");
	domid = kv_get(&kv, "domid");
	return result && strcmp(result, "ok") == 0 && domid &&
	       parse_u32(domid, UINT32_MAX, &theirs) && theirs == mine;
}

static bool
answered(struct control *c)
{
	const size_t whole = kv_whole(c->in, c->n);

	if (whole == 0)
		return c->n < sizeof c->in;
	c->asked = false;
	return whole == c->n && same(c->in, c->n, c->domid); /* more: let go, already */
}

bool
control_turn(struct control *c)
{
	ssize_t n;

	if (c->fd < 0) {
		if (c->again != 0 && control_wait(c) == 0)
			ask(c);
		return true;
	}
	if (!c->asked)
		c->n = 0;
	n = recv(c->fd, c->in + c->n, sizeof c->in - c->n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		ended(c);
		return true;
	}
	c->n += (size_t)n;
	return c->asked && answered(c);
}

static void on_control(struct loop *l, int fd, short revents, void *arg);

static void
watch(struct control *c)
{
	const int ms = control_wait(c);

	c->watched = c->fd;
	if (c->fd >= 0 && !loop_add(c->loop, c->fd, POLLIN, on_control, c))
		die("no memory");
	c->timer = ms >= 0 ? loop_after(c->loop, (uint64_t)ms, on_control, c) : 0;
	if (ms >= 0 && c->timer == 0)
		die("no memory");
}

static void
on_control(struct loop *l, int fd, short revents, void *arg)
{
	struct control *c = arg;

	(void)l, (void)fd, (void)revents;
	unwatch(c); /* its number may be another's in a moment */
	if (control_turn(c))
		watch(c);
	else
		c->gone(c->arg);
}

void
control_watch(struct control *c, struct loop *l, void (*gone)(void *arg), void *arg)
{
	c->loop = l;
	c->gone = gone;
	c->arg = arg;
	watch(c);
}
