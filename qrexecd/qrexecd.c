/* SPDX-License-Identifier: ISC */
/* qrexecd.8. One per qube: what is taken from outside, the sandbox, the loop. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon.h"
#include "qrexecd.h"

static void
on_term(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	loop_stop(l, 0);
}

static void
on_startup_over(struct loop *l, int fd, short revents, void *arg)
{
	(void)fd, (void)revents, (void)arg;
	logit("agent: it did not answer in time");
	loop_stop(l, 3);
}

/* The names that scripts know: links beside qrexec.DOMID. On the way in old ones are replaced. */
static bool
compat_links(const struct qd *q, bool show)
{
	char by_name[NAME_BUF + 16], by_uuid[UUID_LEN + 24];

	snprintf(by_name, sizeof(by_name), "qrexec.%s", q->name);
	snprintf(by_uuid, sizeof(by_uuid), "qrexec.uuid:%s", q->uuid);
	unlink(by_name);
	unlink(by_uuid);
	return !show ||
	       (symlink(q->door.name, by_name) == 0 && symlink(q->door.name, by_uuid) == 0);
}

bool
names_show(struct qd *q)
{
	/* the links first: who sees qrexec.DOMID may use any of its names */
	if (!q->managed && !compat_links(q, true))
		return false;
	if (!door_show(&q->door) || (q->managed && !door_show(&q->peer_door)))
		return false;
	logit("agent: connected, version %u", q->link.version);
	loop_cancel(q->loop, q->startup_timer);
	daemon_ready(q->notify);
	q->notify = -1;
	dispose_begin(q);
	return true;
}

void
names_hide(struct qd *q)
{
	door_hide(&q->door);
	if (q->managed)
		door_hide(&q->peer_door);
	else
		compat_links(q, false);
}

void
names_remove(struct qd *q)
{
	names_hide(q);
	door_remove(&q->door);
	if (q->managed)
		door_remove(&q->peer_door);
}

int
main(int argc, char **argv)
{
	static struct qd q; /* mostly scratch: no initial values, so none of it is in the file */
	const int term[] = {SIGTERM, SIGINT};
	int code;

	q.runner = q.reserve = q.link.fd = -1;
	setup(&q, argc, argv);
	q.loop = loop_new();
	q.door.max = CLIENTS_MAX;
	q.door.came = client_came;
	q.peer_door.max = PEERS_MAX;
	q.peer_door.came = peer_came;
	routes_init(&q);
	signal(SIGPIPE, SIG_IGN);
	if (!loop_signals(q.loop, term, 2, on_term, &q))
		die("signals");
	runner_listen(&q);
	if (q.startup_ms > 0)
		q.startup_timer = loop_after(q.loop, q.startup_ms, on_startup_over, &q);

	sandbox(&q);

	link_start(&q);
	code = loop_run(q.loop);
	names_remove(&q);
	return code;
}
