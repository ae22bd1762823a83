/* SPDX-License-Identifier: ISC */
/* The windows: the table, their life in X, and telling guid of it (spec/gui 3 to 5). */
#include <stdlib.h>
#include <string.h>

#include "ga.h"

#define ALL_DUE (~0u)

static size_t
bucket(uint32_t id)
{
	return (id * 2654435761u) >> 22;
}

struct window *
window_find(const struct gui *g, uint32_t id)
{
	struct window *w = LIST_FIRST(&g->win.hash[bucket(id)]);

	while (w != NULL && w->id != id)
		w = LIST_NEXT(w, same);
	return w;
}

/* Of one that is not mapped guid hears no more than that. */
void
window_due(struct gui *g, struct window *w, unsigned due)
{
	if (!w->mapped)
		due &= DUE_UNMAP | DUE_DESTROY;
	if (w->due == 0 && due != 0)
		TAILQ_INSERT_TAIL(&g->win.due, w, queue);
	w->due |= due;
}

static void
not_due(struct gui *g, struct window *w, unsigned done)
{
	const unsigned left = w->due & ~done;

	if (w->due != 0 && left == 0)
		TAILQ_REMOVE(&g->win.due, w, queue);
	w->due = left;
}

struct window *
window_new(struct gui *g, xcb_window_t id)
{
	const uint32_t select = XCB_EVENT_MASK_PROPERTY_CHANGE;
	struct window *w = g->win.n < WINDOWS_MAX ? calloc(1, sizeof *w) : NULL;

	if (w == NULL) {
		log_limited(&g->px.none, "window 0x%x: one too many (limit %u)", id, WINDOWS_MAX);
		return NULL;
	}
	w->id = id;
	LIST_INSERT_HEAD(&g->win.hash[bucket(id)], w, same);
	g->win.n++;
	xcb_change_window_attributes(g->x.c, id, XCB_CW_EVENT_MASK, &select);
	return w;
}

static void
forget(struct gui *g, struct window *w)
{
	input_gone(g, w);
	w->dumps = 0; /* guid knows, or there is none */
	pixels_hide(g, w);
	not_due(g, w, ALL_DUE);
	LIST_REMOVE(w, same);
	g->win.n--;
	free(w);
}

/* ---- what X says ---- */

static void
mapped(struct gui *g, xcb_window_t id, bool override)
{
	struct window *w = window_find(g, id);

	if (w == NULL)
		w = window_new(g, id);
	if (w == NULL || w->mapped)
		return;
	w->again = w->gone;
	w->override = override;
	w->mapped = !w->gone;
	window_due(g, w, DUE_NEW);
}

void
map_notify(struct gui *g, const void *event)
{
	const xcb_map_notify_event_t *e = event;

	if (e->event == g->x.root && e->window != g->screen.own)
		mapped(g, e->window, e->override_redirect);
}

void
windows_scan(struct gui *g)
{
	xcb_query_tree_reply_t *r = x_get(query_tree, g->x.c, g->x.root);

	TAILQ_INIT(&g->win.due);
	for (int i = 0; r != NULL && i < xcb_query_tree_children_length(r); i++) {
		const xcb_window_t id = xcb_query_tree_children(r)[i];
		xcb_get_window_attributes_reply_t *a = x_get(get_window_attributes, g->x.c, id);

		if (a != NULL && a->map_state != XCB_MAP_STATE_UNMAPPED)
			mapped(g, id, a->override_redirect);
		free(a);
	}
	free(r);
}

static void
unmapped(struct gui *g, struct window *w)
{
	w->mapped = false;
	not_due(g, w, ALL_DUE);
	input_gone(g, w);
	pixels_hide(g, w);
	if (w->shown)
		window_due(g, w, DUE_UNMAP);
}

void
unmap_notify(struct gui *g, const void *event)
{
	const xcb_unmap_notify_event_t *e = event;
	struct window *w = window_find(g, e->window);

	if (w == NULL || e->event != g->x.root)
		return;
	w->again = false;
	if (!w->mapped)
		return;
	if (!w->override) {
		xcb_delete_property(g->x.c, w->id, ATOM(WM_STATE));
		xcb_delete_property(g->x.c, w->id, ATOM(_NET_WM_STATE));
		w->state = 0;
	}
	unmapped(g, w);
}

static void
destroyed(struct gui *g, struct window *w)
{
	w->again = false;
	if (w->gone)
		return;
	unmapped(g, w);
	not_due(g, w, ALL_DUE);
	w->gone = true;
	if (w->created)
		window_due(g, w, DUE_DESTROY);
	else
		forget(g, w);
}

/* Out of that parent, which is the root or a window of the tray's. */
static void
left(struct gui *g, xcb_window_t parent, xcb_window_t id)
{
	struct window *w = window_find(g, id);

	if (w != NULL && parent == g->x.root)
		destroyed(g, w);
	tray_lost(g, parent, id);
}

void
destroy_notify(struct gui *g, const void *event)
{
	const xcb_destroy_notify_event_t *e = event;

	left(g, e->event, e->window);
}

void
reparent_notify(struct gui *g, const void *event)
{
	const xcb_reparent_notify_event_t *e = event;

	if (e->parent != e->event)
		left(g, e->event, e->window);
}

void
configure_notify(struct gui *g, const void *event)
{
	const xcb_configure_notify_event_t *e = event;
	struct window *w = x_window(g, e->window);

	if (e->window == g->x.root) {
		g->screen.w = e->width;
		g->screen.h = e->height;
		wm_screen(g);
	} else if (w != NULL) {
		w->override = e->override_redirect;
		window_due(g, w, DUE_PLACE);
	}
}

void
map_request(struct gui *g, const void *event)
{
	const xcb_window_t id = ((const xcb_map_request_event_t *)event)->window;
	const uint32_t none = 0, normal[] = {1, 0};

	xcb_configure_window(g->x.c, id, XCB_CONFIG_WINDOW_BORDER_WIDTH, &none);
	x_words(&g->x, id, ATOM(WM_STATE), ATOM(WM_STATE), normal, 2);
	xcb_map_window(g->x.c, id);
}

/* Granted, and said to be so: of what changes nothing X says nothing (ICCCM 4.1.5). */
void
configure_request(struct gui *g, const void *event)
{
	const xcb_configure_request_event_t *e = event;
	const xcb_configure_window_value_list_t v = {
	    e->x, e->y, e->width, e->height, .sibling = e->sibling, .stack_mode = e->stack_mode};
	const xcb_configure_notify_event_t done = {.response_type = XCB_CONFIGURE_NOTIFY,
	    .event = e->window,
	    .window = e->window,
	    .x = e->x,
	    .y = e->y,
	    .width = e->width,
	    .height = e->height};

	xcb_configure_window_aux(
	    g->x.c, e->window, e->value_mask & (uint16_t)~XCB_CONFIG_WINDOW_BORDER_WIDTH, &v);
	xcb_send_event(g->x.c, 0, e->window, XCB_EVENT_MASK_STRUCTURE_NOTIFY, (const char *)&done);
}

/* ---- what guid is told ---- */

static void
tell_unmap(struct gui *g, struct window *w)
{
	link_send(g, GUI_UNMAP, w->id, NULL, 0);
	w->shown = false;
}

/* CREATE, or CONFIGURE, which only lacks the parent. */
static void
tell_place(struct gui *g, struct window *w)
{
	xcb_get_geometry_reply_t *r = x_get(get_geometry, g->x.c, w->id);
	const struct rect old = w->at;

	if (r == NULL || (r->depth != 24 && r->depth != 32)) {
		w->mapped = false; /* it goes, as X will say; or is not one that guid shows */
		not_due(g, w, ALL_DUE);
		free(r);
		return;
	}
	w->border = r->border_width;
	w->at = (struct rect){r->x, r->y, r->width + 2 * w->border, r->height + 2 * w->border};
	free(r);
	const struct gui_configure m = {
	    w->at.x, w->at.y, (uint32_t)w->at.w, (uint32_t)w->at.h, w->override};
	const struct gui_create c = {m.x, m.y, m.w, m.h, 0, w->override};
	const bool anew = w->pixmap == XCB_NONE;

	if (anew)
		props_wish(g, w);
	if (!w->created)
		link_send(g, GUI_CREATE, w->id, &c, sizeof c);
	else if (w->ack || anew || !rect_same(&w->at, &old))
		link_send(g, GUI_CONFIGURE, w->id, &m, sizeof m);
	w->ack = false;
	w->created = true;
	if (anew || w->at.w != old.w || w->at.h != old.h)
		pixels_show(g, w);
}

static void
tell_shown(struct gui *g, struct window *w)
{
	const struct gui_map m = {
	    .transient_for = props_transient(g, w), .override_redirect = w->override};

	if (w->icon != XCB_NONE)
		link_send(g, GUI_DOCK, w->id, NULL, 0);
	else
		link_send(g, GUI_MAP, w->id, &m, sizeof m);
	w->shown = true;
}

static void
tell_destroy(struct gui *g, struct window *w)
{
	link_send(g, GUI_DESTROY, w->id, NULL, 0);
	if (g->link.minor < GUI_DESTROY_ACK)
		on_destroyed(g, &(struct msg){.w = w});
}

bool
windows_wait(const struct gui *g)
{
	return link_room(g) && !TAILQ_EMPTY(&g->win.due);
}

void
windows_tell(struct gui *g)
{
	static tell_fn *const tellers[DUES] = {tell_unmap, tell_place, pixels_dump, tell_class,
	    tell_hints, tell_name, pixels_read, tell_shown, tell_flags, tell_destroy};
	struct window *w;
	unsigned left;

	input_tell(g);
	while (windows_wait(g) && (w = TAILQ_FIRST(&g->win.due)) != NULL)
		for (unsigned i = 0; i < DUES && (left = w->due >> i) != 0; i++)
			if (left & 1) {
				not_due(g, w, 1u << i);
				tellers[i](g, w); /* the last may be its end */
			}
}

void
windows_again(struct gui *g)
{
	struct window *w, *next;

	for (size_t i = 0; i < WINDOW_HASH; i++)
		for (w = LIST_FIRST(&g->win.hash[i]); w != NULL; w = next) {
			next = LIST_NEXT(w, same);
			w->created = w->shown = w->ack = false;
			w->dumps = 0;
			not_due(g, w, ALL_DUE);
			w->flags.set |= w->state;
			window_due(g, w, DUE_NEW);
			on_destroyed(g, &(struct msg){.w = w});
		}
}

/* ---- what guid says ---- */

/* It has forgotten the window: its id may be another's. */
void
on_destroyed(struct gui *g, const struct msg *m)
{
	const struct window w = *m->w;

	if (!w.gone || w.due & DUE_DESTROY)
		return;
	forget(g, m->w);
	if (w.again)
		mapped(g, w.id, w.override);
}

void
on_map(struct gui *g, const struct msg *m)
{
	xcb_map_window(g->x.c, m->w->id);
}

static int
clamp(int64_t v, int min, int max)
{
	return v < min ? min : v > max ? max : (int)v;
}

/* X says nothing if nothing changes: guid hears of it anyway. */
void
on_configure(struct gui *g, const struct msg *msg)
{
	const struct gui_configure m = msg->u.place;
	struct window *w = msg->w;
	const struct rect r = {clamp(m.x, -GUI_WIDTH_MAX, GUI_WIDTH_MAX),
	    clamp(m.y, -GUI_WIDTH_MAX, GUI_WIDTH_MAX),
	    clamp((int64_t)m.w - 2 * w->border, 1, GUI_WIDTH_MAX),
	    clamp((int64_t)m.h - 2 * w->border, 1, GUI_HEIGHT_MAX)};

	x_place(&g->x, w->id, &r);
	if (w->icon != XCB_NONE)
		x_place(&g->x, w->icon, &(struct rect){0, 0, r.w, r.h});
	w->ack = true;
	window_due(g, w, DUE_PLACE);
}

void
on_close(struct gui *g, const struct msg *m)
{
	const uint32_t data[5] = {ATOM(WM_DELETE_WINDOW), XCB_CURRENT_TIME};

	if (props_protocol(g, m->w, A_WM_DELETE_WINDOW))
		x_message(&g->x, m->w->id, m->w->id, ATOM(WM_PROTOCOLS), 0, data);
	else
		xcb_kill_client(g->x.c, m->w->id);
}
