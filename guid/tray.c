/* SPDX-License-Identifier: ISC */
/* Icons in the tray (spec/gui 4 DOCK, 5.3, 7): the system tray's protocol and what XEmbed needs. */
#include <string.h>

#include "guid.h"

enum { REQUEST_DOCK = 0, XEMBED_MAPPED = 1 };

static void
ask_dock(struct gui *g, struct window *w)
{
	const uint32_t data[5] = {g->time, REQUEST_DOCK, w->f};

	if (g->tray != XCB_NONE)
		x_message(&g->x, g->tray, g->tray, g->x.atom[A__NET_SYSTEM_TRAY_OPCODE], 0, data);
}

void
on_dock(struct gui *g, struct window *w, const struct body *untrusted)
{
	(void)untrusted;
	if (w->docked)
		return;
	if (w->mapped)
		log_limited(&g->agent.bad, "window 0x%x: DOCK of a mapped window: refused", w->id);
	else
		tray_dock(g, w);
}

void
tray_dock(struct gui *g, struct window *w)
{
	const uint32_t info[2] = {0, XEMBED_MAPPED};

	override_set(g, w, false);
	w->docked = DOCKED;
	w->queued = false;
	window_kind(g, w);
	window_place(g, w);
	xcb_change_window_attributes(g->x.c, w->c, XCB_CW_BACK_PIXEL, &g->o.rgb);
	x_words(&g->x, w->f, g->x.atom[A__XEMBED_INFO], g->x.atom[A__XEMBED_INFO], info, 2);
	ask_dock(g, w);
}

void
tray_embedded(struct gui *g, struct window *w)
{
	if (!w->docked)
		return;
	w->docked = EMBEDDED;
	w->mapped_seq = xcb_map_window(g->x.c, w->f).sequence;
	window_say_place(g, w);
}

/* The tray has gone, and X has put the icon on the root window: it waits for another. */
void
tray_lost(struct gui *g, struct window *w)
{
	w->docked = DOCKED;
	window_unmap(g, w);
}

static void
on_owner(struct gui *g, const struct answer *a)
{
	const xcb_get_selection_owner_reply_t *r = a->p;
	const uint32_t select = XCB_EVENT_MASK_STRUCTURE_NOTIFY;

	if (r == NULL || r->owner == g->tray || window_by_x(g, r->owner) != NULL)
		return;
	g->tray = r->owner;
	if (g->tray == XCB_NONE)
		return;
	xcb_change_window_attributes(g->x.c, g->tray, XCB_CW_EVENT_MASK, &select);
	for (struct window *w = LIST_FIRST(&g->win.all); w != NULL; w = LIST_NEXT(w, all))
		if (w->docked == DOCKED && !w->lost)
			ask_dock(g, w);
}

void
tray_owner(struct gui *g)
{
	x_expect(&g->x, xcb_get_selection_owner(g->x.c, g->x.atom[A_TRAY]).sequence, on_owner, 0);
}

void
tray_start(struct gui *g)
{
	g->px.tint = tint_of(g->o.rgb, g->o.pale);
	tray_owner(g);
}
