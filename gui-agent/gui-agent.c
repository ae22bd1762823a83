/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ga.h"
#include "names.h"

#define USAGE "usage: gui-agent [-d DOMID]\n       gui-agent --qube"
#define ROUNDS 8 /* of one turn: then guid has its */

static void on_x(struct loop *l, int fd, short revents, void *arg);

/* Whatever came: what follows from it is told, read, sent. xcb may have read more meanwhile. */
void
link_turn(struct gui *g)
{
	int n = 0;

	if (g->x.c == NULL) { /* as a qube's: there is no X server before there is a guid */
		link_watch(g);
		if (g->link.hello)
			loop_stop(g->loop, 0);
		return;
	}
	do {
		windows_tell(g);
		link_watch(g);
		xcb_flush(g->x.c);
	} while ((screen_turn(g) || windows_wait(g)) && ++n < ROUNDS);
	if (n == ROUNDS && loop_after(g->loop, 0, on_x, g) == 0)
		die("no memory");
}

static void
on_x(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	(void)screen_turn(arg);
	link_turn(arg);
}

static void
on_term(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	loop_stop(l, 0);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"help", no_argument, NULL, 'h'}, {"qube", no_argument, NULL, 'q'}, {0}};
	static struct gui g;
	const int term[] = {SIGTERM, SIGINT};
	const char *why;
	bool qube = false;
	int c;

	log_open("gui-agent", NULL);
	while ((c = getopt_long(argc, argv, "d:", longs, NULL)) != -1) {
		if (c == 'h')
			return puts(USAGE) < 0;
		if (c == 'q')
			qube = true;
		else if (c != 'd' || !parse_u32(optarg, 0x7fef, &g.dom0.peer))
			usage_die(USAGE);
	}
	if (optind != argc)
		usage_die(USAGE);
	if (qube && !server_wanted())
		return 0;
	g.loop = loop_new();
	g.dom0.self = vchan_self();
	link_open(&g);
	if (qube) {
		link_turn(&g);
		(void)loop_run(g.loop);
		server_start(g.dom0.w, g.dom0.h);
	}
	signal(SIGPIPE, SIG_IGN);
	screen_open(&g);
	if ((why = share_open(&g)) != NULL)
		die("%s", why);
	pixels_start(&g);
	wm_start(&g);
	tray_start(&g);
	windows_scan(&g);
	input_start(&g);
	screen_fit(&g);
	if (!loop_signals(g.loop, term, 2, on_term, &g) ||
	    !loop_add(g.loop, xcb_get_file_descriptor(g.x.c), POLLIN, on_x, &g))
		die("poll loop");
	link_turn(&g);
	return loop_run(g.loop);
}
