/* SPDX-License-Identifier: ISC */
/* Override-redirect windows: no window manager asks about them, so we do (spec/gui 5.2, 7). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "guid.h"

bool
override_may(const struct gui *g, const struct window *w, bool wanted)
{
	if (!wanted || !g->o.override_allowed || w->docked)
		return false;
	return !g->o.protect ||
	       (int64_t)w->at.w * w->at.h * 100 <= (int64_t)g->work.w * g->work.h * COVER_PERCENT;
}

static void
fit(int *at, int *size, int from, int room)
{
	if (*size > room)
		*size = room;
	if (*at + *size > from + room)
		*at = from + room - *size;
	if (*at < from)
		*at = from;
}

/* One that shows nowhere stays where it is. Any other, if it is override-redirect, is wholly within
 * the work area, with all of its border; if it is not, it is no larger than the screen with its
 * frame, and wholly there if it is new there: a person may have moved it half out. */
void
override_fit(const struct gui *g, struct window *w, bool moved)
{
	const struct rect *room = w->override ? &g->work : &g->root;
	const int b = w->inset - w->off;
	struct rect f = {w->at.x - b, w->at.y - b, w->at.w + 2 * b, w->at.h + 2 * b};

	if (!w->override && f.w > room->w)
		f.w = room->w;
	if (!w->override && f.h > room->h)
		f.h = room->h;
	if ((moved || w->override) && f.x < g->root.w && f.y < g->root.h && f.x + f.w > 0 &&
	    f.y + f.h > 0) {
		fit(&f.x, &f.w, room->x, room->w);
		fit(&f.y, &f.h, room->y, room->h);
	}
	w->at = (struct rect){f.x + b, f.y + b, f.w - 2 * b, f.h - 2 * b};
}

void
override_set(struct gui *g, struct window *w, bool on)
{
	const bool mapped = w->mapped;
	const uint32_t value = on;

	if (on == w->override)
		return;
	if (mapped)
		window_unmap(g, w);
	w->override = on;
	w->reparented = false;
	window_kind(g, w);
	xcb_change_window_attributes(g->x.c, w->f, XCB_CW_OVERRIDE_REDIRECT, &value);
	window_place(g, w);
	pixels_damage(g, w, (struct rect){0, 0, w->cw, w->ch});
	if (mapped)
		window_map(g, w);
}

/* ---- lockers and prompts ---- */

/* Whether that is one that shows, or there is any. */
static bool
above(const struct gui *g, xcb_window_t frame)
{
	for (const struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->shown && (a->frame == frame || frame == XCB_NONE))
			return true;
	return false;
}

static void
stack(struct gui *g, const struct window *w, xcb_window_t sibling, uint32_t mode)
{
	const uint32_t v[] = {sibling, mode};
	const bool all = sibling == XCB_NONE;

	xcb_configure_window(g->x.c, w->f,
	    XCB_CONFIG_WINDOW_STACK_MODE | (all ? 0 : XCB_CONFIG_WINDOW_SIBLING), v + all);
}

static void order(struct gui *g);
static answer_fn on_class;

/* Root's children, from the bottom up: what is above the lowest of those, or waits at the bottom,
 * comes just below it, and as it was among its like. */
static void
on_order(struct gui *g, const struct answer *answer)
{
	const xcb_query_tree_reply_t *r = answer->p;
	const xcb_window_t *child = r != NULL ? xcb_query_tree_children(r) : NULL;
	const int n = r != NULL ? xcb_query_tree_children_length(r) : 0;
	const bool again = g->orders > 1;
	int low = 0;

	while (low < n && !above(g, child[low]))
		low++;
	for (int i = 0; i < n; i++) {
		struct window *w = window_by_x(g, child[i]);

		if (w == NULL || w->lost || !w->override || (i < low && !w->low))
			continue;
		w->low = false;
		stack(g, w, low < n ? child[low] : XCB_NONE,
		    low < n ? XCB_STACK_MODE_BELOW : XCB_STACK_MODE_ABOVE);
	}
	g->orders = 0;
	if (again)
		order(g);
}

/* Just below a sibling may be above another: only X knows which is the lowest. */
static void
order(struct gui *g)
{
	if (g->orders++ == 0)
		x_expect(&g->x, xcb_query_tree(g->x.c, g->x.root).sequence, on_order, g->x.root);
}

/* Above all, or, until it is known where, below all: never over one of those. */
void
override_stack(struct gui *g, struct window *w)
{
	w->low = above(g, XCB_NONE);
	stack(g, w, XCB_NONE, w->low ? XCB_STACK_MODE_BELOW : XCB_STACK_MODE_ABOVE);
	if (w->low)
		order(g);
}

static void
on_attributes(struct gui *g, const struct answer *answer)
{
	const xcb_get_window_attributes_reply_t *r = answer->p;

	for (struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->frame == answer->id && !a->told)
			a->shown = r != NULL && r->map_state == XCB_MAP_STATE_VIEWABLE;
	order(g);
}

/* Up to root's child, which is what is stacked. */
static void
on_parent(struct gui *g, const struct answer *answer)
{
	const xcb_query_tree_reply_t *r = answer->p;

	if (r == NULL || r->parent == r->root) {
		x_expect(&g->x, xcb_get_window_attributes(g->x.c, answer->id).sequence,
		    on_attributes, answer->id);
		return;
	}
	for (struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->frame == answer->id)
			a->frame = r->parent;
	x_expect(&g->x, xcb_query_tree(g->x.c, r->parent).sequence, on_parent, r->parent);
}

static void
ask_class(struct gui *g, xcb_window_t x)
{
	x_ask(&g->x, x, XCB_ATOM_WM_CLASS, 32, on_class, 0);
}

/* The qube's own windows are not asked: they bear its name before theirs. */
static void
on_tree(struct gui *g, const struct answer *answer)
{
	const xcb_query_tree_reply_t *r = answer->p;
	const xcb_window_t *child = r != NULL ? xcb_query_tree_children(r) : NULL;

	for (int i = 0; r != NULL && i < xcb_query_tree_children_length(r); i++)
		if (window_by_x(g, child[i]) == NULL)
			ask_class(g, child[i]);
}

/* Where it is now; if there are too many, one that does not show gives way. */
static void
remember(struct gui *g, xcb_window_t client)
{
	struct above *at = NULL;
	int rank = 0;

	for (struct above *a = g->above; rank < 3 && a < g->above + ABOVE_MAX; a++) {
		const int is = a->client == client ? 3 : a->client == XCB_NONE ? 2 : !a->shown;

		if (is > rank)
			rank = is, at = a;
	}
	if (at == NULL)
		return; /* it is on top of them, and what is below them is below it */
	*at = (struct above){.client = client, .frame = client};
	x_expect(&g->x, xcb_query_tree(g->x.c, client).sequence, on_parent, client);
}

/* No qube's: one may have the name of a locker. */
static void
on_whose(struct gui *g, const struct answer *answer)
{
	const xcb_get_property_reply_t *r = answer->p;

	if (r != NULL && r->format == 0)
		remember(g, answer->id);
}

/* A client says who it is; what says nothing, as frames, may have one within. */
static void
on_class(struct gui *g, const struct answer *answer)
{
	const xcb_get_property_reply_t *r = answer->p;
	char instance[NAME_MAX + 1] = "";

	if (r == NULL)
		return;
	if (r->format != 8)
		x_expect(&g->x, xcb_query_tree(g->x.c, answer->id).sequence, on_tree, answer->id);
	else
		snprintf(instance, sizeof instance, "%.*s", (int)r->value_len,
		    (const char *)xcb_get_property_value(r));
	if (one_of(g->o.lockers, instance))
		x_ask(&g->x, answer->id, g->x.atom[A__QUBES_VMNAME], 1, on_whose, 0);
}

void
override_look(struct gui *g, xcb_window_t x)
{
	for (const struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->frame == x && a->client != x)
			x_expect(&g->x, xcb_query_tree(g->x.c, x).sequence, on_parent, x);
	ask_class(g, x);
}

void
override_shown(struct gui *g, xcb_window_t x, bool shown)
{
	bool known = false;

	for (struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->frame == x) {
			a->shown = shown;
			a->told = known = true;
		}
	if (known && shown)
		order(g);
	else if (shown)
		override_look(g, x);
}

void
override_gone(struct gui *g, xcb_window_t x)
{
	for (struct above *a = g->above; a < g->above + ABOVE_MAX; a++)
		if (a->client == x || a->frame == x)
			memset(a, 0, sizeof *a);
}

/* Those that are there already. */
void
override_start(struct gui *g)
{
	x_expect(&g->x, xcb_query_tree(g->x.c, g->x.root).sequence, on_tree, g->x.root);
}
