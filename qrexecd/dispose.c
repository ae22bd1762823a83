/* SPDX-License-Identifier: ISC */
/*
 * A disposable's qrexecd sees to it that it goes: when the call of the ticket that it was made for
 * is over, or when no call came for a minute. startd, who is asked, refuses as long as somebody
 * holds the disposable by a connection (a qrexecd whose call runs, qvm-run) or it is kept ready.
 *
 * Killed and started anew this daemon knows of no call. It need not: who asked for the disposable
 * still holds it, so it stays until that call is over there. Only when startd, who knows the
 * holders, was killed as well, a call that runs then is ended after a minute.
 */
#include <stdio.h>

#include "paths.h"
#include "qrexecd.h"

#define IDLE_MS 60000u
#define AGAIN_MS 5000u /* startd is not there */
#define ANSWER_MS 30000u

static void on_idle(struct loop *l, int fd, short revents, void *arg);

static void
later(struct qd *q, uint32_t ms)
{
	struct dispose *d = &q->dispose;

	loop_cancel(q->loop, d->timer);
	d->timer = loop_after(q->loop, ms, on_idle, q);
	if (d->timer == 0)
		die("no memory");
}

static void
on_answer(struct helper *h, const char *why)
{
	struct qd *q = h->q;
	char reason[LOG_ESC_MAX];
	bool heard = why == NULL;

	if (heard)
		why = helper_result(h, &q->kv, reason, sizeof(reason));
	if (why != NULL && q->dispose.over)
		logit("startd does not dispose of it yet: %s", why);
	helper_free(h);
	q->dispose.h = NULL;
	later(q, heard ? IDLE_MS : AGAIN_MS);
}

static void
ask(struct qd *q)
{
	char request[NAME_BUF + 32];

	if (q->dispose.h != NULL)
		return;
	snprintf(request, sizeof(request), "op=dispose\nname=%s\n\n", q->name);
	q->dispose.h = helper_ask(q, START_SOCK, ANSWER_MS, request, on_answer, q);
	if (q->dispose.h == NULL)
		later(q, AGAIN_MS);
}

static void
on_idle(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;

	(void)l, (void)fd, (void)revents;
	q->dispose.timer = 0;
	if (!q->dispose.over &&
	    (ports_busy(&q->ports) || q->door.open > 0 || q->peer_door.open > 0))
		later(q, IDLE_MS);
	else
		ask(q);
}

void
dispose_begin(struct qd *q)
{
	if (q->dispose.on && q->dispose.timer == 0 && q->dispose.h == NULL)
		later(q, IDLE_MS);
}

void
dispose_call(struct qd *q, uint32_t domain, uint32_t port)
{
	q->dispose.domain = domain;
	q->dispose.port = port;
}

static void
over(struct qd *q, const char *what)
{
	q->dispose.port = 0;
	if (!q->dispose.on)
		return;
	logit("%s: to be disposed of", what);
	q->dispose.over = true;
	ask(q);
}

void
dispose_port_freed(struct qd *q, uint32_t domain, uint32_t port)
{
	if (q->dispose.port == port && q->dispose.domain == domain)
		over(q, "the call that it was made for is over");
}

void
dispose_agent_gone(struct qd *q)
{
	if (q->dispose.port != 0)
		over(q, "its agent has gone in the middle of its call");
}
