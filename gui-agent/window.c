/* SPDX-License-Identifier: ISC */
/* The windows: the table, their life in X, and telling guid of it (spec/gui 3 to 5). */
#include <stdlib.h>
#include <string.h>

#include "ga.h"

static struct window **
bucket(struct gui *g, uint32_t id)
{
	return &g->win.hash[(id * 2654435761u) >> 22];
}

struct window *
window_find(const struct gui *g, uint32_t id)
{
	struct window *w = g->win.hash[(id * 2654435761u) >> 22];

	while (w != NULL && w->id != id)
		w = w->same;
	return w;
}

void
window_due(struct gui *g, struct window *w, unsigned due)
{
	w->due |= due;
	if (w->is_due || w->due == 0)
		return;
	w->is_due = true;
	w->next_due = NULL;
	*g->win.due_last = w;
	g->win.due_last = &w->next_due;
}

static void
not_due(struct gui *g, struct window *w)
{
	struct window **p = &g->win.due;

	if (!w->is_due)
		return;
	while (*p != w)
		p = &(*p)->next_due;
	*p = w->next_due;
	if (*p == NULL)
		g->win.due_last = p;
	w->is_due = false;
}

static void
forget(struct gui *g, struct window *w)
{
	struct window **p = bucket(g, w->id);

	input_gone(g, w);
	pixels_forget(g, w);
	not_due(g, w);
	while (*p != w)
		p = &(*p)->same;
	*p = w->same;
	g->win.n--;
	free(w);
}

/* ---- a new one: what X says of it ---- */

static void
on_attributes(struct gui *g, const struct answer *a)
{
	const xcb_get_window_attributes_reply_t *r = a->p;
	struct window *w = a->w;

	if (w == NULL || w->known)
		return;
	if (r == NULL || r->_class == XCB_WINDOW_CLASS_INPUT_ONLY) {
		forget(g, w);
		return;
	}
	w->override = r->override_redirect;
	w->mapped = w->mapped || r->map_state != XCB_MAP_STATE_UNMAPPED;
}

static void
begin(struct gui *g, struct window *w)
{
	pixels_show(g, w);
	props_ask(g, w);
}

static void
on_geometry(struct gui *g, const struct answer *a)
{
	const xcb_get_geometry_reply_t *r = a->p;
	struct window *w = a->w;

	if (w == NULL || w->known)
		return;
	if (r == NULL || (r->depth != 24 && r->depth != 32)) {
		forget(g, w);
		return;
	}
	w->depth = r->depth;
	if (w->at.w == 0) {
		w->border = r->border_width;
		w->at =
		    (struct rect){r->x, r->y, r->width + 2 * w->border, r->height + 2 * w->border};
	}
	w->known = true;
	if (w->mapped)
		begin(g, w);
}

struct window *
window_new(struct gui *g, xcb_window_t id, struct rect outer, int border)
{
	const uint32_t select = XCB_EVENT_MASK_PROPERTY_CHANGE;
	struct window *w = g->win.n < WINDOWS_MAX ? calloc(1, sizeof *w) : NULL, **p;

	if (w == NULL) {
		log_limited(&g->px.none, "window 0x%x: one too many (limit %u)", id, WINDOWS_MAX);
		return NULL;
	}
	w->id = id;
	w->at = outer;
	w->border = border;
	p = bucket(g, id);
	w->same = *p;
	*p = w;
	g->win.n++;
	xcb_change_window_attributes(g->x.c, id, XCB_CW_EVENT_MASK, &select);
	x_expect(&g->x, xcb_get_window_attributes(g->x.c, id).sequence, on_attributes, id);
	x_expect(&g->x, xcb_get_geometry(g->x.c, id).sequence, on_geometry, id);
	return w;
}

void
windows_scan(struct gui *g)
{
	xcb_query_tree_reply_t *r =
	    xcb_query_tree_reply(g->x.c, xcb_query_tree(g->x.c, g->x.root), NULL);
	const xcb_window_t *id = r != NULL ? xcb_query_tree_children(r) : NULL;

	g->win.due_last = &g->win.due;
	for (int i = 0; r != NULL && i < xcb_query_tree_children_length(r); i++)
		if (id[i] != g->screen.own)
			(void)window_new(g, id[i], (struct rect){0, 0, 0, 0}, 0);
	free(r);
}

/* Its properties are known. */
void
window_ready(struct gui *g, struct window *w)
{
	if (!w->mapped || w->gone)
		return;
	w->ready = true;
	window_due(g, w, w->created ? DUE_NEW & ~(unsigned)DUE_CREATE : (unsigned)DUE_NEW);
}

/* ---- what X says later ---- */

static void
unmapped(struct gui *g, struct window *w)
{
	w->mapped = w->ready = false;
	w->due = 0;
	not_due(g, w);
	input_gone(g, w);
	pixels_hide(g, w);
	if (w->shown)
		window_due(g, w, DUE_UNMAP);
}

static void
destroyed(struct gui *g, struct window *w)
{
	w->again = false;
	if (w->gone)
		return;
	unmapped(g, w);
	w->gone = true;
	w->due = DUE_DESTROY;
	if (!w->created)
		forget(g, w);
	else
		window_due(g, w, DUE_DESTROY);
}

static void
on_create_notify(struct gui *g, xcb_window_t id, struct rect outer, int border)
{
	struct window *w = window_find(g, id);

	if (w == NULL && id != g->screen.own) {
		(void)window_new(g, id, outer, border);
	} else if (w != NULL && w->gone) {
		w->again = true;
		w->at = outer;
		w->border = border;
	}
}

static void
moved(struct gui *g, struct window *w, const xcb_configure_notify_event_t *e)
{
	const int b = e->border_width;
	const struct rect r = {e->x, e->y, e->width + 2 * b, e->height + 2 * b};
	const bool size = r.w != w->at.w || r.h != w->at.h || b != w->border;

	w->override = e->override_redirect;
	if (!size && r.x == w->at.x && r.y == w->at.y)
		return;
	w->at = r;
	w->border = b;
	if (w->gone || !w->known || !w->mapped)
		return;
	window_due(g, w, w->created ? DUE_CONFIGURE : 0);
	if (size)
		pixels_show(g, w);
}

static void
reparented(struct gui *g, const xcb_reparent_notify_event_t *e)
{
	struct window *w = window_find(g, e->window);

	if (e->parent == g->x.root)
		on_create_notify(g, e->window, (struct rect){0, 0, 0, 0}, 0);
	else if (w != NULL)
		destroyed(g, w);
	if (e->parent != e->event)
		tray_lost(g, e->event, e->window);
}

static void
map_request(struct gui *g, xcb_window_t id)
{
	const uint32_t none = 0, normal[] = {1, 0};

	xcb_configure_window(g->x.c, id, XCB_CONFIG_WINDOW_BORDER_WIDTH, &none);
	x_words(&g->x, id, g->x.atom[A_WM_STATE], g->x.atom[A_WM_STATE], normal, 2);
	xcb_map_window(g->x.c, id);
}

/* As asked for; who asks for what there is hears that (ICCCM 4.1.5). */
static void
configure_request(struct gui *g, const xcb_configure_request_event_t *e)
{
	const uint32_t all[] = {
	    (uint32_t)e->x, (uint32_t)e->y, e->width, e->height, e->sibling, e->stack_mode};
	static const uint16_t bits[] = {XCB_CONFIG_WINDOW_X, XCB_CONFIG_WINDOW_Y,
	    XCB_CONFIG_WINDOW_WIDTH, XCB_CONFIG_WINDOW_HEIGHT, XCB_CONFIG_WINDOW_SIBLING,
	    XCB_CONFIG_WINDOW_STACK_MODE};
	const struct window *w = window_find(g, e->window);
	uint32_t v[6];
	uint16_t mask = 0;
	size_t n = 0;

	for (size_t i = 0; i < 6; i++)
		if (e->value_mask & bits[i]) {
			mask |= bits[i];
			v[n++] = all[i];
		}
	xcb_configure_window(g->x.c, e->window, mask, v);
	if (w == NULL || w->gone || w->at.x != e->x || w->at.y != e->y ||
	    w->at.w - 2 * w->border != e->width || w->at.h - 2 * w->border != e->height)
		return;
	const xcb_configure_notify_event_t same = {.response_type = XCB_CONFIGURE_NOTIFY,
	    .event = e->window,
	    .window = e->window,
	    .x = e->x,
	    .y = e->y,
	    .width = e->width,
	    .height = e->height,
	    .border_width = (uint16_t)w->border};
	xcb_send_event(g->x.c, 0, e->window, XCB_EVENT_MASK_STRUCTURE_NOTIFY, (const char *)&same);
}

static void
map_notify(struct gui *g, const xcb_map_notify_event_t *e)
{
	struct window *w = window_find(g, e->window);

	if (w == NULL || w->gone || w->mapped)
		return;
	w->mapped = true;
	w->override = e->override_redirect;
	if (w->known)
		begin(g, w);
}

static void
unmap_notify(struct gui *g, const xcb_unmap_notify_event_t *e)
{
	struct window *w = window_find(g, e->window);

	if (w == NULL || w->gone || !w->mapped || e->event != g->x.root)
		return;
	if (!w->override) {
		xcb_delete_property(g->x.c, w->id, g->x.atom[A_WM_STATE]);
		xcb_delete_property(g->x.c, w->id, g->x.atom[A__NET_WM_STATE]);
		w->state = 0;
	}
	unmapped(g, w);
}

void
window_event(struct gui *g, const xcb_generic_event_t *event)
{
	struct window *w;

	switch (event->response_type) { /* not what clients send */
	case XCB_CREATE_NOTIFY: {
		const xcb_create_notify_event_t *e = (const xcb_create_notify_event_t *)event;
		const int b = e->border_width;

		on_create_notify(g, e->window,
		    (struct rect){e->x, e->y, e->width + 2 * b, e->height + 2 * b}, b);
		break;
	}
	case XCB_DESTROY_NOTIFY: {
		const xcb_destroy_notify_event_t *e = (const xcb_destroy_notify_event_t *)event;

		if ((w = window_find(g, e->window)) != NULL)
			destroyed(g, w);
		tray_lost(g, e->event, e->window);
		break;
	}
	case XCB_MAP_NOTIFY:
		map_notify(g, (const xcb_map_notify_event_t *)event);
		break;
	case XCB_UNMAP_NOTIFY:
		unmap_notify(g, (const xcb_unmap_notify_event_t *)event);
		break;
	case XCB_REPARENT_NOTIFY:
		reparented(g, (const xcb_reparent_notify_event_t *)event);
		break;
	case XCB_CONFIGURE_NOTIFY: {
		const xcb_configure_notify_event_t *e = (const xcb_configure_notify_event_t *)event;

		if (e->window == g->x.root) {
			g->screen.w = e->width;
			g->screen.h = e->height;
			wm_screen(g);
		} else if ((w = window_find(g, e->window)) != NULL) {
			moved(g, w, e);
		}
		break;
	}
	case XCB_MAP_REQUEST:
		map_request(g, ((const xcb_map_request_event_t *)event)->window);
		break;
	case XCB_CONFIGURE_REQUEST:
		configure_request(g, (const xcb_configure_request_event_t *)event);
		break;
	default:
		break;
	}
}

/* ---- what guid is told ---- */

/* CREATE, or CONFIGURE, which only lacks the parent. */
static void
tell_place(struct gui *g, struct window *w)
{
	const struct gui_configure m = {
	    w->at.x, w->at.y, (uint32_t)w->at.w, (uint32_t)w->at.h, w->override};
	const struct gui_create c = {m.x, m.y, m.w, m.h, 0, w->override};

	if (w->created)
		link_send(g, GUI_CONFIGURE, w->id, &m, sizeof m);
	else
		link_send(g, GUI_CREATE, w->id, &c, sizeof c);
	w->ack = w->ack && !w->created;
	w->created = true;
}

static void
tell_shown(struct gui *g, struct window *w)
{
	const struct window *of = window_find(g, w->transient);
	const struct gui_map m = {.transient_for = of != NULL && of->created ? of->id : 0,
	    .override_redirect = w->override};

	if (w->icon != XCB_NONE)
		link_send(g, GUI_DOCK, w->id, NULL, 0);
	else
		link_send(g, GUI_MAP, w->id, &m, sizeof m);
	w->shown = true;
}

static void
tell_unmap(struct gui *g, struct window *w)
{
	link_send(g, GUI_UNMAP, w->id, NULL, 0);
	w->shown = false;
}

static void
tell_flags(struct gui *g, struct window *w)
{
	if (w->flags.set != 0 || w->flags.unset != 0)
		link_send(g, GUI_WINDOW_FLAGS, w->id, &w->flags, sizeof w->flags);
	w->flags.set = w->flags.unset = 0;
}

static void
tell_destroy(struct gui *g, struct window *w)
{
	link_send(g, GUI_DESTROY, w->id, NULL, 0);
	if (g->link.minor < GUI_DESTROY_ACK)
		on_destroyed(g, &(struct msg){.w = w});
}

/* In the order of enum due: by a function, or as it is. */
static const struct {
	void (*fn)(struct gui *, struct window *);
	uint32_t type;
	size_t at, n;
} tellers[DUES] = {
    {tell_unmap, 0, 0, 0},
    {tell_place, 0, 0, 0},
    {tell_place, 0, 0, 0},
    {pixels_dump, 0, 0, 0},
    {NULL, GUI_WMCLASS, offsetof(struct window, class), sizeof(struct gui_wmclass)},
    {NULL, GUI_WINDOW_HINTS, offsetof(struct window, hints), sizeof(struct gui_hints)},
    {tell_flags, 0, 0, 0},
    {tell_shown, 0, 0, 0},
    {NULL, GUI_WMNAME, offsetof(struct window, name), sizeof(struct gui_wmname)},
    {pixels_read, 0, 0, 0},
    {tell_destroy, 0, 0, 0},
};

static void
tell(struct gui *g, struct window *w)
{
	unsigned now = w->due;

	/* It is shown with its picture, which X has not given yet. */
	if (!w->painted && !w->gone)
		now &= ~(unsigned)DUE_SHOWN;
	if (!w->ready)
		now &= (unsigned)(DUE_UNMAP | DUE_DESTROY);
	w->due &= ~now;
	for (unsigned i = 0; i < DUES; i++) {
		if ((now & 1u << i) == 0)
			continue;
		if (tellers[i].fn != NULL)
			tellers[i].fn(g, w); /* the last may be its end */
		else
			link_send(g, tellers[i].type, w->id, (const char *)w + tellers[i].at,
			    tellers[i].n);
	}
}

void
windows_tell(struct gui *g)
{
	struct window *w;

	g->px.full = g->px.full && g->px.reads > 0;
	while (link_room(g) && !g->px.full && (w = g->win.due) != NULL) {
		not_due(g, w);
		tell(g, w);
	}
}

void
windows_again(struct gui *g)
{
	struct window *w, *next;

	for (size_t i = 0; i < WINDOW_HASH; i++)
		for (w = g->win.hash[i]; w != NULL; w = next) {
			next = w->same;
			w->created = w->shown = false;
			w->due = w->dumps = 0;
			w->ack = false;
			if (w->gone) {
				w->due = 0;
				on_destroyed(g, &(struct msg){.w = w});
			} else if (w->ready) {
				w->flags.set |= w->state;
				pixels_all(g, w);
				window_due(g, w, DUE_NEW);
			}
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
		(void)window_new(g, w.id, w.at, w.border);
}

void
on_map(struct gui *g, const struct msg *m)
{
	xcb_map_window(g->x.c, m->w->id);
}

static void
on_configured(struct gui *g, const struct answer *a)
{
	if (a->w != NULL && a->w->ack && a->w->created)
		window_due(g, a->w, DUE_CONFIGURE);
}

static int
clamp(int64_t v, int min, int max)
{
	return v < min ? min : v > max ? max : (int)v;
}

void
on_configure(struct gui *g, const struct msg *msg)
{
	const struct gui_configure m = msg->u.place;
	struct window *w = msg->w;
	uint32_t v[4];

	v[0] = (uint32_t)clamp(m.x, -GUI_WIDTH_MAX, GUI_WIDTH_MAX);
	v[1] = (uint32_t)clamp(m.y, -GUI_WIDTH_MAX, GUI_WIDTH_MAX);
	v[2] = (uint32_t)clamp((int64_t)m.w - 2 * w->border, 1, GUI_WIDTH_MAX);
	v[3] = (uint32_t)clamp((int64_t)m.h - 2 * w->border, 1, GUI_HEIGHT_MAX);
	xcb_configure_window(g->x.c, w->id,
	    XCB_CONFIG_WINDOW_X | XCB_CONFIG_WINDOW_Y | XCB_CONFIG_WINDOW_WIDTH |
		XCB_CONFIG_WINDOW_HEIGHT,
	    v);
	if (w->icon != XCB_NONE)
		xcb_configure_window(
		    g->x.c, w->icon, XCB_CONFIG_WINDOW_WIDTH | XCB_CONFIG_WINDOW_HEIGHT, v + 2);
	/* X says nothing if nothing changes: guid hears of it anyway, when X has done it. */
	w->ack = true;
	x_expect(&g->x, xcb_get_input_focus(g->x.c).sequence, on_configured, w->id);
}

void
on_close(struct gui *g, const struct msg *m)
{
	const uint32_t data[5] = {g->x.atom[A_WM_DELETE_WINDOW], XCB_CURRENT_TIME};

	if (m->w->deletes)
		x_message(&g->x, m->w->id, m->w->id, g->x.atom[A_WM_PROTOCOLS], 0, data);
	else
		xcb_kill_client(g->x.c, m->w->id);
}
