/* SPDX-License-Identifier: ISC */
/* By hand: the runner does what a trigger asks for (runner.c), and brings SERVICE_CONNECT as a
 * client. */
#include <stdio.h>
#include <string.h>

#include "route.h"

bool
route_run(const struct route *r)
{
	struct run_msg m = {.kind = RUN_CALL, .id = r->id};

	memcpy(m.t.source, r->source, sizeof(r->source));
	memcpy(m.t.target, r->target, sizeof(r->target));
	memcpy(m.t.ident, r->ident, sizeof(r->ident));
	m.t.has_source = r->has_source;
	snprintf(m.t.service, sizeof(m.t.service), "%s", r->service);
	return runner_send(r->q, &m);
}

struct route *
route_find(struct qd *q, const char *ident, size_t n)
{
	struct route *r = q->routes.first;

	while (r != NULL && (r->connected || strncmp(r->ident, ident, n) != 0))
		r = r->next;
	return r;
}

void
route_connected(struct route *r)
{
	r->connected = true;
}

static void
on_done(struct loop *l, int fd, short revents, void *arg)
{
	struct route *r = arg;

	(void)l, (void)fd, (void)revents;
	r->done = 0;
	route_free(r);
}

void
route_ran(struct qd *q, uint32_t id, int status)
{
	struct route *r = q->routes.first;

	while (r != NULL && r->id != id)
		r = r->next;
	if (r == NULL)
		return;
	if (status != 0 && !r->connected) {
		route_refuse(
		    r, "", status == EXIT_REFUSED ? "denied" : "the call could not be set up");
		return;
	}
	if (status != 0)
		logit("%.300s to %s: its set-up ended with %d", r->service, r->target, status);
	/* what it said to us before it ended may still stand unread, behind this in the same round
	 */
	if (r->done == 0)
		r->done = loop_after(q->loop, 0, on_done, r);
	if (r->done == 0)
		route_free(r);
}
