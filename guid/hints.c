/* SPDX-License-Identifier: ISC */
/* What a window manager is told of a window, and what it says (spec/gui 4, 5.3, 7, 9). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guid.h"

enum { US_POS = 1, P_POS = 4, P_SIZE = 8, P_MIN = 16, P_MAX = 32, P_INC = 64, P_BASE = 256 };
#define NORMAL_HINTS 18 /* words of WM_NORMAL_HINTS */
#define TITLE 128
#define STATES_MAX 32 /* words of _NET_WM_STATE */
#define FAMILY_MAX 16 /* windows each of which is transient for the next */

/* ---- text ---- */

/* Not controls, and not what turns the direction of text: the qube's name stands before it. */
static bool
plain(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} never[] = {
	    {0, 0x9f}, {0x61c, 0x61c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};

	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (c >= never[i].first && c <= never[i].last)
			return false;
	return true;
}

/* size: of the field, whose last byte counts as NUL, and of out at least. */
static void
clean(char *out, const char *untrusted, size_t size, bool wide)
{
	const size_t n = strnlen(untrusted, size - 1);

	for (size_t i = 0, len; i < n; i += len) {
		const unsigned char *s = (const unsigned char *)untrusted + i;
		uint32_t c;

		len = wide ? utf8_char(s, n - i, &c) : 0;
		if (len > 0 && plain(c)) {
			memcpy(out + i, s, len);
			continue;
		}
		out[i] = (char)(*s >= 0x20 && *s <= 0x7e ? *s : '_');
		len = 1;
	}
	out[n] = '\0';
}

static void
set_title(struct gui *g, const struct window *w, const char *name)
{
	const xcb_atom_t names[] = {XCB_ATOM_WM_NAME, XCB_ATOM_WM_ICON_NAME,
	    g->x.atom[A__NET_WM_NAME], g->x.atom[A__NET_WM_ICON_NAME]};
	char title[TITLE + NAME_LEN_MAX + 4];
	bool ascii = true;
	int n;

	n = g->o.title_name ? snprintf(title, sizeof title, "[%s] %s", g->o.name, name)
			    : snprintf(title, sizeof title, "%s", name);
	for (int i = 0; i < n; i++)
		ascii = ascii && (unsigned char)title[i] < 0x80;
	for (size_t i = 0; i < 4; i++)
		x_text(&g->x, w->f, names[i],
		    ascii && i < 2 ? XCB_ATOM_STRING : g->x.atom[A_UTF8_STRING], title, (size_t)n);
}

void
on_wmname(struct gui *g, struct window *w, const struct body *untrusted)
{
	static const char dots[] = "\xe2\x80\xa6";
	const struct gui_wmname *m = untrusted->p;
	const size_t n = strnlen(m->name, TITLE - 1);
	char title[TITLE];

	clean(title, m->name, TITLE, g->o.utf8);
	if (!g->o.utf8 && n >= 3 && memcmp(m->name + n - 3, dots, 3) == 0)
		memset(title + n - 3, '.', 3);
	set_title(g, w, title);
}

/* sep and both names, after the qube's; or its own twice. */
static void
set_class(
    struct gui *g, const struct window *w, const char *sep, const char *name, const char *class)
{
	const char *qube = g->o.name;
	char text[2 * (NAME_LEN_MAX + 1 + 64)];
	const int n =
	    snprintf(text, sizeof text, "%s%s%s%c%s%s%s", qube, sep, name, '\0', qube, sep, class);

	x_text(&g->x, w->f, XCB_ATOM_WM_CLASS, XCB_ATOM_STRING, text, (size_t)n + 1);
}

void
on_wmclass(struct gui *g, struct window *w, const struct body *untrusted)
{
	const struct gui_wmclass *m = untrusted->p;
	char name[64], class[64];

	if (w->mapped)
		return;
	clean(name, m->res_name, sizeof name, false);
	clean(class, m->res_class, sizeof class, false);
	set_class(g, w, ":", name, class);
}

/* ---- a new window ---- */

void
hints_new(struct gui *g, struct window *w)
{
	const xcb_atom_t *a = g->x.atom;
	const uint32_t protocols[] = {a[A_WM_DELETE_WINDOW], a[A__NET_WM_PING]};
	const uint32_t size[NORMAL_HINTS] = {P_SIZE};
	const uint32_t input[9] = {1, 1}; /* InputHint, it wants the focus */
	const uint8_t label = (uint8_t)g->o.label;

	/* First: who reads the next one is to know whose it is (override.c). */
	x_text(&g->x, w->f, a[A__QUBES_VMNAME], XCB_ATOM_STRING, g->o.name, strlen(g->o.name));
	set_class(g, w, "", "", "");
	x_text(&g->x, w->f, XCB_ATOM_WM_CLIENT_MACHINE, XCB_ATOM_STRING, g->host, strlen(g->host));
	x_word(&g->x, w->f, a[A__NET_WM_PID], XCB_ATOM_CARDINAL, (uint32_t)g->pid);
	x_words(&g->x, w->f, a[A_WM_PROTOCOLS], XCB_ATOM_ATOM, protocols, 2);
	x_words(&g->x, w->f, XCB_ATOM_WM_HINTS, XCB_ATOM_WM_HINTS, input, 9);
	x_text(&g->x, w->f, a[A__QUBES_LABEL], XCB_ATOM_CARDINAL, &label, 1);
	x_word(&g->x, w->f, a[A__QUBES_LABEL_COLOR], XCB_ATOM_CARDINAL, g->o.rgb);
	x_word(&g->x, w->f, a[A__QUBES_VMWINDOWID], XCB_ATOM_WINDOW, w->id);
	x_words(&g->x, w->f, XCB_ATOM_WM_NORMAL_HINTS, XCB_ATOM_WM_SIZE_HINTS, size, NORMAL_HINTS);
	for (const struct prop *p = g->o.props; p < g->o.props + g->o.nprops; p++)
		xcb_change_property(g->x.c, XCB_PROP_MODE_REPLACE, w->f, p->atom, p->type,
		    p->format, p->n, p->data);
	set_title(g, w, "");
}

void
hints_transient(struct gui *g, struct window *w, struct window *to)
{
	const struct window *up = to;

	if (to == w->transient)
		return;
	/* Never round in circles, nor without end: window managers follow it. What has followers
	 * stays the end of theirs. */
	for (int i = 0; i < FAMILY_MAX && up != NULL && up != w; i++)
		up = up->transient;
	if (up != NULL || !LIST_EMPTY(&w->followers) || (to != NULL && to->lost))
		to = NULL;
	if (w->transient != NULL)
		LIST_REMOVE(w, follower);
	w->transient = to;
	if (to != NULL)
		LIST_INSERT_HEAD(&to->followers, w, follower);
	if (w->lost)
		return;
	if (to != NULL)
		x_word(&g->x, w->f, XCB_ATOM_WM_TRANSIENT_FOR, XCB_ATOM_WINDOW, to->f);
	else
		xcb_delete_property(g->x.c, w->f, XCB_ATOM_WM_TRANSIENT_FOR);
}

/* Each pair only if it makes sense, and for F, which is larger than what the qube knows and is not
 * larger than the screen. */
void
on_hints(struct gui *g, struct window *w, const struct body *untrusted)
{
	static const struct {
		uint32_t flag, min, less; /* less: than the largest window */
		uint8_t from, to;	  /* words of the message, and of the property */
		bool frame;
	} pairs[] = {{P_MIN, 0, 0, 1, 5, true}, {P_MAX, 1, 0, 3, 7, true},
	    {P_INC, 1, 1, 5, 9, false}, {P_BASE, 0, 0, 7, 15, true}};
	const uint32_t *m = untrusted->p, more = 2 * (uint32_t)(w->inset - w->off);
	const uint32_t most[] = {(uint32_t)g->root.w, (uint32_t)g->root.h};
	uint32_t h[NORMAL_HINTS] = {P_SIZE | (*m & (US_POS | P_POS))};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		const uint32_t x = m[pairs[i].from], y = m[pairs[i].from + 1];

		if (!(*m & pairs[i].flag) || x < pairs[i].min || y < pairs[i].min ||
		    x > GUI_WIDTH_MAX - pairs[i].less || y > GUI_HEIGHT_MAX - pairs[i].less)
			continue;
		h[0] |= pairs[i].flag;
		h[pairs[i].to] = x + (pairs[i].frame ? more : 0);
		h[pairs[i].to + 1] = y + (pairs[i].frame ? more : 0);
		for (int k = 0; pairs[i].frame && k < 2; k++)
			if (h[pairs[i].to + k] > most[k])
				h[pairs[i].to + k] = most[k];
	}
	if (h[0] & P_MIN && h[0] & P_MAX && (h[7] < h[5] || h[8] < h[6]))
		h[0] &= ~(uint32_t)P_MAX;
	if (h[0] & P_INC && !(h[0] & (P_MIN | P_BASE))) {
		h[0] |= P_BASE;
		h[15] = h[16] = more;
	}
	x_words(&g->x, w->f, XCB_ATOM_WM_NORMAL_HINTS, XCB_ATOM_WM_SIZE_HINTS, h, NORMAL_HINTS);
}

/* ---- flags ---- */

/* Full screen is what may hide our frame and everything else: unless it is allowed, the largest
 * window there is has to do. */
static const struct state {
	uint32_t flag;
	unsigned first, second; /* atoms that stand for it together */
	enum { ALWAYS, ALLOWED, NOT_ALLOWED } when;
} states[] = {
    {GUI_FULLSCREEN, A__NET_WM_STATE_FULLSCREEN, A__NET_WM_STATE_FULLSCREEN, ALLOWED},
    {GUI_FULLSCREEN, A__NET_WM_STATE_MAXIMIZED_VERT, A__NET_WM_STATE_MAXIMIZED_HORZ, NOT_ALLOWED},
    {GUI_ATTENTION, A__NET_WM_STATE_DEMANDS_ATTENTION, A__NET_WM_STATE_DEMANDS_ATTENTION, ALWAYS},
    {GUI_MINIMIZE, A__NET_WM_STATE_HIDDEN, A__NET_WM_STATE_HIDDEN, ALWAYS},
};
#define STATES_N (sizeof states / sizeof *states)

void
on_flags(struct gui *g, struct window *w, const struct body *untrusted)
{
	const struct gui_flags *m = untrusted->p;
	const uint32_t minimize = m->set & GUI_MINIMIZE;
	const uint32_t ask = (m->set & (minimize ? GUI_ATTENTION : ~0u)) | m->unset;
	const xcb_atom_t *a = g->x.atom;
	uint32_t atoms[2 * STATES_N], n = 0;

	if (m->set & m->unset) {
		fatal(g, w->id, "WINDOW_FLAGS to set 0x%x and to unset 0x%x", m->set, m->unset);
		return;
	}
	if (w->mapped && minimize)
		x_manager(g, w->f, a[A_WM_CHANGE_STATE], (uint32_t[5]){3}); /* IconicState */
	for (const struct state *s = states; s < states + STATES_N; s++) {
		const xcb_atom_t also = s->second != s->first ? a[s->second] : XCB_NONE;

		if (s->when == (g->o.fullscreen ? NOT_ALLOWED : ALLOWED))
			continue;
		if (w->mapped && ask & s->flag && s->flag != GUI_MINIMIZE)
			x_manager(g, w->f, a[A__NET_WM_STATE],
			    (uint32_t[5]){(m->set & s->flag) != 0, a[s->first], also, 1});
		if (m->set & s->flag)
			atoms[n++] = a[s->first];
		if (m->set & s->flag && also != XCB_NONE)
			atoms[n++] = also;
	}
	if (w->mapped)
		return;
	x_words(&g->x, w->f, a[A__NET_WM_STATE], XCB_ATOM_ATOM, atoms, n);
	w->flags = m->set & (GUI_FULLSCREEN | GUI_ATTENTION | GUI_MINIMIZE); /* the agent knows */
}

static bool
has(const uint32_t *atoms, size_t n, xcb_atom_t a)
{
	for (size_t i = 0; i < n; i++)
		if (atoms[i] == a)
			return true;
	return false;
}

static void
state(struct gui *g, struct window *w, const uint32_t *atoms, size_t n)
{
	const xcb_atom_t *a = g->x.atom;
	struct gui_flags m;
	uint32_t now = 0;
	const bool full = has(atoms, n, a[A__NET_WM_STATE_FULLSCREEN]) && g->makes_full;

	if (!w->mapped)
		return;
	for (const struct state *s = states; s < states + STATES_N; s++)
		if (has(atoms, n, a[s->first]) && has(atoms, n, a[s->second]) &&
		    !(s->when == NOT_ALLOWED && g->o.fullscreen))
			now |= s->flag;
	m = (struct gui_flags){.set = now & ~w->flags, .unset = w->flags & ~now};
	w->flags = now;
	if (m.set | m.unset)
		agent_send(g, GUI_WINDOW_FLAGS, w->id, &m, sizeof m);
	if (full == w->full)
		return;
	w->full = full;
	window_kind(g, w);
	window_resized(g, w);
}

/* ---- the window manager, and the root window ---- */

static void
extents(struct gui *g, struct window *w, const uint32_t *v, size_t n)
{
	(void)g;
	if (n < 4 || v[0] > 1000 || v[2] > 1000)
		return;
	w->ext_x = (int)v[0];
	w->ext_y = (int)v[2];
}

static void
desktop(struct gui *g, struct window *w, const uint32_t *v, size_t n)
{
	(void)w;
	g->desktop = n > 0 ? v[0] : 0;
}

static void
workarea(struct gui *g, struct window *window, const uint32_t *v, size_t n)
{
	const uint32_t w = (uint32_t)g->root.w, h = (uint32_t)g->root.h;

	(void)window;
	g->work = g->root;
	if (n / 4 > g->desktop)
		v += 4 * g->desktop;
	if (n >= 4 && v[0] < w && v[1] < h && v[2] > 0 && v[3] > 0 && v[2] <= w - v[0] &&
	    v[3] <= h - v[1])
		g->work = (struct rect){(int)v[0], (int)v[1], (int)v[2], (int)v[3]};
}

/* One that does not would leave a window of any size without its frame. */
static void
supported(struct gui *g, struct window *w, const uint32_t *v, size_t n)
{
	(void)w;
	g->makes_full = has(v, n, g->x.atom[A__NET_WM_STATE_FULLSCREEN]);
}

/* What others say, first of the root window, then of ours; in this order, since each may need
 * those before. */
static const struct {
	unsigned atom;
	uint32_t words;
	void (*fn)(struct gui *g, struct window *w, const uint32_t *v, size_t n);
} props[] = {
    {A__NET_SUPPORTED, 1024, supported},
    {A__NET_CURRENT_DESKTOP, 1, desktop},
    {A__NET_WORKAREA, 256, workarea},
    {A__NET_WM_STATE, STATES_MAX, state},
    {A__NET_FRAME_EXTENTS, 4, extents},
};
enum { OF_ROOT = 3, PROPS = 5 };

static void
on_value(struct gui *g, const struct answer *answer)
{
	size_t n;
	const uint32_t *v = x_answer(answer, &n);

	if (answer->w != NULL || answer->n < OF_ROOT)
		props[answer->n].fn(g, answer->w, v, n);
}

static void
ask(struct gui *g, xcb_window_t x, uint32_t i)
{
	x_ask(&g->x, x, g->x.atom[props[i].atom], props[i].words, on_value, i);
}

void
hints_start(struct gui *g)
{
	g->work = g->root;
	for (uint32_t i = 0; i < OF_ROOT; i++)
		ask(g, g->x.root, i);
}

void
on_property(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_property_notify_event_t *e = (const void *)event;

	for (uint32_t i = 0; i < PROPS; i++) {
		if (e->atom != g->x.atom[props[i].atom])
			continue;
		if (w != NULL && i >= OF_ROOT)
			ask(g, w->f, i);
		else if (e->window == g->x.root && i < OF_ROOT)
			hints_start(g);
	}
}

void
on_client_message(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	enum { XEMBED_EMBEDDED_NOTIFY = 0, XEMBED_FOCUS_IN = 4 };
	const xcb_client_message_event_t *e = (const void *)event;
	const uint32_t *data = e->data.data32;
	const struct gui_focus in = {XCB_FOCUS_IN, 0, XCB_NOTIFY_DETAIL_NONLINEAR};
	const xcb_atom_t *a = g->x.atom;

	if (e->format != 32)
		return;
	if (e->type == a[A_MANAGER] && data[1] == a[A_TRAY])
		tray_owner(g);
	if (w == NULL)
		return;
	if (e->type == a[A_WM_PROTOCOLS] && data[0] == a[A_WM_DELETE_WINDOW])
		agent_send(g, GUI_CLOSE, w->id, NULL, 0);
	else if (e->type == a[A_WM_PROTOCOLS] && data[0] == a[A__NET_WM_PING])
		x_manager(g, g->x.root, e->type, data);
	else if (e->type == a[A__XEMBED] && data[1] == XEMBED_EMBEDDED_NOTIFY)
		tray_embedded(g, w);
	else if (e->type == a[A__XEMBED] && data[1] == XEMBED_FOCUS_IN)
		agent_send(g, GUI_FOCUS, w->id, &in, sizeof in);
}

/* ---- the pointer ---- */

/* A glyph of X's cursor font: they are at even numbers, their masks at odd ones. One id will do,
 * since X keeps a cursor as long as a window has it. */
void
on_cursor(struct gui *g, struct window *w, const struct body *untrusted)
{
	const uint32_t cursor = *(const uint32_t *)untrusted->p;
	const uint16_t glyph = (uint16_t)(cursor - GUI_CURSOR_FONT);
	const bool shape = cursor != 0 && cursor % 2 == 0;

	if (cursor != 0 && (cursor < GUI_CURSOR_FONT || cursor >= GUI_CURSOR_END)) {
		fatal(g, w->id, "CURSOR 0x%x", cursor);
		return;
	}
	if (g->cursor == XCB_NONE) {
		g->cursor = xcb_generate_id(g->x.c);
		g->cursor_font = xcb_generate_id(g->x.c);
		xcb_open_font(g->x.c, g->cursor_font, 6, "cursor");
	}
	if (shape)
		xcb_create_glyph_cursor(g->x.c, g->cursor, g->cursor_font, g->cursor_font, glyph,
		    glyph + 1, 0, 0, 0, 0xffff, 0xffff, 0xffff);
	xcb_change_window_attributes(
	    g->x.c, w->c, XCB_CW_CURSOR, (uint32_t[]){shape ? g->cursor : XCB_NONE});
	if (shape)
		xcb_free_cursor(g->x.c, g->cursor);
}
