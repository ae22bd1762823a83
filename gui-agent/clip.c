/* SPDX-License-Identifier: ISC */
/* The clipboard (spec/gui 8): what is copied here goes to Dom0 when it asks, what is pasted becomes
 * this qube's CLIPBOARD and PRIMARY. */
#include <stdlib.h>
#include <string.h>

#include "ga.h"

/* ---- out ---- */

static void
ask(struct gui *g)
{
	xcb_convert_selection(g->x.c, g->screen.own, ATOM(CLIPBOARD),
	    g->clip.plain ? XCB_ATOM_STRING : ATOM(UTF8_STRING), ATOM(QUBES_CLIPBOARD),
	    XCB_CURRENT_TIME);
}

void
on_clipboard_req(struct gui *g, const struct msg *m)
{
	g->clip.window = m->w != NULL ? m->w->id : 0;
	g->clip.asked = true;
	g->clip.plain = g->clip.incr = g->clip.taken = false;
	buf_free(&g->clip.in);
	ask(g);
}

/* What came. Too much is told by one byte too many. */
static void
answer(struct gui *g)
{
	const size_t n = g->clip.in.len, most = g->link.minor < GUI_BIG_CLIPBOARD
						    ? GUI_CLIPBOARD_OLD
						    : GUI_CLIPBOARD_MAX;

	link_send(
	    g, GUI_CLIPBOARD_DATA, g->clip.window, buf_bytes(&g->clip.in), n < most ? n : most);
	g->clip.asked = false;
	buf_free(&g->clip.in);
}

/* The property that was asked for, or a piece of it. */
static void
take(struct gui *g)
{
	xcb_get_property_reply_t *r = x_get(get_property, g->x.c, 1, g->screen.own,
	    ATOM(QUBES_CLIPBOARD), XCB_GET_PROPERTY_TYPE_ANY, 0, GUI_CLIPBOARD_MAX / 4 + 1);
	const size_t n = r != NULL && r->format == 8 ? r->value_len : 0,
		     room = GUI_CLIPBOARD_MAX - g->clip.in.len;

	if (r != NULL && r->bytes_after > 0) /* then X leaves it there */
		xcb_delete_property(g->x.c, g->screen.own, ATOM(QUBES_CLIPBOARD));
	g->clip.in.max = GUI_CLIPBOARD_MAX;
	if (n > 0)
		(void)buf_put(&g->clip.in, xcb_get_property_value(r), n < room ? n : room);
	if (r != NULL && r->type == ATOM(INCR))
		g->clip.incr = true; /* more follows, an end of 0 bytes at last */
	else if (!g->clip.incr || n == 0)
		answer(g);
	free(r);
}

/* What is set before the owner's answer is no piece of it. */
void
clip_piece(struct gui *g, const xcb_property_notify_event_t *e)
{
	if (g->clip.asked && g->clip.taken && e->atom == ATOM(QUBES_CLIPBOARD) &&
	    e->state == XCB_PROPERTY_NEW_VALUE)
		take(g);
}

void
selection_notify(struct gui *g, const void *event)
{
	const xcb_selection_notify_event_t *e = event;

	if (!g->clip.asked || e->requestor != g->screen.own)
		return;
	if (e->property != XCB_NONE) {
		g->clip.taken = true;
		take(g);
	} else if (!g->clip.plain) {
		g->clip.plain = true;
		ask(g);
	} else {
		answer(g);
	}
}

/* ---- in ---- */

void
on_clipboard_data(struct gui *g, const struct msg *m)
{
	buf_free(&g->clip.data);
	g->clip.data.max = GUI_CLIPBOARD_MAX;
	if (!buf_put(&g->clip.data, m->p, m->n))
		return;
	xcb_set_selection_owner(g->x.c, g->screen.own, ATOM(CLIPBOARD), XCB_CURRENT_TIME);
	xcb_set_selection_owner(g->x.c, g->screen.own, XCB_ATOM_PRIMARY, XCB_CURRENT_TIME);
}

void
selection_clear(struct gui *g, const void *event)
{
	const xcb_selection_clear_event_t *e = event;

	if (e->selection == ATOM(CLIPBOARD))
		buf_free(&g->clip.data);
}

void
selection_request(struct gui *g, const void *event)
{
	const xcb_selection_request_event_t *e = event;
	const xcb_atom_t targets[] = {
	    ATOM(TARGETS), ATOM(UTF8_STRING), ATOM(TEXT), XCB_ATOM_STRING};
	xcb_selection_notify_event_t answered = {.response_type = XCB_SELECTION_NOTIFY,
	    .time = e->time,
	    .requestor = e->requestor,
	    .selection = e->selection,
	    .target = e->target,
	    .property = e->property != XCB_NONE ? e->property : e->target};

	if (e->target == ATOM(TARGETS))
		x_words(&g->x, e->requestor, answered.property, XCB_ATOM_ATOM, targets, 4);
	else if (e->target == ATOM(UTF8_STRING) || e->target == ATOM(TEXT) ||
		 e->target == XCB_ATOM_STRING)
		x_text(&g->x, e->requestor, answered.property,
		    e->target == ATOM(TEXT) ? ATOM(UTF8_STRING) : e->target,
		    buf_bytes(&g->clip.data), g->clip.data.len);
	else
		answered.property = XCB_NONE;
	xcb_send_event(g->x.c, 0, e->requestor, 0, (const char *)&answered);
}
