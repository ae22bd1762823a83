/* SPDX-License-Identifier: ISC */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/xcbext.h>

#include "guid.h"

/* Bytes between two looks at whether X takes more, since a socket that says so takes several times
 * this; and at whether what came of them has been read. */
#define LOOK 16384u
#define EXPOSED 2048u /* or windows that may have been told of what shows now */
#define EVENTS 512u   /* of one turn: then others have theirs */

/* at: the 32-bit word in which its window is. Of a window of F's own, or of C's; or of any other of
 * X's, too: then w is NULL. One that root hears of, and F as well, counts once. */
enum which { OF_F, OF_C, OF_ANY };
static const struct {
	event_fn *fn;
	uint8_t at;
	enum which which;
} events[] = {
    [XCB_KEY_PRESS] = {on_key, 3, OF_F},
    [XCB_KEY_RELEASE] = {on_key, 3, OF_F},
    [XCB_BUTTON_PRESS] = {on_button, 3, OF_C},
    [XCB_BUTTON_RELEASE] = {on_button, 3, OF_C},
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

/* A reply that is to come. */
struct expected {
	struct expected *next;
	unsigned sequence;
	reply_fn *fn;
	uint32_t arg;
};

/* ---- what is sent ---- */

bool
x_takes(struct guid *g)
{
	struct pollfd p = {.fd = xcb_get_file_descriptor(g->x.c), .events = POLLOUT};
	const uint64_t written = xcb_total_written(g->x.c);

	if (!g->x.full && written - g->x.looked < LOOK)
		return true;
	g->x.looked = written;
	g->x.full = poll(&p, 1, 0) != 1;
	return !g->x.full;
}

void
x_flush(struct guid *g)
{
	/* xcb would wait until it has sent all. */
	if (!g->x.full || x_takes(g))
		xcb_flush(g->x.c);
	if (!xcb_connection_has_error(g->x.c))
		return;
	if (!g->agent.over)
		logit("the X server has gone");
	g->agent.over = true;
	loop_stop(g->loop, 1);
}

uint32_t
x_place(struct guid *g, xcb_window_t w, const struct rect *r)
{
	const uint32_t v[] = {(uint32_t)r->x, (uint32_t)r->y, (uint32_t)r->w, (uint32_t)r->h};

	return xcb_configure_window(g->x.c, w,
	    XCB_CONFIG_WINDOW_X | XCB_CONFIG_WINDOW_Y | XCB_CONFIG_WINDOW_WIDTH |
		XCB_CONFIG_WINDOW_HEIGHT,
	    v)
	    .sequence;
}

void
x_words(
    struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const uint32_t *v, size_t n)
{
	xcb_change_property(g->x.c, XCB_PROP_MODE_REPLACE, w, name, type, 32, (uint32_t)n, v);
}

void
x_word(struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, uint32_t v)
{
	x_words(g, w, name, type, &v, 1);
}

void
x_text(struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const void *s, size_t n)
{
	xcb_change_property(g->x.c, XCB_PROP_MODE_REPLACE, w, name, type, 8, (uint32_t)n, s);
}

void
x_message(struct guid *g, xcb_window_t to, xcb_window_t about, xcb_atom_t type, uint32_t mask,
    const uint32_t data[5])
{
	xcb_client_message_event_t e = {
	    .response_type = XCB_CLIENT_MESSAGE, .format = 32, .window = about, .type = type};

	memcpy(e.data.data32, data, sizeof e.data.data32);
	xcb_send_event(g->x.c, 0, to, mask, (const char *)&e);
}

void
x_manager(struct guid *g, xcb_window_t about, xcb_atom_t type, const uint32_t data[5])
{
	x_message(g, g->x.root, about, type, TO_MANAGER, data);
}

/* ---- replies ---- */

void
x_expect(struct guid *g, unsigned sequence, reply_fn *fn, uint32_t arg)
{
	struct expected *e = malloc(sizeof *e);

	if (e == NULL)
		die("no memory");
	*e = (struct expected){.sequence = sequence, .fn = fn, .arg = arg};
	*g->x.last = e;
	g->x.last = &e->next;
}

static bool
replies(struct guid *g)
{
	struct expected *e;
	xcb_generic_error_t *error = NULL;
	void *reply = NULL;
	bool any = false;

	while ((e = g->x.first) != NULL &&
	       xcb_poll_for_reply(g->x.c, e->sequence, &reply, &error) == 1) {
		g->x.first = e->next;
		if (g->x.first == NULL)
			g->x.last = &g->x.first;
		e->fn(g, e->arg, reply);
		free(e);
		free(reply);
		free(error);
		error = reply = NULL;
		any = true;
	}
	return any;
}

static void
on_mark(struct guid *g, uint32_t arg, void *reply)
{
	(void)arg, (void)reply;
	g->x.asked = false;
}

bool
x_keeps_up(struct guid *g)
{
	const uint64_t written = xcb_total_written(g->x.c);

	if (g->x.behind)
		return false;
	if (written - g->x.marked < LOOK && g->x.exposed < EXPOSED)
		return true;
	if (g->x.asked)
		return false;
	x_expect(g, xcb_get_input_focus(g->x.c).sequence, on_mark, 0);
	g->x.asked = true;
	g->x.marked = written;
	g->x.exposed = 0;
	return true;
}

void
x_ask(struct guid *g, xcb_window_t w, xcb_atom_t name, size_t words, reply_fn *fn)
{
	x_expect(g,
	    xcb_get_property(g->x.c, 0, w, name, XCB_GET_PROPERTY_TYPE_ANY, 0, (uint32_t)words)
		.sequence,
	    fn, w);
}

const uint32_t *
x_answer(const void *reply, size_t *n)
{
	const xcb_get_property_reply_t *r = reply;

	*n = r != NULL && r->format == 32 ? r->value_len : 0;
	return *n > 0 ? xcb_get_property_value(r) : NULL;
}

/* ---- events, errors ---- */

/* A window of ours that X does not have (any more), or could not do: it is lost, its id stays. What
 * others do at the same time is no error of its own: focus, stacking, a tray that has gone. */
static void
on_error(struct guid *g, const xcb_generic_error_t *e)
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
window_event(struct guid *g, uint8_t type, const xcb_generic_event_t *e)
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

void
x_event(struct guid *g, const xcb_generic_event_t *e)
{
	const uint8_t type = e->response_type & 0x7f;

	if (type == XCB_KEYMAP_NOTIFY) {
		on_keymap(g, NULL, e);
		return;
	}
	input_focus_flush(g);
	if (e->response_type == 0)
		on_error(g, (const xcb_generic_error_t *)e);
	else if (type == g->x.completion)
		on_completion(g, NULL, e);
	else if (type < sizeof events / sizeof *events && events[type].fn != NULL)
		window_event(g, type, e);
}

bool
x_turn(struct guid *g, bool read)
{
	xcb_generic_event_t *e;
	bool any = true, some = false;
	unsigned n = 0;

	for (; any && n < EVENTS; some = some || any) {
		any = false;
		while (n < EVENTS && (e = read ? xcb_poll_for_event(g->x.c)
					       : xcb_poll_for_queued_event(g->x.c)) != NULL) {
			x_event(g, e);
			free(e);
			any = true;
			n++;
		}
		any = replies(g) || any;
	}
	g->x.behind = n >= EVENTS;
	return some;
}
