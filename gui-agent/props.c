/* SPDX-License-Identifier: ISC */
/* What clients say of their windows: names, class, hints, protocols, states; and their wishes. */
#include <stdlib.h>
#include <string.h>

#include "ga.h"

/* A property's value. */
struct value {
	const uint8_t *p;
	size_t n; /* bytes, or words */
	const uint32_t *words;
};
/* Takes it; what guid is to be told of it. */
typedef unsigned prop_fn(struct gui *g, struct window *w, const struct value *v);

static prop_fn take_class, take_hints, take_wm_hints, take_protocols, take_transient, take_name,
    take_net_name, take_state;

static const struct {
	enum atom ours;
	xcb_atom_t core; /* if not 0 */
	prop_fn *fn;
	uint16_t words;
	uint8_t format;
} props[] = {
    {0, XCB_ATOM_WM_CLASS, take_class, 64, 8},
    {0, XCB_ATOM_WM_NORMAL_HINTS, take_hints, 18, 32},
    {0, XCB_ATOM_WM_HINTS, take_wm_hints, 9, 32},
    {0, XCB_ATOM_WM_TRANSIENT_FOR, take_transient, 1, 32},
    {A_WM_PROTOCOLS, 0, take_protocols, 32, 32},
    {A__NET_WM_STATE, 0, take_state, 32, 32},
    {A__NET_WM_NAME, 0, take_net_name, 32, 8},
    {0, XCB_ATOM_WM_NAME, take_name, 32, 8},
};
#define PROPS (sizeof props / sizeof *props)

static unsigned
set(void *to, const void *from, size_t n, unsigned due)
{
	if (memcmp(to, from, n) == 0)
		return 0;
	memcpy(to, from, n);
	return due;
}

/* Two strings, each with its end: the instance (res_name), the class. */
static unsigned
take_class(struct gui *g, struct window *w, const struct value *v)
{
	const size_t name = strnlen((const char *)v->p, v->n);
	struct gui_wmclass c = {0};

	(void)g;
	memcpy(c.res_name, v->p, name < 63 ? name : 63);
	if (name + 1 < v->n) {
		const size_t class = strnlen((const char *)v->p + name + 1, v->n - name - 1);

		memcpy(c.res_class, v->p + name + 1, class < 63 ? class : 63);
	}
	return set(&w->class, &c, sizeof c, DUE_CLASS);
}

/* XSizeHints: flags, x, y, w, h, min 5, max 7, inc 9, aspects 11, base 15. */
static unsigned
take_hints(struct gui *g, struct window *w, const struct value *v)
{
	static const struct {
		uint32_t flag;
		unsigned from, to;
	} pairs[] = {{16, 5, 1}, {32, 7, 3}, {64, 9, 5}, {256, 15, 7}};
	uint32_t m[9] = {0};

	(void)g;
	if (v->n > 0)
		m[0] = v->words[0] & (1 | 4);
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (v->n > pairs[i].from + 1 && v->words[0] & pairs[i].flag) {
			m[0] |= pairs[i].flag;
			m[pairs[i].to] = v->words[pairs[i].from];
			m[pairs[i].to + 1] = v->words[pairs[i].from + 1];
		}
	_Static_assert(sizeof m == sizeof w->hints, "as guid takes them");
	return set(&w->hints, m, sizeof m, DUE_HINTS);
}

static unsigned
flag(struct window *w, uint32_t bit, bool on)
{
	w->flags.set = on ? w->flags.set | bit : w->flags.set & ~bit;
	w->flags.unset = on ? w->flags.unset & ~bit : w->flags.unset | bit;
	return DUE_FLAGS;
}

static unsigned
take_wm_hints(struct gui *g, struct window *w, const struct value *v)
{
	const bool before = w->urgent;

	(void)g;
	w->no_input = v->n > 1 && v->words[0] & 1 && v->words[1] == 0;
	w->urgent = v->n > 0 && v->words[0] & 256;
	return before != w->urgent ? flag(w, GUI_ATTENTION, w->urgent) : 0;
}

static unsigned
take_protocols(struct gui *g, struct window *w, const struct value *v)
{
	w->deletes = w->takes_focus = false;
	for (size_t i = 0; i < v->n; i++) {
		w->deletes = w->deletes || v->words[i] == g->x.atom[A_WM_DELETE_WINDOW];
		w->takes_focus = w->takes_focus || v->words[i] == g->x.atom[A_WM_TAKE_FOCUS];
	}
	return 0;
}

static unsigned
take_transient(struct gui *g, struct window *w, const struct value *v)
{
	(void)g;
	w->transient = v->n > 0 ? v->words[0] : XCB_NONE;
	return 0;
}

static unsigned
take_net_name(struct gui *g, struct window *w, const struct value *v)
{
	char name[sizeof w->name];

	(void)g;
	w->net_name = v->n > 0;
	text_title(name, v->p, v->n, false);
	return w->net_name ? set(w->name, name, sizeof name, DUE_NAME) : 0;
}

static unsigned
take_name(struct gui *g, struct window *w, const struct value *v)
{
	char name[sizeof w->name];

	(void)g;
	text_title(name, v->p, v->n, true);
	return w->net_name ? 0 : set(w->name, name, sizeof name, DUE_NAME);
}

static uint32_t
state_bit(const struct gui *g, xcb_atom_t a)
{
	return a == g->x.atom[A__NET_WM_STATE_FULLSCREEN]	   ? GUI_FULLSCREEN
	       : a == g->x.atom[A__NET_WM_STATE_DEMANDS_ATTENTION] ? GUI_ATTENTION
	       : a == g->x.atom[A__NET_WM_STATE_HIDDEN]		   ? GUI_MINIMIZE
								   : 0;
}

/* Before a window is mapped it is its client's wish; later it is ours to say. */
static unsigned
take_state(struct gui *g, struct window *w, const struct value *v)
{
	uint32_t wish = 0;

	for (size_t i = 0; i < v->n && !w->ready; i++)
		wish |= state_bit(g, v->words[i]);
	w->flags.set |= wish & (GUI_FULLSCREEN | GUI_ATTENTION);
	if (!w->ready)
		w->state = wish;
	return 0;
}

/* ---- asking ---- */

static void
on_value(struct gui *g, const struct answer *a)
{
	const xcb_get_property_reply_t *r = a->p;
	struct value v = {.p = (const uint8_t *)"", .n = 0};
	unsigned due;

	if (a->w == NULL)
		return;
	if (r != NULL && r->format == props[a->n].format) {
		v.p = xcb_get_property_value(r);
		v.words = xcb_get_property_value(r);
		v.n = r->value_len;
	}
	due = props[a->n].fn(g, a->w, &v);
	if (a->w->ready)
		window_due(g, a->w, due);
}

static xcb_atom_t
atom_of(const struct gui *g, size_t i)
{
	return props[i].core != 0 ? props[i].core : g->x.atom[props[i].ours];
}

static void
ask(struct gui *g, const struct window *w, size_t i)
{
	x_ask(&g->x, w->id, atom_of(g, i), props[i].words, on_value, (uint32_t)i);
}

static void
all_known(struct gui *g, const struct answer *a)
{
	if (a->w != NULL)
		window_ready(g, a->w);
}

void
props_ask(struct gui *g, struct window *w)
{
	for (size_t i = 0; i < PROPS; i++)
		ask(g, w, i);
	x_expect(&g->x, xcb_get_input_focus(g->x.c).sequence, all_known, w->id);
}

void
props_changed(struct gui *g, const xcb_property_notify_event_t *e)
{
	const struct window *w = window_find(g, e->window);

	if (clip_property(g, e) || w == NULL || w->gone || !w->mapped)
		return;
	for (size_t i = 0; i < PROPS; i++)
		if (atom_of(g, i) == e->atom) {
			ask(g, w, i);
			if (props[i].fn == take_net_name && e->state == XCB_PROPERTY_DELETE)
				ask(g, w, i + 1);
		}
}

/* ---- states ---- */

void
props_state(struct gui *g, struct window *w, uint32_t state)
{
	const uint32_t wm[] = {state & GUI_MINIMIZE ? 3 : 1, XCB_NONE};
	uint32_t v[3];
	size_t n = 0;

	w->state = state;
	if (state & GUI_FULLSCREEN)
		v[n++] = g->x.atom[A__NET_WM_STATE_FULLSCREEN];
	if (state & GUI_ATTENTION)
		v[n++] = g->x.atom[A__NET_WM_STATE_DEMANDS_ATTENTION];
	if (state & GUI_MINIMIZE)
		v[n++] = g->x.atom[A__NET_WM_STATE_HIDDEN];
	x_words(&g->x, w->id, g->x.atom[A__NET_WM_STATE], XCB_ATOM_ATOM, v, n);
	x_words(&g->x, w->id, g->x.atom[A_WM_STATE], g->x.atom[A_WM_STATE], wm, 2);
}

/* What the window manager in Dom0 made of it. */
void
on_flags(struct gui *g, const struct msg *m)
{
	if (m->w->mapped)
		props_state(g, m->w, (m->w->state & ~m->u.flags.unset) | m->u.flags.set);
}

/* 0 remove, 1 add, 2 toggle; Dom0 decides. */
static void
wish(struct gui *g, struct window *w, const uint32_t data[5])
{
	const uint32_t bits =
	    (state_bit(g, data[1]) | state_bit(g, data[2])) & (GUI_FULLSCREEN | GUI_ATTENTION);

	for (uint32_t bit = GUI_FULLSCREEN; bit <= GUI_ATTENTION; bit <<= 1)
		if (bits & bit)
			window_due(
			    g, w, flag(w, bit, data[0] == 2 ? !(w->state & bit) : data[0] == 1));
}

void
props_message(struct gui *g, const xcb_client_message_event_t *e)
{
	const xcb_atom_t *a = g->x.atom;
	const uint32_t *data = e->data.data32;
	const uint32_t extents[4] = {0};
	struct window *w = window_find(g, e->window);

	if (e->format != 32)
		return;
	if (e->type == a[A__NET_SYSTEM_TRAY_OPCODE] && data[1] == 0)
		tray_dock(g, data[2]);
	else if (e->type == a[A__NET_REQUEST_FRAME_EXTENTS])
		x_words(&g->x, e->window, a[A__NET_FRAME_EXTENTS], XCB_ATOM_CARDINAL, extents, 4);
	if (w == NULL || w->gone || !w->ready)
		return;
	if (e->type == a[A__NET_WM_STATE])
		wish(g, w, data);
	else if (e->type == a[A_WM_CHANGE_STATE] && data[0] == 3)
		window_due(g, w, flag(w, GUI_MINIMIZE, true));
	else if (e->type == a[A__NET_ACTIVE_WINDOW] && g->in.focus != w->id)
		window_due(g, w, flag(w, GUI_ATTENTION, true));
	else if (e->type == a[A__NET_CLOSE_WINDOW])
		on_close(g, &(struct msg){.w = w});
}
