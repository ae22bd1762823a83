/* SPDX-License-Identifier: ISC */
/*
 * Keys, pointer, focus (spec/gui 5.3), by XTest. Nobody looks at this screen: whichever window Dom0
 * says the pointer is in becomes the topmost one, so that it gets what follows.
 */
#include <stdlib.h>
#include <string.h>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>
#include <xcb/xtest.h>

#include "ga.h"

static const uint16_t lock_mask[2] = {XCB_MOD_MASK_LOCK, XCB_MOD_MASK_2};

static bool
bit(const uint8_t *map, uint32_t n)
{
	return map[n / 8] >> n % 8 & 1;
}

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

	if (b->code == 0 || b->code > 15 ||
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

static void
key(struct gui *g, uint8_t code, bool press)
{
	if (press)
		g->in.down[code / 8] |= (uint8_t)(1u << code % 8);
	else
		g->in.down[code / 8] &= (uint8_t) ~(1u << code % 8);
	fake(g, press ? XCB_KEY_PRESS : XCB_KEY_RELEASE, code, 0, 0);
}

static void
on_locks(struct gui *g, const struct answer *a)
{
	const xcb_query_pointer_reply_t *r = a->p;

	if (r != NULL)
		g->in.locks = r->mask & (XCB_MOD_MASK_LOCK | XCB_MOD_MASK_2);
}

static void
ask_locks(struct gui *g)
{
	g->in.locks = -1;
	x_expect(&g->x, xcb_query_pointer(g->x.c, g->x.root).sequence, on_locks, 0);
}

/* Caps lock and num lock are as in Dom0, where they may have been pressed in another window. */
static void
same_locks(struct gui *g, const struct gui_key *m)
{
	for (size_t i = 0; i < 2; i++) {
		const uint8_t code = g->in.lock_key[i];

		if (m->code == code && code != 0) {
			ask_locks(g); /* answered after it */
			return;
		}
		if (g->in.locks < 0 || code == 0 ||
		    ((g->in.locks ^ (int)m->state) & lock_mask[i]) == 0)
			continue;
		key(g, code, true);
		key(g, code, false);
		g->in.locks ^= lock_mask[i];
	}
}

void
on_key(struct gui *g, const struct msg *m)
{
	const struct gui_key *k = &m->u.key;

	if (k->code < 8 || k->code > 255 ||
	    (k->type != XCB_KEY_PRESS && k->type != XCB_KEY_RELEASE))
		return;
	if (k->type == XCB_KEY_PRESS)
		same_locks(g, k);
	key(g, (uint8_t)k->code, k->type == XCB_KEY_PRESS);
}

/* What is down in Dom0: what is not goes up here, and modifiers go down. */
void
on_keymap(struct gui *g, const struct msg *m)
{
	const uint8_t *map = m->p;

	for (uint32_t i = 8; i < 256; i++)
		if (bit(g->in.down, i) ? !bit(map, i) : bit(map, i) && bit(g->in.modifier, i))
			key(g, (uint8_t)i, bit(map, i));
}

void
input_release(struct gui *g)
{
	for (uint32_t i = 8; i < 256; i++)
		if (bit(g->in.down, i))
			key(g, (uint8_t)i, false);
	for (uint8_t i = 1; i < 16; i++)
		if (g->in.buttons >> i & 1)
			fake(g, XCB_BUTTON_RELEASE, i, 0, 0);
	g->in.buttons = 0;
}

static void
on_modifiers(struct gui *g, const struct answer *a)
{
	const xcb_get_modifier_mapping_reply_t *r = a->p;
	const uint8_t per = r != NULL ? r->keycodes_per_modifier : 0;
	const xcb_keycode_t *code = r != NULL ? xcb_get_modifier_mapping_keycodes(r) : NULL;

	memset(g->in.modifier, 0, sizeof g->in.modifier);
	g->in.lock_key[0] = g->in.lock_key[1] = 0;
	for (size_t i = 0; i < 8u * per; i++) {
		const bool lock = i / per == 1, num = i / per == 4;

		if ((lock || num) && g->in.lock_key[num] == 0)
			g->in.lock_key[num] = code[i];
		else if (!lock && !num)
			g->in.modifier[code[i] / 8] |= (uint8_t)(1u << code[i] % 8);
	}
}

void
input_mapping(struct gui *g)
{
	x_expect(&g->x, xcb_get_modifier_mapping(g->x.c).sequence, on_modifiers, 0);
}

void
input_start(struct gui *g)
{
	const uint32_t off = XCB_AUTO_REPEAT_MODE_OFF;

	/* Dom0's keyboard repeats. */
	xcb_change_keyboard_control(g->x.c, XCB_KB_AUTO_REPEAT_MODE, &off);
	xcb_xfixes_select_cursor_input(
	    g->x.c, g->x.root, XCB_XFIXES_CURSOR_NOTIFY_MASK_DISPLAY_CURSOR);
	input_mapping(g);
	ask_locks(g);
}

/* ---- focus ---- */

static void
active(struct gui *g, xcb_window_t w)
{
	g->in.focus = w;
	x_words(&g->x, g->x.root, g->x.atom[A__NET_ACTIVE_WINDOW], XCB_ATOM_WINDOW, &w, 1);
}

void
on_focus(struct gui *g, const struct msg *m)
{
	const struct window *w = m->w;
	const uint32_t take[5] = {g->x.atom[A_WM_TAKE_FOCUS], XCB_CURRENT_TIME};
	const xcb_window_t to = w->icon != XCB_NONE ? w->icon : w->id;

	if (m->u.focus.type == XCB_FOCUS_OUT && g->in.focus == w->id) {
		input_release(g);
		xcb_set_input_focus(g->x.c, XCB_INPUT_FOCUS_NONE, XCB_NONE, XCB_CURRENT_TIME);
		active(g, XCB_NONE);
	}
	if (m->u.focus.type != XCB_FOCUS_IN || !w->mapped)
		return;
	ask_locks(g);
	if (!w->no_input)
		xcb_set_input_focus(g->x.c, XCB_INPUT_FOCUS_NONE, to, XCB_CURRENT_TIME);
	if (w->takes_focus)
		x_message(&g->x, w->id, w->id, g->x.atom[A_WM_PROTOCOLS], 0, take);
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

static void
on_name(struct gui *g, const struct answer *a)
{
	const xcb_get_atom_name_reply_t *r = a->p;
	const struct window *w = window_find(g, g->in.pointer);
	char name[32] = "";
	uint32_t cursor;

	if (r != NULL && r->name_len < sizeof name)
		memcpy(name, xcb_get_atom_name_name(r), r->name_len);
	cursor = input_glyph(name);
	if (w != NULL && w->shown)
		link_send(g, GUI_CURSOR, w->id, &cursor, sizeof cursor);
}

void
input_cursor(struct gui *g, xcb_atom_t name)
{
	x_expect(&g->x, xcb_get_atom_name(g->x.c, name).sequence, on_name, 0);
}
