/* SPDX-License-Identifier: ISC */
/*
 * Keys, pointer, focus (spec/gui 5.3), by XTest. Nobody looks at this screen: whichever window Dom0
 * says the pointer is in becomes the topmost one, so that it gets what follows.
 */
#include <stdlib.h>
#include <string.h>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>
#include <xcb/xkb.h>
#include <xcb/xtest.h>

#include "ga.h"

#define FIRST_KEY 8
#define LAST_BUTTON 15

#define LOCKS (XCB_MOD_MASK_LOCK | XCB_MOD_MASK_2)

static void
fake(struct gui *g, uint8_t type, uint8_t detail, int x, int y)
{
	xcb_test_fake_input(g->x.c, type, detail, XCB_CURRENT_TIME,
	    type == XCB_MOTION_NOTIFY ? g->x.root : XCB_NONE, (int16_t)x, (int16_t)y, 0);
}

/* ---- the pointer ---- */

static void
point(struct gui *g, const struct window *w, int32_t x, int32_t y)
{
	const uint32_t above = XCB_STACK_MODE_ABOVE;
	const int far = 2 * GUI_WIDTH_MAX;

	if (g->in.pointer != w->id && g->in.buttons == 0) {
		xcb_configure_window(g->x.c, w->id, XCB_CONFIG_WINDOW_STACK_MODE, &above);
		g->in.pointer = w->id;
	}
	if (x > -far && x < far && y > -far && y < far)
		fake(g, XCB_MOTION_NOTIFY, 0, w->at.x + x, w->at.y + y);
}

void
on_motion(struct gui *g, const struct msg *m)
{
	point(g, m->w, m->u.motion.x, m->u.motion.y);
}

void
on_crossing(struct gui *g, const struct msg *m)
{
	const struct gui_crossing *c = &m->u.crossing;

	if (c->mode == XCB_NOTIFY_MODE_NORMAL &&
	    (c->type == XCB_ENTER_NOTIFY || g->in.pointer == m->w->id))
		point(g, m->w, c->x, c->y);
}

void
on_button(struct gui *g, const struct msg *m)
{
	const struct gui_key *b = &m->u.key;

	if (b->code == 0 || b->code > LAST_BUTTON ||
	    (b->type != XCB_BUTTON_PRESS && b->type != XCB_BUTTON_RELEASE))
		return;
	point(g, m->w, b->x, b->y);
	if (b->type == XCB_BUTTON_PRESS)
		g->in.buttons |= (uint16_t)(1u << b->code);
	else
		g->in.buttons &= (uint16_t) ~(1u << b->code);
	fake(g, (uint8_t)b->type, (uint8_t)b->code, 0, 0);
}

/* ---- keys ---- */

static bool
is_modifier(const xcb_get_modifier_mapping_reply_t *r, uint8_t code)
{
	const xcb_keycode_t *keys = xcb_get_modifier_mapping_keycodes(r);
	const int per = r->keycodes_per_modifier;

	for (int i = 0; i < 8 * per; i++) /* a row for each bit of a mask */
		if (keys[i] == code && !(1 << i / per & LOCKS))
			return true;
	return false;
}

/* What is not down in Dom0 goes up here, and modifiers go down. */
void
on_keymap(struct gui *g, const struct msg *m)
{
	const uint8_t *want = m->p;
	xcb_query_keymap_reply_t *now = x_get(query_keymap, g->x.c);
	xcb_get_modifier_mapping_reply_t *r = x_get(get_modifier_mapping, g->x.c);

	for (unsigned i = FIRST_KEY; now != NULL && r != NULL && i < 256; i++) {
		const bool down = now->keys[i / 8] >> i % 8 & 1, wanted = want[i / 8] >> i % 8 & 1;

		if (down && !wanted)
			fake(g, XCB_KEY_RELEASE, (uint8_t)i, 0, 0);
		else if (wanted && !down && is_modifier(r, (uint8_t)i))
			fake(g, XCB_KEY_PRESS, (uint8_t)i, 0, 0);
	}
	free(now);
	free(r);
}

void
input_release(struct gui *g)
{
	static const uint8_t none[32];

	on_keymap(g, &(struct msg){.p = none});
	for (uint8_t i = 1; i <= LAST_BUTTON; i++)
		if (g->in.buttons >> i & 1)
			fake(g, XCB_BUTTON_RELEASE, i, 0, 0);
	g->in.buttons = 0;
}

void
on_key(struct gui *g, const struct msg *m)
{
	const struct gui_key *k = &m->u.key;

	if (k->code < FIRST_KEY || k->code > 255 ||
	    (k->type != XCB_KEY_PRESS && k->type != XCB_KEY_RELEASE))
		return;
	/* Caps lock and num lock are as in Dom0, where they may have been pressed in another
	 * window. */
	if (k->type == XCB_KEY_PRESS)
		xcb_xkb_latch_lock_state(g->x.c, XCB_XKB_ID_USE_CORE_KBD, LOCKS,
		    (uint8_t)(k->state & LOCKS), 0, 0, 0, 0, 0);
	fake(g, (uint8_t)k->type, (uint8_t)k->code, 0, 0);
}

void
input_start(struct gui *g)
{
	const uint32_t off = XCB_AUTO_REPEAT_MODE_OFF;

	/* Dom0's keyboard repeats. */
	xcb_change_keyboard_control(g->x.c, XCB_KB_AUTO_REPEAT_MODE, &off);
	xcb_xfixes_select_cursor_input(
	    g->x.c, g->x.root, XCB_XFIXES_CURSOR_NOTIFY_MASK_DISPLAY_CURSOR);
}

/* ---- focus ---- */

static void
active(struct gui *g, xcb_window_t w)
{
	g->in.focus = w;
	x_word(&g->x, g->x.root, ATOM(_NET_ACTIVE_WINDOW), XCB_ATOM_WINDOW, w);
}

void
on_focus(struct gui *g, const struct msg *m)
{
	const struct window *w = m->w;
	const uint32_t take[5] = {ATOM(WM_TAKE_FOCUS), XCB_CURRENT_TIME};
	const xcb_window_t to = w->icon != XCB_NONE ? w->icon : w->id;

	if (m->u.focus.type == XCB_FOCUS_OUT && g->in.focus == w->id) {
		input_release(g);
		xcb_set_input_focus(g->x.c, XCB_INPUT_FOCUS_NONE, XCB_NONE, XCB_CURRENT_TIME);
		active(g, XCB_NONE);
	}
	if (m->u.focus.type != XCB_FOCUS_IN || !w->mapped)
		return;
	if (props_input(g, w))
		xcb_set_input_focus(g->x.c, XCB_INPUT_FOCUS_NONE, to, XCB_CURRENT_TIME);
	if (props_protocol(g, w, A_WM_TAKE_FOCUS))
		x_message(&g->x, w->id, w->id, ATOM(WM_PROTOCOLS), 0, take);
	active(g, w->id);
}

void
input_gone(struct gui *g, const struct window *w)
{
	if (g->in.focus == w->id)
		active(g, XCB_NONE);
	if (g->in.pointer == w->id)
		g->in.pointer = XCB_NONE;
}

/* ---- the cursor ---- */

void
cursor_notify(struct gui *g, const void *event)
{
	g->in.cursor = ((const xcb_xfixes_cursor_notify_event_t *)event)->name;
	g->in.cursor_due = true;
}

void
input_tell(struct gui *g)
{
	const struct window *w = window_find(g, g->in.pointer);
	xcb_get_atom_name_reply_t *r;
	char name[32] = "";
	uint32_t cursor;

	if (!g->in.cursor_due || !link_room(g))
		return;
	g->in.cursor_due = false;
	r = x_get(get_atom_name, g->x.c, g->in.cursor);
	if (r != NULL && r->name_len < sizeof name)
		memcpy(name, xcb_get_atom_name_name(r), r->name_len);
	free(r);
	cursor = input_glyph(name);
	if (w != NULL && w->shown)
		link_send(g, GUI_CURSOR, w->id, &cursor, sizeof cursor);
}
