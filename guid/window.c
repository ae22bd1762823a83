/* SPDX-License-Identifier: ISC */
/* The windows: table, life, and where they are (spec/gui 4, 5.1). */
#include <stdlib.h>
#include <string.h>

#include "guid.h"

/* ---- the table ---- */

static struct list *
bucket(struct gui *g, enum key k, uint32_t id)
{
	return &g->win.at[k][(uint32_t)(id * (g->win.seed | 1u)) >> 20];
}

static struct window *
find(struct gui *g, enum key k, uint32_t id)
{
	struct window *w = LIST_FIRST(bucket(g, k, id));

	while (w != NULL && w->key[k] != id)
		w = LIST_NEXT(w, same[k]);
	return w;
}

struct window *
window_by_id(struct gui *g, uint32_t id)
{
	return find(g, BY_ID, id);
}

struct window *
window_by_x(struct gui *g, xcb_window_t x)
{
	struct window *w = find(g, BY_F, x);

	return w != NULL ? w : find(g, BY_C, x);
}

static void
add(struct gui *g, struct window *w)
{
	for (enum key k = BY_ID; k < KEYS; k++)
		LIST_INSERT_HEAD(bucket(g, k, w->key[k]), w, same[k]);
	LIST_INSERT_HEAD(&g->win.all, w, all);
	g->win.n++;
}

static void
take_out(struct gui *g, struct window *w)
{
	for (enum key k = BY_ID; k < KEYS; k++)
		LIST_REMOVE(w, same[k]);
	LIST_REMOVE(w, all);
	g->win.n--;
}

/* ---- where it is ---- */

static int
clamp(int64_t v, int min, int max)
{
	return v < min ? min : v > max ? max : (int)v;
}

static bool
older(uint32_t event, uint32_t request)
{
	return (int32_t)(event - request) < 0;
}

/* By how much F is larger than the qube's window, on each side. */
static int
grow(const struct window *w)
{
	return w->inset - w->off;
}

/* F for it. */
static struct rect
outer(const struct window *w)
{
	return (struct rect){w->at.x - grow(w) - (w->override ? 0 : w->ext_x),
	    w->at.y - grow(w) - (w->override ? 0 : w->ext_y), w->at.w + 2 * grow(w),
	    w->at.h + 2 * grow(w)};
}

/* The qube's window there, in F as it is. */
static struct rect
within(const struct window *w, int x, int y)
{
	return (struct rect){x, y, clamp(w->fw - 2 * grow(w), 1, INT32_MAX),
	    clamp(w->fh - 2 * grow(w), 1, INT32_MAX)};
}

void
window_kind(struct gui *g, struct window *w)
{
	if (w->docked)
		w->inset = w->off = g->o.tray_border;
	else if (w->override)
		w->inset = w->off = OVERRIDE_BORDER;
	else
		w->inset = w->full && g->o.fullscreen ? 0 : g->o.frame, w->off = 0;
}

/* C fills F but for the border; where there is no place for both, the border stays. */
static void
fit_content(struct gui *g, struct window *w, int fw, int fh)
{
	const int cw = fw - 2 * w->inset, ch = fh - 2 * w->inset;

	if (cw == w->cw && ch == w->ch && w->inset == w->placed_at)
		return;
	w->placed_at = w->inset;
	if (cw <= 0 || ch <= 0) {
		if (w->cw > 0)
			xcb_unmap_window(g->x.c, w->c);
		w->cw = w->ch = 0;
		pixels_undirty(w);
		return;
	}
	x_place(&g->x, w->c, &(struct rect){w->inset, w->inset, cw, ch});
	if (w->cw == 0)
		xcb_map_window(g->x.c, w->c);
	w->cw = cw;
	w->ch = ch;
}

/* For another inset, by F's size as far as we know; from then on X moves them. */
static void
place_edges(struct gui *g, struct window *w)
{
	const int b = w->inset > 0 ? w->inset : 1;

	w->edge_at = w->inset;
	w->edge_seq = x_place(
	    &g->x, w->edge[0], &(struct rect){w->fw - b, 0, b, GUI_HEIGHT_MAX + 2 * FRAME_MAX});
	x_place(&g->x, w->edge[1], &(struct rect){0, w->fh - b, GUI_WIDTH_MAX + 2 * FRAME_MAX, b});
}

static void
show_edges(struct gui *g, struct window *w)
{
	for (int i = 0; i < 2; i++)
		if (w->inset > 0)
			xcb_map_window(g->x.c, w->edge[i]);
		else
			xcb_unmap_window(g->x.c, w->edge[i]);
}

void
window_resized(struct gui *g, struct window *w)
{
	const struct rect at = within(w, w->at.x, w->at.y);

	show_edges(g, w);
	fit_content(g, w, w->fw, w->fh);
	window_moved(g, w, &at);
}

void
window_place(struct gui *g, struct window *w)
{
	const struct rect f = outer(w);

	/* Never a moment in which C reaches over F's border: first what becomes smaller. */
	fit_content(g, w, f.w < w->fw ? f.w : w->fw, f.h < w->fh ? f.h : w->fh);
	if (!w->override && w->inset > 0 && w->inset != w->edge_at)
		place_edges(g, w);
	show_edges(g, w);
	w->placed = x_place(&g->x, w->f, &f);
	if (!w->override)
		return; /* a window manager decides; on_configure_notify */
	w->fw = f.w;
	w->fh = f.h;
	place_edges(g, w);
	fit_content(g, w, f.w, f.h);
}

void
window_say_place(struct gui *g, const struct window *w)
{
	const struct gui_configure c = {
	    .x = w->at.x, .y = w->at.y, .w = (uint32_t)w->at.w, .h = (uint32_t)w->at.h};

	agent_send(g, GUI_CONFIGURE, w->id, &c, sizeof c);
}

void
window_report(struct gui *g, struct window *w)
{
	if (w->queued)
		return;
	w->queued = w->id != 0 && !w->docked;
	window_say_place(g, w);
}

void
window_moved(struct gui *g, struct window *w, const struct rect *at)
{
	if (rect_same(at, &w->at))
		return;
	w->at = *at;
	window_report(g, w);
}

/* ---- life ---- */

static xcb_window_t
make(struct gui *g, xcb_window_t parent, const struct rect *r, uint32_t mask, const uint32_t *v)
{
	const xcb_window_t w = xcb_generate_id(g->x.c);

	xcb_create_window(g->x.c, XCB_COPY_FROM_PARENT, w, parent, (int16_t)r->x, (int16_t)r->y,
	    (uint16_t)r->w, (uint16_t)r->h, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT, XCB_COPY_FROM_PARENT,
	    XCB_CW_BACK_PIXEL | mask, v);
	return w;
}

static void
create(struct gui *g, struct window *w)
{
	const uint32_t select = XCB_EVENT_MASK_KEY_PRESS | XCB_EVENT_MASK_KEY_RELEASE |
				XCB_EVENT_MASK_FOCUS_CHANGE | XCB_EVENT_MASK_KEYMAP_STATE |
				XCB_EVENT_MASK_STRUCTURE_NOTIFY | XCB_EVENT_MASK_PROPERTY_CHANGE;
	const uint32_t inside = XCB_EVENT_MASK_BUTTON_PRESS | XCB_EVENT_MASK_BUTTON_RELEASE |
				XCB_EVENT_MASK_POINTER_MOTION | XCB_EVENT_MASK_ENTER_WINDOW |
				XCB_EVENT_MASK_LEAVE_WINDOW | XCB_EVENT_MASK_EXPOSURE;
	const uint32_t f[] = {g->o.rgb, XCB_GRAVITY_NORTH_WEST, w->override, select};
	const uint32_t c[] = {g->background, XCB_GRAVITY_NORTH_WEST, inside};
	const uint32_t edge[][2] = {
	    {g->o.rgb, XCB_GRAVITY_NORTH_EAST}, {g->o.rgb, XCB_GRAVITY_SOUTH_WEST}};
	const struct rect at = outer(w), small = {w->inset, w->inset, 1, 1};

	w->fw = at.w;
	w->fh = at.h;
	w->f = make(g, g->x.root, &at,
	    XCB_CW_BIT_GRAVITY | XCB_CW_OVERRIDE_REDIRECT | XCB_CW_EVENT_MASK, f);
	w->c = make(g, w->f, &small, XCB_CW_BIT_GRAVITY | XCB_CW_EVENT_MASK, c);
	for (int i = 0; i < 2; i++)
		w->edge[i] = make(g, w->f, &small, XCB_CW_WIN_GRAVITY, edge[i]);
	place_edges(g, w);
	show_edges(g, w);
	fit_content(g, w, w->fw, w->fh);
}

/* What both CREATE and CONFIGURE begin with; false: it is not to be believed. */
static bool
place_ok(struct gui *g, const struct body *untrusted, uint32_t min, struct rect *r)
{
	const struct gui_shmimage *m = untrusted->p;

	if (m->w > INT32_MAX || m->h > INT32_MAX || m->w < min || m->h < min) {
		fatal(g, untrusted->window, "a size of %d x %d", (int)m->w, (int)m->h);
		return false;
	}
	*r = (struct rect){clamp(m->x, -GUI_WIDTH_MAX, GUI_WIDTH_MAX),
	    clamp(m->y, -GUI_HEIGHT_MAX, GUI_HEIGHT_MAX), clamp(m->w, 1, GUI_WIDTH_MAX),
	    clamp(m->h, 1, GUI_HEIGHT_MAX)};
	return true;
}

void
on_create(struct gui *g, struct window *w, const struct body *untrusted)
{
	const struct gui_create *m = untrusted->p;
	struct rect at;

	if (!place_ok(g, untrusted, 0, &at))
		return;
	w = g->win.n < WINDOWS_MAX ? calloc(1, sizeof *w) : NULL;
	if (w == NULL) {
		fatal(g, untrusted->window, "one window too many (limit %u)", WINDOWS_MAX);
		return;
	}
	w->id = untrusted->window;
	w->at = at;
	w->override = override_may(g, w, m->override_redirect != 0);
	window_kind(g, w);
	override_fit(g, w, true);
	create(g, w);
	add(g, w);
	hints_new(g, w);
	if (!rect_same(&w->at, &at))
		window_report(g, w);
}

static void
forget(struct gui *g, struct window *w)
{
	while (!LIST_EMPTY(&w->followers))
		hints_transient(g, LIST_FIRST(&w->followers), NULL);
	hints_transient(g, w, NULL);
	pixels_undirty(w);
	pixels_drop(g, w);
}

void
on_destroy(struct gui *g, struct window *w, const struct body *untrusted)
{
	const uint32_t id = w->id;

	(void)untrusted;
	forget(g, w);
	if (!w->lost)
		xcb_destroy_window(g->x.c, w->f);
	take_out(g, w);
	free(w);
	if (g->link.minor >= GUI_DESTROY_ACK)
		agent_send(g, GUI_DESTROY, id, NULL, 0);
}

/* X has it no more, or is not to have it: the agent's messages for it mean nothing until DESTROY.
 */
void
window_lost(struct gui *g, struct window *w)
{
	if (w->lost)
		return;
	w->lost = true;
	forget(g, w);
	xcb_destroy_window(g->x.c, w->f);
}

void
window_map(struct gui *g, struct window *w)
{
	w->mapped = true;
	w->mapped_seq = xcb_map_window(g->x.c, w->f).sequence;
}

/* Also for a window manager that has it as an icon (ICCCM 4.1.4). */
void
window_unmap(struct gui *g, struct window *w)
{
	const xcb_unmap_notify_event_t e = {
	    .response_type = XCB_UNMAP_NOTIFY, .event = g->x.root, .window = w->f};

	w->mapped = false;
	w->mapped_seq = xcb_unmap_window(g->x.c, w->f).sequence;
	pixels_undirty(w);
	if (!w->override)
		xcb_send_event(g->x.c, 0, g->x.root, TO_MANAGER, (const char *)&e);
}

/* Where it may be, which has changed. */
static void
fit_again(struct gui *g, struct window *w, bool moved)
{
	const struct rect before = w->at;

	override_fit(g, w, moved);
	if (rect_same(&before, &w->at))
		return;
	window_place(g, w);
	window_report(g, w);
}

void
on_map(struct gui *g, struct window *w, const struct body *untrusted)
{
	const bool override = w->override;
	const struct gui_map *m = untrusted->p;

	if (g->o.invisible || w->mapped || w->docked)
		return;
	hints_transient(g, w, m->transient_for != 0 ? window_by_id(g, m->transient_for) : NULL);
	override_set(g, w, override_may(g, w, m->override_redirect != 0));
	fit_again(g, w, w->override != override);
	if (w->override)
		override_stack(g, w);
	window_map(g, w);
}

void
on_unmap(struct gui *g, struct window *w, const struct body *untrusted)
{
	(void)untrusted;
	if (w->docked)
		return;
	window_unmap(g, w);
	w->full = false;
	w->flags = 0;
	window_kind(g, w);
	window_place(g, w);
	if (w->id != 0)
		pixels_drop(g, w);
}

void
on_configure(struct gui *g, struct window *w, const struct body *untrusted)
{
	struct rect at;
	bool equal, moved;

	if (!place_ok(g, untrusted, 1, &at))
		return;
	equal = rect_same(&at, &w->at);
	if ((w->docked || w->queued) && !equal)
		window_say_place(g, w);
	if (w->docked || equal)
		w->queued = false;
	if (w->docked || w->queued || equal)
		return;
	moved = at.x != w->at.x || at.y != w->at.y;
	w->at = at;
	if (w->override && !override_may(g, w, true))
		override_set(g, w, false);
	override_fit(g, w, moved);
	if (!rect_same(&at, &w->at))
		window_report(g, w);
	window_place(g, w);
}

/* ---- what X says ---- */

/* Where F is on the root window, without what we added. */
static void
on_place(struct gui *g, const struct answer *a)
{
	const xcb_translate_coordinates_reply_t *r = a->p;
	struct window *w = a->w;
	struct rect at;

	if (w == NULL || r == NULL)
		return;
	at = within(w, r->dst_x, r->dst_y);
	if (w->docked && at.x < 0)
		at.x = 0;
	if (w->docked && at.y < 0)
		at.y = 0;
	window_moved(g, w, &at);
}

static void
root_resized(struct gui *g, int width, int height)
{
	g->root.w = width;
	g->root.h = height;
	hints_start(g);
	for (struct window *w = LIST_FIRST(&g->win.all); w != NULL; w = LIST_NEXT(w, all))
		if (!w->docked && !w->lost)
			fit_again(g, w, false);
}

void
on_configure_notify(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_configure_notify_event_t *e = (const void *)event;
	const bool synthetic = (e->response_type & 0x80) != 0;
	struct rect at;

	if (e->window == g->x.root)
		root_resized(g, e->width, e->height);
	if (w == NULL)
		return;
	if (w->override) {
		/* Only we move these: whoever else did, it is undone (QSB-073). */
		if (!synthetic && !older(event->full_sequence, w->placed) &&
		    (e->x != w->at.x || e->y != w->at.y || e->width != w->fw || e->height != w->fh))
			window_place(g, w);
		return;
	}
	w->fw = e->width;
	w->fh = e->height;
	if (older(event->full_sequence, w->edge_seq))
		place_edges(g, w);
	fit_content(g, w, w->fw, w->fh);
	if (w->docked || w->reparented) { /* what an event says may be older than that */
		const int16_t in = (int16_t)grow(w);

		x_expect(&g->x, xcb_translate_coordinates(g->x.c, w->f, g->x.root, in, in).sequence,
		    on_place, w->f);
		return;
	}
	at = within(w, e->x + grow(w), e->y + grow(w));
	window_moved(g, w, &at);
}

void
on_map_notify(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_map_notify_event_t *e = (const void *)event;
	const struct gui_map m = {.override_redirect = w != NULL && w->override};

	if (w == NULL)
		override_shown(g, e->window, true);
	if (w == NULL || w->mapped || older(event->full_sequence, w->mapped_seq))
		return;
	if (w->docked)
		window_say_place(g, w);
	w->mapped = true;
	agent_send(g, GUI_MAP, w->id, &m, sizeof m);
}

void
on_reparent_notify(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_reparent_notify_event_t *e = (const void *)event;
	const bool reparented = e->parent != g->x.root;

	if (w == NULL) {
		override_look(g, e->window);
		return;
	}
	w->reparented = reparented;
	if (!reparented && w->docked == EMBEDDED)
		tray_lost(g, w);
	if (reparented || !w->override)
		return;
	window_place(
	    g, w); /* let go of by a window manager that had it, and has moved and hidden it */
	override_stack(g, w);
	if (w->mapped)
		window_map(g, w);
}

/* Also an unmap, of another's window. */
void
on_gone(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_destroy_notify_event_t *e = (const void *)event;
	const bool destroyed = (e->response_type & 0x7f) == XCB_DESTROY_NOTIFY;

	if (destroyed)
		override_gone(g, e->window);
	else
		override_shown(g, e->window, false);
	if (destroyed && e->window == g->tray)
		g->tray = XCB_NONE;
	if (destroyed && w != NULL)
		window_lost(g, w);
}
