/* SPDX-License-Identifier: ISC */
#include <poll.h>
#include <xcb/xcbext.h>

#include "guid.h"

/* Bytes between two looks at whether X takes more, since a socket that says so takes several times
 * this; and at whether what came of them has been read. */
#define LOOK 16384u
#define EXPOSED 2048u /* or windows that may have been told of what shows now */

/* at: the 32-bit word in which its window is. Of a window of F's own, or of C's; or of any other of
 * X's, too: then w is NULL. One that root hears of, and F as well, counts once. */
enum which { OF_F, OF_C, OF_ANY };
static const struct {
	event_fn *fn;
	uint8_t at;
	enum which which;
} events[] = {
    [XCB_KEY_PRESS] = {on_press, 3, OF_F},
    [XCB_KEY_RELEASE] = {on_press, 3, OF_F},
    [XCB_BUTTON_PRESS] = {on_press, 3, OF_C},
    [XCB_BUTTON_RELEASE] = {on_press, 3, OF_C},
    [XCB_MOTION_NOTIFY] = {on_motion, 3, OF_C},
    [XCB_ENTER_NOTIFY] = {on_crossing, 3, OF_C},
    [XCB_LEAVE_NOTIFY] = {on_crossing, 3, OF_C},
    [XCB_FOCUS_IN] = {on_focus, 1, OF_F},
    [XCB_FOCUS_OUT] = {on_focus, 1, OF_F},
    [XCB_EXPOSE] = {on_expose, 1, OF_C},
    [XCB_DESTROY_NOTIFY] = {on_gone, 2, OF_ANY},
    [XCB_UNMAP_NOTIFY] = {on_gone, 2, OF_ANY},
    [XCB_MAP_NOTIFY] = {on_map_notify, 2, OF_ANY},
    [XCB_REPARENT_NOTIFY] = {on_reparent_notify, 2, OF_ANY},
    [XCB_CONFIGURE_NOTIFY] = {on_configure_notify, 2, OF_ANY},
    [XCB_PROPERTY_NOTIFY] = {on_property, 1, OF_ANY},
    [XCB_CLIENT_MESSAGE] = {on_client_message, 1, OF_ANY},
};

/* ---- what is sent ---- */

bool
x_takes(struct gui *g)
{
	struct pollfd p = {.fd = xcb_get_file_descriptor(g->x.c), .events = POLLOUT};
	const uint64_t written = xcb_total_written(g->x.c);

	if (!g->pace.full && written - g->pace.looked < LOOK)
		return true;
	g->pace.looked = written;
	g->pace.full = poll(&p, 1, 0) != 1;
	return !g->pace.full;
}

void
x_flush(struct gui *g)
{
	/* xcb would wait until it has sent all. */
	if (!g->pace.full || x_takes(g))
		xcb_flush(g->x.c);
	if (!xcb_connection_has_error(g->x.c))
		return;
	if (!g->link.over)
		logit("the X server has gone");
	g->link.over = true;
	loop_stop(g->loop, 1);
}

void
x_manager(struct gui *g, xcb_window_t about, xcb_atom_t type, const uint32_t data[5])
{
	x_message(&g->x, g->x.root, about, type, TO_MANAGER, data);
}

static void
on_mark(struct gui *g, const struct answer *a)
{
	(void)a;
	g->pace.asked = false;
}

bool
x_keeps_up(struct gui *g)
{
	const uint64_t written = xcb_total_written(g->x.c);

	if (g->x.behind)
		return false;
	if (written - g->pace.marked < LOOK && g->pace.exposed < EXPOSED)
		return true;
	if (g->pace.asked)
		return false;
	x_expect(&g->x, xcb_get_input_focus(g->x.c).sequence, on_mark, 0);
	g->pace.asked = true;
	g->pace.marked = written;
	g->pace.exposed = 0;
	return true;
}

/* ---- events, errors ---- */

/* A window of ours that X does not have (any more), or could not do: it is lost, its id stays. What
 * others do at the same time is no error of its own: focus, stacking, a tray that has gone. */
static void
on_error(struct gui *g, const xcb_generic_error_t *e)
{
	struct window *w = window_by_x(g, e->resource_id);
	const bool bad_id = e->error_code == XCB_WINDOW || e->error_code == XCB_DRAWABLE ||
			    e->error_code == XCB_ALLOC;

	pixels_failed(g, e->full_sequence);
	if (e->major_code == XCB_SET_INPUT_FOCUS || e->major_code == XCB_SEND_EVENT ||
	    (e->major_code == XCB_CONFIGURE_WINDOW && !bad_id))
		return;
	log_limited(&g->x_errors, "X: error %u, request %u.%u, resource 0x%x%s", e->error_code,
	    e->major_code, e->minor_code, e->resource_id, w != NULL ? ": a window is lost" : "");
	if (w != NULL)
		window_lost(g, w);
}

/* Of a window that is lost nothing is heard. */
static void
window_event(struct gui *g, uint8_t type, const xcb_generic_event_t *e)
{
	const uint32_t *words = (const void *)e, id = words[events[type].at];
	const enum which which = events[type].which;
	struct window *w = window_by_x(g, id);

	if (w == NULL && which != OF_ANY)
		return;
	if (w != NULL && (w->lost || id != (which == OF_C ? w->c : w->f)))
		return;
	if (w != NULL && which == OF_ANY && words[1] != id)
		return;
	events[type].fn(g, w, e);
}

struct window *
x_window(struct gui *g, uint32_t id)
{
	struct window *w = window_by_x(g, id);

	return w != NULL && !w->lost ? w : NULL;
}

void
x_event(struct gui *g, const xcb_generic_event_t *e)
{
	const uint8_t type = e->response_type & 0x7f;

	if (type == XCB_KEYMAP_NOTIFY) {
		on_keymap(g, NULL, e);
		return;
	}
	input_focus_flush(g);
	if (e->response_type == 0)
		on_error(g, (const xcb_generic_error_t *)e);
	else if (type == g->px.completion)
		on_completion(g, NULL, e);
	else if (type < sizeof events / sizeof *events && events[type].fn != NULL)
		window_event(g, type, e);
}
