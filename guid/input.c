/* SPDX-License-Identifier: ISC */
/*
 * Keys, pointer, focus (spec/gui 5.3). Keys and focus come to F, the rest to C; what the agent is
 * told is where in its own window.
 */
#include <string.h>

#include "guid.h"

/* A key or a button: X has both in the same form. */
void
on_press(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_key_press_event_t *e = (const void *)event;
	const uint32_t type = e->response_type & 0x7f;
	const bool key = type == XCB_KEY_PRESS || type == XCB_KEY_RELEASE;
	const int at = key ? w->off - w->inset : w->off; /* F, or C, in the qube's window */
	const struct gui_key m = {.type = type,
	    .x = e->event_x + at,
	    .y = e->event_y + at,
	    .state = e->state,
	    .code = e->detail};

	g->time = e->time;
	x_word(&g->x, w->f, g->x.atom[A__NET_WM_USER_TIME], XCB_ATOM_CARDINAL, e->time);
	if (w->docked && type == XCB_BUTTON_PRESS)
		xcb_set_input_focus(g->x.c, XCB_INPUT_FOCUS_PARENT, w->f, e->time);
	agent_send(g, key ? GUI_KEYPRESS : GUI_BUTTON, w->id, &m, sizeof m);
}

void
on_motion(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_motion_notify_event_t *e = (const void *)event;
	const struct gui_motion m = {.x = e->event_x + w->off,
	    .y = e->event_y + w->off,
	    .state = e->state,
	    .is_hint = e->detail};

	agent_motion(g, w->id, &m);
}

void
on_crossing(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_enter_notify_event_t *e = (const void *)event;
	const struct gui_crossing m = {.type = e->response_type & 0x7f,
	    .x = e->event_x + w->off,
	    .y = e->event_y + w->off,
	    .state = e->state,
	    .mode = e->mode,
	    .detail = e->detail,
	    .focus = e->same_screen_focus & 1};

	agent_send(g, GUI_CROSSING, w->id, &m, sizeof m);
}

/* ---- focus ---- */

/* Only who has the focus hears which keys are down: X says so right after FocusIn, and before
 * anything else. */
void
input_focus_flush(struct gui *g)
{
	const struct window *w = g->focus != 0 ? window_by_x(g, g->focus) : NULL;

	g->focus = 0;
	if (w != NULL && !w->lost)
		agent_send(g, GUI_FOCUS, w->id, &g->focus_event, sizeof g->focus_event);
}

void
on_focus(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_focus_in_event_t *e = (const void *)event;
	const uint32_t type = e->response_type & 0x7f;

	if (e->mode != XCB_NOTIFY_MODE_NORMAL && e->mode != XCB_NOTIFY_MODE_WHILE_GRABBED)
		return;
	g->focus = w->f;
	g->focus_event = (struct gui_focus){.type = type, .detail = e->detail};
	if (type == XCB_FOCUS_OUT)
		input_focus_flush(g);
}

/* keys[0] would be of keycodes 0 to 7, which there are not: X leaves it out. */
void
on_keymap(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_keymap_notify_event_t *e = (const void *)event;
	uint8_t keys[32] = {0};

	(void)w;
	if (g->focus == 0)
		return;
	memcpy(keys + 1, e->keys, sizeof e->keys);
	agent_send(g, GUI_KEYMAP_NOTIFY, 0, keys, sizeof keys);
	input_focus_flush(g);
}
