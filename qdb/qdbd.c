/* SPDX-License-Identifier: ISC */
/* qdbd.8. What is taken from outside, the sandbox, the loop. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "qdbd.h"

static void
on_term(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	loop_stop(l, 0);
}

void
ready(struct qdbd *d)
{
	static const char word[] = "READY=1";

	if (d->serving)
		return;
	d->serving = true;
	clients_serve(d);
	daemon_ready(d->notify);
	d->notify = -1;
	if (d->notify_sock < 0)
		return;
	if (write(d->notify_sock, word, sizeof(word) - 1) < 0)
		logit("NOTIFY_SOCKET does not take READY=1");
	close(d->notify_sock);
	d->notify_sock = -1;
}

/* One that is started after us gives no second random seed, and asks the qube for its part. */
void
synced(struct qdbd *d)
{
	if (d->mark < 0)
		return;
	if (write(d->mark, d->session, HEXID_LEN) != HEXID_LEN)
		logit("the mark for after a crash cannot be written");
	close(d->mark);
	d->mark = -1;
}

int
main(int argc, char **argv)
{
	static struct qdbd d; /* mostly scratch: no initial values, so none of it is in the file */
	const int term[] = {SIGTERM, SIGINT};
	int code;

	d.peer.fd = d.control.fd = d.asking = d.mark = d.notify = d.notify_sock = -1;
	d.loop = loop_new();
	signal(SIGPIPE, SIG_IGN);
	setup(&d, argc, argv);
	if ((d.managed && !loop_many(d.loop)) || !loop_signals(d.loop, term, 2, on_term, &d))
		die("loop");

	sandbox(&d);

	if (d.has_peer)
		link_start(&d);
	else
		ready(&d);
	code = loop_run(d.loop);
	names_remove(&d);
	return code;
}
