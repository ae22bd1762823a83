/* SPDX-License-Identifier: ISC */
/* The qube's tray: an icon that asks for a place gets a window of ours, which is told as one for
 * Dom0's tray. And what a window manager says of itself. */
#include <stdlib.h>
#include <string.h>
#include <xcb/composite.h>

#include "ga.h"

#define ICON 24

static void
own(struct gui *g, enum atom selection)
{
	xcb_set_selection_owner(g->x.c, g->screen.own, g->x.atom[selection], XCB_CURRENT_TIME);
}

void
tray_start(struct gui *g)
{
	const uint32_t data[5] = {XCB_CURRENT_TIME, ATOM(_NET_SYSTEM_TRAY_S0), g->screen.own};

	x_word(&g->x, g->screen.own, ATOM(_NET_SYSTEM_TRAY_VISUAL), XCB_ATOM_VISUALID,
	    g->screen.visual);
	own(g, A__NET_SYSTEM_TRAY_S0);
	x_message(
	    &g->x, g->x.root, g->x.root, ATOM(MANAGER), XCB_EVENT_MASK_STRUCTURE_NOTIFY, data);
}

void
tray_dock(struct gui *g, xcb_window_t icon)
{
	const xcb_window_t id = xcb_generate_id(g->x.c);
	const uint32_t white = 0xffffff,
		       select = XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY | XCB_EVENT_MASK_PROPERTY_CHANGE;
	const uint32_t embedded[5] = {XCB_CURRENT_TIME, 0, 0, id, 0};
	struct window *w;

	xcb_create_window(g->x.c, XCB_COPY_FROM_PARENT, id, g->x.root, 0, 0, ICON, ICON, 0,
	    XCB_WINDOW_CLASS_INPUT_OUTPUT, XCB_COPY_FROM_PARENT, XCB_CW_BACK_PIXEL, &white);
	w = window_new(g, id);
	if (w == NULL) {
		xcb_destroy_window(g->x.c, id);
		return;
	}
	w->icon = icon;
	xcb_change_window_attributes(g->x.c, id, XCB_CW_EVENT_MASK, &select);
	xcb_change_save_set(g->x.c, XCB_SET_MODE_INSERT, icon);
	xcb_reparent_window(g->x.c, icon, id, 0, 0);
	x_place(&g->x, icon, &(struct rect){0, 0, ICON, ICON});
	xcb_map_window(g->x.c, icon);
	xcb_map_window(g->x.c, id);
	x_message(&g->x, icon, icon, ATOM(_XEMBED), 0, embedded);
}

/* icon is no longer in parent. */
void
tray_lost(struct gui *g, xcb_window_t parent, xcb_window_t icon)
{
	const struct window *w = window_find(g, parent);

	if (w != NULL && w->icon == icon && !w->gone)
		xcb_destroy_window(g->x.c, w->id);
}

/* ---- window manager ---- */

void
wm_screen(struct gui *g)
{
	const uint32_t r[] = {0, 0, (uint32_t)g->screen.w, (uint32_t)g->screen.h};

	x_words(&g->x, g->x.root, ATOM(_NET_DESKTOP_GEOMETRY), XCB_ATOM_CARDINAL, r + 2, 2);
	x_words(&g->x, g->x.root, ATOM(_NET_WORKAREA), XCB_ATOM_CARDINAL, r, 4);
}

void
wm_start(struct gui *g)
{
	const uint32_t select = XCB_EVENT_MASK_PROPERTY_CHANGE,
		       manage = XCB_EVENT_MASK_SUBSTRUCTURE_REDIRECT |
				XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY |
				XCB_EVENT_MASK_STRUCTURE_NOTIFY;

	if (xcb_request_check(g->x.c, xcb_change_window_attributes_checked(
					  g->x.c, g->x.root, XCB_CW_EVENT_MASK, &manage)) != NULL)
		die("there is another window manager");
	xcb_composite_redirect_subwindows(g->x.c, g->x.root, XCB_COMPOSITE_REDIRECT_MANUAL);
	g->screen.own = xcb_generate_id(g->x.c);
	xcb_create_window(g->x.c, 0, g->screen.own, g->x.root, -1, -1, 1, 1, 0,
	    XCB_WINDOW_CLASS_INPUT_ONLY, XCB_COPY_FROM_PARENT, XCB_CW_EVENT_MASK, &select);
	x_words(&g->x, g->x.root, ATOM(_NET_SUPPORTED), XCB_ATOM_ATOM, g->x.atom + A__NET_SUPPORTED,
	    ATOMS_N - A__NET_SUPPORTED);
	x_word(&g->x, g->x.root, ATOM(_NET_SUPPORTING_WM_CHECK), XCB_ATOM_WINDOW, g->screen.own);
	x_word(
	    &g->x, g->screen.own, ATOM(_NET_SUPPORTING_WM_CHECK), XCB_ATOM_WINDOW, g->screen.own);
	x_text(&g->x, g->screen.own, ATOM(_NET_WM_NAME), ATOM(UTF8_STRING), "gui-agent", 9);
	x_word(&g->x, g->x.root, ATOM(_NET_NUMBER_OF_DESKTOPS), XCB_ATOM_CARDINAL, 1);
	x_word(&g->x, g->x.root, ATOM(_NET_CURRENT_DESKTOP), XCB_ATOM_CARDINAL, 0);
	own(g, A_WM_S0);
	wm_screen(g);
}
