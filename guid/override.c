/* SPDX-License-Identifier: ISC */
/* Override-redirect windows: no window manager asks about them, so we do (spec/gui 5.2, 7). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "guid.h"

bool
override_may(const struct guid *g, const struct window *w, bool wanted)
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

/* One that shows nowhere stays where it is; any other is wholly within the work area, with all of
 * its border. */
bool
override_fit(const struct guid *g, struct rect *r)
{
	const struct rect before = *r;

	if (r->x >= g->root.w || r->y >= g->root.h || r->x + r->w <= 0 || r->y + r->h <= 0)
		return false;
	fit(&r->x, &r->w, g->work.x, g->work.w);
	fit(&r->y, &r->h, g->work.y, g->work.h);
	return memcmp(&before, r, sizeof before) != 0;
}

void
override_set(struct guid *g, struct window *w, bool on)
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

static void
below(struct guid *g, const struct window *w, xcb_window_t sibling)
{
	const uint32_t v[] = {sibling, XCB_STACK_MODE_BELOW};

	xcb_configure_window(
	    g->x.c, w->f, XCB_CONFIG_WINDOW_SIBLING | XCB_CONFIG_WINDOW_STACK_MODE, v);
}

void
override_stack(struct guid *g, struct window *w)
{
	const uint32_t top = XCB_STACK_MODE_ABOVE;

	xcb_configure_window(g->x.c, w->f, XCB_CONFIG_WINDOW_STACK_MODE, &top);
	for (size_t i = 0; i < ABOVE_MAX; i++)
		if (g->above[i] != XCB_NONE)
			below(g, w, g->above[i]);
}

/* ---- lockers and prompts ---- */

static void
on_class(struct guid *g, uint32_t frame, void *reply)
{
	const xcb_get_property_reply_t *r = reply;
	const bool text = r != NULL && r->format == 8;
	char instance[NAME_MAX + 1] = "";
	size_t at = 0;

	if (text && r->value_len > 0)
		snprintf(instance, sizeof instance, "%.*s", (int)r->value_len,
		    (const char *)xcb_get_property_value(r));
	if (!one_of(g->o.lockers, instance))
		return;
	for (size_t i = 0; i < ABOVE_MAX; i++) {
		if (g->above[i] == frame)
			return;
		if (g->above[i] == XCB_NONE)
			at = i;
	}
	g->above[at] = frame;
	for (const struct window *w = g->win.first; w != NULL; w = w->next)
		if (w->override && w->mapped && !w->lost)
			below(g, w, frame);
}

/* The qube's own windows are not asked: they are ours, and bear its name before theirs. */
void
override_look(struct guid *g, xcb_window_t client, xcb_window_t frame)
{
	x_expect(g,
	    xcb_get_property(g->x.c, 0, client, XCB_ATOM_WM_CLASS, XCB_ATOM_STRING, 0, 32).sequence,
	    on_class, frame);
}

void
override_gone(struct guid *g, xcb_window_t x)
{
	for (size_t i = 0; i < ABOVE_MAX; i++)
		if (g->above[i] == x)
			g->above[i] = XCB_NONE;
}

static void
on_tree(struct guid *g, uint32_t parent, void *reply)
{
	const xcb_query_tree_reply_t *r = reply;
	const xcb_window_t *child = r != NULL ? xcb_query_tree_children(r) : NULL;

	for (int i = 0; r != NULL && i < xcb_query_tree_children_length(r); i++) {
		override_look(g, child[i], parent == g->x.root ? child[i] : parent);
		if (parent == g->x.root)
			x_expect(g, xcb_query_tree(g->x.c, child[i]).sequence, on_tree, child[i]);
	}
}

/* Those that are there already. */
void
override_start(struct guid *g)
{
	x_expect(g, xcb_query_tree(g->x.c, g->x.root).sequence, on_tree, g->x.root);
}
