/* SPDX-License-Identifier: ISC */
/* What clients say of their windows: names, class, hints, protocols, states; and their wishes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ga.h"

#define WISHES (GUI_FULLSCREEN | GUI_ATTENTION) /* MINIMIZE has a message of its own */
enum { INPUT_HINT = 1, URGENT = 256 };		/* of WM_HINTS */
enum { ICONIC = 3 };				/* of WM_STATE */

/* How many items of a property were put into to, which has room for size bytes; none if they are of
 * another format. */
static size_t
get(struct gui *g, const struct window *w, xcb_atom_t name, uint8_t format, void *to, size_t size,
    xcb_atom_t *type)
{
	xcb_get_property_reply_t *r = x_get(get_property, g->x.c, 0, w->id, name,
	    XCB_GET_PROPERTY_TYPE_ANY, 0, (uint32_t)(size / 4));
	const size_t n = r != NULL && r->format == format ? r->value_len : 0;

	if (n > 0)
		memcpy(to, xcb_get_property_value(r), n * format / 8);
	if (n > 0 && type != NULL)
		*type = r->type;
	free(r);
	return n;
}

static size_t
words(struct gui *g, const struct window *w, xcb_atom_t name, uint32_t *to, size_t n)
{
	return get(g, w, name, 32, to, n * sizeof *to, NULL);
}

/* ---- what is told ---- */

/* Two strings, each with its end: the instance (res_name), the class. */
void
tell_class(struct gui *g, struct window *w)
{
	char text[256 + 2] = "";
	struct gui_wmclass c = {0};

	(void)get(g, w, XCB_ATOM_WM_CLASS, 8, text, 256, NULL);
	snprintf(c.res_name, sizeof c.res_name, "%.63s", text);
	snprintf(c.res_class, sizeof c.res_class, "%.63s", text + strlen(text) + 1);
	link_send(g, GUI_WMCLASS, w->id, &c, sizeof c);
}

/* XSizeHints: flags, x, y, w, h, min 5, max 7, inc 9, aspects 11, base 15, which old programs lack.
 */
void
tell_hints(struct gui *g, struct window *w)
{
	uint32_t v[18] = {0};
	const size_t n = words(g, w, XCB_ATOM_WM_NORMAL_HINTS, v, 18);
	struct gui_hints h = {v[0] & (1 | 4 | 16 | 32 | 64 | (n > 16 ? 256 : 0)), v[5], v[6], v[7],
	    v[8], v[9], v[10], v[15], v[16]};

	link_send(g, GUI_WINDOW_HINTS, w->id, &h, sizeof h);
}

void
tell_name(struct gui *g, struct window *w)
{
	char text[256], name[sizeof(struct gui_wmname)];
	xcb_atom_t type = ATOM(UTF8_STRING);
	size_t n = get(g, w, ATOM(_NET_WM_NAME), 8, text, sizeof text, NULL);

	if (n == 0)
		n = get(g, w, XCB_ATOM_WM_NAME, 8, text, sizeof text, &type);
	text_title(name, text, n,
	    type == ATOM(UTF8_STRING)	  ? TEXT_UTF8
	    : type == ATOM(COMPOUND_TEXT) ? TEXT_COMPOUND
					  : TEXT_LATIN1);
	link_send(g, GUI_WMNAME, w->id, name, sizeof name);
}

/* It wants those states, and those not; Dom0 decides. */
static void
wish(struct window *w, uint32_t set, uint32_t unset)
{
	w->flags.set = (w->flags.set & ~unset) | set;
	w->flags.unset = (w->flags.unset & ~set) | unset;
}

void
tell_flags(struct gui *g, struct window *w)
{
	const bool before = w->urgent;
	uint32_t hints = 0;

	(void)words(g, w, XCB_ATOM_WM_HINTS, &hints, 1);
	w->urgent = hints & URGENT;
	if (before != w->urgent)
		wish(w, before ? 0 : GUI_ATTENTION, before ? GUI_ATTENTION : 0);
	if (w->flags.set != 0 || w->flags.unset != 0)
		link_send(g, GUI_WINDOW_FLAGS, w->id, &w->flags, sizeof w->flags);
	w->flags = (struct gui_flags){0, 0};
}

/* ---- what is asked when it matters ---- */

uint32_t
props_transient(struct gui *g, const struct window *w)
{
	uint32_t id = XCB_NONE;
	const struct window *of;

	(void)words(g, w, XCB_ATOM_WM_TRANSIENT_FOR, &id, 1);
	of = window_find(g, id);
	return of != NULL && of->created ? id : XCB_NONE;
}

bool
props_input(struct gui *g, const struct window *w)
{
	uint32_t v[2] = {0, 0};

	return words(g, w, XCB_ATOM_WM_HINTS, v, 2) < 2 || !(v[0] & INPUT_HINT) || v[1] != 0;
}

bool
props_protocol(struct gui *g, const struct window *w, enum atom protocol)
{
	uint32_t v[32];

	for (size_t n = words(g, w, ATOM(WM_PROTOCOLS), v, 32); n-- > 0;)
		if (v[n] == g->x.atom[protocol])
			return true;
	return false;
}

void
property_notify(struct gui *g, const void *event)
{
	const xcb_property_notify_event_t *e = event;
	const struct {
		xcb_atom_t name;
		enum due due;
	} told[] = {{XCB_ATOM_WM_CLASS, DUE_CLASS}, {XCB_ATOM_WM_NORMAL_HINTS, DUE_HINTS},
	    {XCB_ATOM_WM_NAME, DUE_NAME}, {ATOM(_NET_WM_NAME), DUE_NAME},
	    {XCB_ATOM_WM_HINTS, DUE_FLAGS}};
	struct window *w = window_find(g, e->window);

	if (e->window == g->screen.own)
		clip_piece(g, e);
	for (size_t i = 0; w != NULL && i < sizeof told / sizeof *told; i++)
		if (e->atom == told[i].name)
			window_due(g, w, told[i].due);
}

/* ---- states ---- */

static const struct {
	uint32_t bit;
	enum atom atom;
} states[] = {{GUI_FULLSCREEN, A__NET_WM_STATE_FULLSCREEN},
    {GUI_ATTENTION, A__NET_WM_STATE_DEMANDS_ATTENTION}, {GUI_MINIMIZE, A__NET_WM_STATE_HIDDEN}};
#define STATES (sizeof states / sizeof *states)

static uint32_t
state_bit(const struct gui *g, xcb_atom_t a)
{
	for (size_t i = 0; i < STATES; i++)
		if (a == g->x.atom[states[i].atom])
			return states[i].bit;
	return 0;
}

/* Before a window is mapped it is its client's wish; later it is ours to say. */
void
props_wish(struct gui *g, struct window *w)
{
	uint32_t v[32];

	w->state = 0;
	for (size_t n = words(g, w, ATOM(_NET_WM_STATE), v, 32); n-- > 0;)
		w->state |= state_bit(g, v[n]);
	w->flags.set |= w->state & WISHES;
}

/* What the window manager in Dom0 made of it. */
void
on_flags(struct gui *g, const struct msg *m)
{
	struct window *w = m->w;
	const uint32_t state = (w->state & ~m->u.flags.unset) | m->u.flags.set;
	const uint32_t wm[] = {state & GUI_MINIMIZE ? ICONIC : 1, XCB_NONE};
	uint32_t v[STATES];
	size_t n = 0;

	if (!w->mapped)
		return;
	w->state = state;
	for (size_t i = 0; i < STATES; i++)
		if (state & states[i].bit)
			v[n++] = g->x.atom[states[i].atom];
	x_words(&g->x, w->id, ATOM(_NET_WM_STATE), XCB_ATOM_ATOM, v, n);
	x_words(&g->x, w->id, ATOM(WM_STATE), ATOM(WM_STATE), wm, 2);
}

void
client_message(struct gui *g, const void *event)
{
	const xcb_client_message_event_t *e = event;
	const uint32_t *data = e->data.data32;
	const uint32_t extents[4] = {0},
		       bits = (state_bit(g, data[1]) | state_bit(g, data[2])) & WISHES;
	struct window *w = window_find(g, e->window);
	uint32_t on;

	if (e->format != 32)
		return;
	if (e->type == ATOM(_NET_SYSTEM_TRAY_OPCODE) && data[1] == 0)
		tray_dock(g, data[2]);
	else if (e->type == ATOM(_NET_REQUEST_FRAME_EXTENTS))
		x_words(&g->x, e->window, ATOM(_NET_FRAME_EXTENTS), XCB_ATOM_CARDINAL, extents, 4);
	if (w == NULL || !w->mapped)
		return;
	window_due(g, w, DUE_FLAGS);
	on = data[0] == 1 ? bits : data[0] == 2 ? bits & ~w->state : 0; /* add, toggle, remove */
	if (e->type == ATOM(_NET_WM_STATE))
		wish(w, on, bits & ~on);
	else if (e->type == ATOM(WM_CHANGE_STATE) && data[0] == ICONIC)
		wish(w, GUI_MINIMIZE, 0);
	else if (e->type == ATOM(_NET_ACTIVE_WINDOW) && g->in.focus != w->id)
		wish(w, GUI_ATTENTION, 0);
	else if (e->type == ATOM(_NET_CLOSE_WINDOW))
		on_close(g, &(struct msg){.w = w});
}
