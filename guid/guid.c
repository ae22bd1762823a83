/* SPDX-License-Identifier: ISC */
/* guid.8. What is taken from outside, the sandbox, the loop. */
#include <signal.h>
#include <unistd.h>

#include "guid.h"

#define READ_SIZE 65536
#define HEARD_MS 20 /* until a window manager may hear more */
#define READS 4u    /* of one turn: then X has its own */

static void on_x(struct loop *l, int fd, short revents, void *arg);
static void on_agent(struct loop *l, int fd, short revents, void *arg);

/* What is waited for: X, the agent unless X is not able to take what would come of it. */
static void
watch(struct gui *g)
{
	loop_set(g->loop, xcb_get_file_descriptor(g->x.c),
	    (short)(POLLIN | (g->pace.full ? POLLOUT : 0)));
	gui_watch(&g->link, g->loop, !g->agent.paused, on_agent, g);
}

static void
read_agent(struct gui *g)
{
	static uint8_t chunk[READ_SIZE];
	struct gui_link *k = &g->link;
	ssize_t n = 1;

	agent_parse(g);
	for (unsigned i = 0; n > 0 && i < READS && !g->agent.paused && !k->over; i++) {
		n = vchan_read(k->v, chunk, sizeof chunk);
		if (n > 0)
			agent_take(g, chunk, (size_t)n);
		if (n < READ_SIZE)
			break; /* that was all */
	}
	if (n >= 0 || k->over)
		return;
	logit("the agent has gone");
	k->over = true;
	loop_stop(g->loop, g->o.session != NULL ? 0 : AGAIN);
}

/* Whether X, and a window manager, are ready for what would come of the agent's messages. */
static bool
ready(struct gui *g)
{
	return agent_heard(g) && x_keeps_up(g) && x_takes(g);
}

void
turn(struct gui *g)
{
	bool more = true;
	uint64_t wait = 0;

	/* xcb reads while it writes, and what it has read wakes nobody. */
	for (int i = 0; more && i < 4; i++) {
		pixels_paint(g);
		x_flush(g);
		agent_flush(g);
		more = x_turn(&g->x, false);
	}
	more = more || (g->agent.paused && ready(g));
	if (!more && g->agent.paused && !agent_heard(g))
		wait = HEARD_MS;
	if ((more || wait > 0) && g->pace.again == 0) {
		g->pace.again = loop_after(g->loop, wait, on_x, g);
		if (g->pace.again == 0)
			die("no memory");
	}
	watch(g);
}

static void
on_agent(struct loop *l, int fd, short revents, void *arg)
{
	struct gui *g = arg;

	(void)l, (void)fd, (void)revents;
	vchan_turn(g->link.v);
	if (!g->agent.paused)
		read_agent(g);
	turn(g);
}

/* fd < 0: only what waits here already. */
static void
on_x(struct loop *l, int fd, short revents, void *arg)
{
	struct gui *g = arg;

	(void)l, (void)revents;
	if (fd < 0)
		g->pace.again = 0;
	x_turn(&g->x, fd >= 0);
	if (g->agent.paused && ready(g))
		read_agent(g);
	turn(g);
}

static void
gone(void *arg)
{
	logit("the qube has ended");
	loop_stop(((struct gui *)arg)->loop, 0);
}

static void
start(struct gui *g)
{
	x_start(g);
	hints_start(g);
	override_start(g);
	tray_start(g);
	g->link.fd = -1;
	g->agent.motion_window = UINT32_MAX;
	g->link.in.max =
	    sizeof(struct gui_hdr) + sizeof(struct gui_dump) + 4 * GUI_REFS_MAX + READ_SIZE;
	g->link.out.max = SEND_MAX;
	if (!loop_add(g->loop, xcb_get_file_descriptor(g->x.c), POLLIN, on_x, g))
		die("no memory");
	control_watch(&g->control, g->loop, gone, g);
	if (g->ready >= 0 && write(g->ready, "\n", 1) == 1)
		close(g->ready);
	on_x(g->loop, -1, 0, g);
}

int
main(int argc, char **argv)
{
	static struct gui g;

	g.ready = g.inotify = -1;
	g.loop = loop_new();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* the root window's size comes by itself */
	options(&g, argc, argv);
	setup(&g);

	enter_sandbox(&g);

	start(&g);
	return loop_run(g.loop);
}
