/* SPDX-License-Identifier: ISC */
/* The qube's X server: requests and events. It is asked and answers; errors are of windows that
 * went. */
#include <xcb/composite.h>
#include <xcb/randr.h>
#include <xcb/shm.h>
#include <xcb/xfixes.h>
#include <xcb/xkb.h>
#include <xcb/xtest.h>

#include "display/screen.h"
#include "ga.h"

#define SENT 0x80 /* by a client */

void
screen_open(struct gui *g)
{
	static const char *const names[] = {
#define NAME(name) #name,
	    ATOMS(NAME)
#undef NAME
	};
	xcb_connection_t *const c = g->x.c = xcb_connect(NULL, NULL);
	const xcb_screen_t *s = x_open(&g->x, g, 0);

	if (g->x.depth != 24)
		die("the screen has %u bits for a pixel, not 24", g->x.depth);
	g->screen.visual = s->root_visual;
	g->screen.w = s->width_in_pixels;
	g->screen.h = s->height_in_pixels;
	x_extension(&g->x, &xcb_shm_id, "MIT-SHM");
	x_extension(&g->x, &xcb_test_id, "XTEST");
	x_extension(&g->x, &xcb_composite_id, "Composite");
	x_extension(&g->x, &xcb_randr_id, "RANDR");
	x_extension(&g->x, &xcb_xkb_id, "XKEYBOARD");
	g->screen.damage = x_extension(&g->x, &xcb_damage_id, "DAMAGE")->first_event;
	g->screen.fixes = x_extension(&g->x, &xcb_xfixes_id, "XFIXES")->first_event;
	/* X wants to hear which version of each we mean. */
	xcb_discard_reply(c, xcb_composite_query_version(c, 0, 4).sequence);
	xcb_discard_reply(c, xcb_damage_query_version(c, 1, 1).sequence);
	xcb_discard_reply(c, xcb_xfixes_query_version(c, 5, 0).sequence);
	xcb_discard_reply(c, xcb_xkb_use_extension(c, 1, 0).sequence);
	xcb_discard_reply(c, xcb_randr_query_version(c, 1, 3).sequence);
	x_atoms(&g->x, names, ATOMS_N);
}

void
screen_fit(struct gui *g)
{
	if (g->x.c != NULL && ((int)g->dom0.w != g->screen.w || (int)g->dom0.h != g->screen.h))
		screen_size(g->x.c, g->x.root, g->dom0.w, g->dom0.h);
}

/* ---- what comes ---- */

/* Of errors there are only those of windows that went. */
void
x_event(struct gui *g, const xcb_generic_event_t *e)
{
	const uint8_t type = e->response_type;
	static event_fn *const handlers[256] = {
	    [XCB_DESTROY_NOTIFY] = destroy_notify,
	    [XCB_UNMAP_NOTIFY] = unmap_notify,
	    [XCB_MAP_NOTIFY] = map_notify,
	    [XCB_MAP_REQUEST] = map_request,
	    [XCB_REPARENT_NOTIFY] = reparent_notify,
	    [XCB_CONFIGURE_NOTIFY] = configure_notify,
	    [XCB_CONFIGURE_REQUEST] = configure_request,
	    [XCB_PROPERTY_NOTIFY] = property_notify,
	    [XCB_SELECTION_CLEAR] = selection_clear,
	    [XCB_SELECTION_REQUEST] = selection_request,
	    [XCB_SELECTION_NOTIFY] = selection_notify,
	    [XCB_SELECTION_NOTIFY | SENT] = selection_notify,
	    [XCB_CLIENT_MESSAGE | SENT] = client_message,
	};

	if (type == g->screen.damage + XCB_DAMAGE_NOTIFY)
		damage_notify(g, e);
	else if (type == g->screen.fixes + XCB_XFIXES_CURSOR_NOTIFY)
		cursor_notify(g, e);
	else if (handlers[type] != NULL)
		handlers[type](g, e);
}

struct window *
x_window(struct gui *g, uint32_t id)
{
	struct window *w = window_find(g, id);

	return w != NULL && !w->gone ? w : NULL;
}

bool
screen_turn(struct gui *g)
{
	const bool some = x_turn(&g->x, true);

	if (xcb_connection_has_error(g->x.c))
		die("the X server has gone");
	return some;
}
