/* SPDX-License-Identifier: ISC */
/* The qube's X server: requests whose replies come later, events, errors. */
#include <stdlib.h>
#include <string.h>
#include <xcb/composite.h>
#include <xcb/randr.h>
#include <xcb/shm.h>
#include <xcb/xfixes.h>
#include <xcb/xtest.h>

#include "display/screen.h"
#include "ga.h"

static const char *const names[] = {
#define NAME(name) #name,
    ATOMS(NAME)
#undef NAME
};

/* X wants to hear which version of each we mean. */
static void
extensions(struct gui *g)
{
	const xcb_query_extension_reply_t *randr;

	x_extension(&g->x, &xcb_shm_id, "MIT-SHM");
	x_extension(&g->x, &xcb_test_id, "XTEST");
	x_extension(&g->x, &xcb_composite_id, "Composite");
	g->screen.damage = x_extension(&g->x, &xcb_damage_id, "DAMAGE")->first_event;
	g->screen.fixes = x_extension(&g->x, &xcb_xfixes_id, "XFIXES")->first_event;
	xcb_discard_reply(g->x.c, xcb_composite_query_version(g->x.c, 0, 4).sequence);
	xcb_discard_reply(g->x.c, xcb_damage_query_version(g->x.c, 1, 1).sequence);
	xcb_discard_reply(g->x.c, xcb_xfixes_query_version(g->x.c, 5, 0).sequence);
	randr = xcb_get_extension_data(g->x.c, &xcb_randr_id);
	g->screen.randr = randr != NULL && randr->present;
	if (g->screen.randr)
		xcb_discard_reply(g->x.c, xcb_randr_query_version(g->x.c, 1, 3).sequence);
}

void
screen_open(struct gui *g)
{
	const xcb_screen_t *s;
	int n = 0;

	g->x.c = xcb_connect(NULL, &n);
	s = x_open(&g->x, g, n);
	if (g->x.depth != 24)
		die("the screen has %u bits for a pixel, not 24", g->x.depth);
	g->screen.visual = s->root_visual;
	g->screen.w = s->width_in_pixels;
	g->screen.h = s->height_in_pixels;
	extensions(g);
	x_atoms(&g->x, names, ATOMS_N);
}

/* Once for each guid: it may wait for X. */
void
screen_fit(struct gui *g)
{
	if (g->screen.randr && ((int)g->dom0.w != g->screen.w || (int)g->dom0.h != g->screen.h))
		screen_size(g->x.c, g->x.root, g->dom0.w, g->dom0.h);
}

/* ---- what comes ---- */

struct window *
x_window(struct gui *g, uint32_t id)
{
	struct window *w = window_find(g, id);

	return w != NULL && !w->gone ? w : NULL;
}

void
x_event(struct gui *g, const xcb_generic_event_t *e)
{
	const uint8_t type = e->response_type & 0x7f;

	if (type == g->screen.damage + XCB_DAMAGE_NOTIFY)
		pixels_damage(g, (const xcb_damage_notify_event_t *)e);
	else if (type == g->screen.fixes + XCB_XFIXES_CURSOR_NOTIFY)
		input_cursor(g, ((const xcb_xfixes_cursor_notify_event_t *)e)->name);
	else if (type == XCB_PROPERTY_NOTIFY)
		props_changed(g, (const xcb_property_notify_event_t *)e);
	else if (type == XCB_CLIENT_MESSAGE)
		props_message(g, (const xcb_client_message_event_t *)e);
	else if (type == XCB_MAPPING_NOTIFY)
		input_mapping(g);
	else if (type >= XCB_SELECTION_CLEAR && type <= XCB_SELECTION_NOTIFY)
		clip_event(g, e);
	else if (type != 0) /* errors: of windows that went */
		window_event(g, e);
}

bool
screen_turn(struct gui *g)
{
	const bool some = x_turn(&g->x, true);

	if (xcb_connection_has_error(g->x.c))
		die("the X server has gone");
	return some;
}
