/* SPDX-License-Identifier: ISC */
/*
 * Where the channel comes from. Managed: chand makes the server, each time anew (chand/chansock.h);
 * the qube may come at any time. By hand and in a qube: by name.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chand/chansock.h"
#include "kv.h"
#include "paths.h"
#include "qdbd.h"
#include "sock.h"

#define AGAIN_MS 20u	  /* after a peer that left in order */
#define AGAIN_BAD_MS 500u /* after one that did not, or at once, or when there is no channel */
#define HASTY_MS 1000u

static void on_again(struct loop *l, int fd, short revents, void *arg);

static void
again(struct qdbd *d, uint32_t ms)
{
	loop_cancel(d->loop, d->link_timer);
	d->link_timer = loop_after(d->loop, ms, on_again, d);
	if (d->link_timer == 0)
		die("no memory");
}

/* ---- the control descriptor ---- */

static void
gone(void *arg)
{
	struct qdbd *d = arg;

	logit("the qube has ended");
	d->let_go = true;
	peer_close(d);
}

void
link_up(struct qdbd *d)
{
	d->up_ms = loop_now(d->loop);
	if (d->control.fd >= 0)
		(void)send(d->control.fd, CHAN_CAME, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- a server from chand ---- */

static void
asking_end(struct qdbd *d)
{
	if (d->asking < 0)
		return;
	loop_del(d->loop, d->asking);
	close(d->asking);
	d->asking = -1;
}

static void
no_server(struct qdbd *d, const char *why)
{
	char esc[LOG_ESC_MAX];

	if (!d->told)
		logit("no channel from chand: %s; asking again", log_escs(esc, sizeof esc, why));
	d->told = true;
	asking_end(d);
	again(d, AGAIN_BAD_MS);
}

static void
on_answer(struct loop *l, int fd, short revents, void *arg)
{
	static struct kv kv;
	struct qdbd *d = arg;
	char text[CHAN_REQUEST_MAX];
	const char *bad, *s;
	struct vchan *v;
	uint32_t domid;
	int passed = -1;
	const ssize_t n = sock_recv_fd(fd, text, sizeof text, &passed);

	(void)l, (void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	bad = n > 0 ? kv_parse(&kv, text, (size_t)n) : "hung up";
	if (bad == NULL && passed < 0)
		bad = kv_get(&kv, "reason") != NULL ? kv_get(&kv, "reason") : "no channel came";
	s = bad == NULL ? kv_get(&kv, "domid") : NULL;
	if (bad == NULL && (s == NULL || !parse_u32(s, UINT32_MAX, &domid) || domid != d->domid))
		bad = "another domain's";
	if (bad != NULL) {
		if (passed >= 0)
			close(passed);
		no_server(d, bad);
		return;
	}
	v = vchan_take(VCHAN_SERVER, passed);
	if (v == NULL) {
		no_server(d, strerror(errno));
		return;
	}
	loop_del(d->loop, fd);
	d->asking = -1;
	d->told = false;
	control_open(&d->control, fd, domid);
	control_watch(&d->control, d->loop, gone, d);
	peer_take(d, v);
	ready(d);
}

static void
ask(struct qdbd *d)
{
	static const char request[] = "role=server\nport=111\n\n";

	d->asking = sock_connect(CHAN_SOCK);
	if (d->asking < 0 ||
	    send(d->asking, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1 ||
	    !loop_add(d->loop, d->asking, POLLIN, on_answer, d))
		no_server(d, strerror(errno));
}

/* ---- by name ---- */

static void
open_by_name(struct qdbd *d)
{
	struct vchan *v = vchan_open(
	    d->side == DOM0 ? VCHAN_SERVER : VCHAN_CLIENT, NULL, d->self, d->domid, QDB_PORT);

	if (v == NULL) {
		if (!d->told)
			logit("the channel cannot be opened: %s; trying again", strerror(errno));
		d->told = true;
		again(d, AGAIN_BAD_MS);
		return;
	}
	d->told = false;
	peer_take(d, v);
	if (d->side == DOM0)
		ready(d);
}

void
link_start(struct qdbd *d)
{
	if (d->managed)
		ask(d);
	else
		open_by_name(d);
}

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	struct qdbd *d = arg;

	(void)l, (void)fd, (void)revents;
	d->link_timer = 0;
	link_start(d);
}

void
link_lost(struct qdbd *d, bool was_synced, bool bad)
{
	const bool hasty = loop_now(d->loop) - d->up_ms < HASTY_MS;

	control_close(&d->control);
	if (d->let_go)
		return;
	if (d->side == DOM0 && !d->managed && !was_synced && !bad) {
		logit("the channel was closed before it was used: the domain has gone");
		loop_stop(d->loop, 0);
		return;
	}
	again(d, bad || hasty ? AGAIN_BAD_MS : AGAIN_MS);
}
