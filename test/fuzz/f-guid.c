/* SPDX-License-Identifier: ISC */
/*
 * guid without its X server: all that an agent may say, and what X may say between it. An X layer
 * that records the windows sees to what must always hold: no content reaches over its frame's
 * border, no put is outside of its window or of its segment, no window is used that was not made.
 *
 * The input: (what, n, n bytes)...; an even what: the agent's bytes, else an event, whose type and
 * windows are among those that matter.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xcb/xcbext.h>

#include "guid/guid.h"
#include "quiet.h"

#define FIRST_ID 0x100u
#define IDS 4096u
#define PAGES 16u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct gui g;
static struct {
	bool made;
	uint32_t parent;
	int x, y, w, h;
} win[IDS];
static uint32_t ids, sequence;
static const uint8_t *data;
static size_t left;
static bool ending; /* every request fails */

static uint8_t
byte(void)
{
	return left > 0 ? (left--, *data++) : 0;
}

static void
check(bool good, const char *what)
{
	if (good)
		return;
	quiet(false);
	for (unsigned i = 0; i < ids; i++)
		fprintf(stderr, "0x%x of 0x%x: %d x %d at %d, %d\n", FIRST_ID + i, win[i].parent,
		    win[i].w, win[i].h, win[i].x, win[i].y);
	for (const struct window *w = LIST_FIRST(&g.win.all); w != NULL; w = LIST_NEXT(w, all))
		fprintf(stderr, "0x%x: F 0x%x %dx%d, C %dx%d, inset %d%s%s docked %d\n", w->id,
		    w->f, w->fw, w->fh, w->cw, w->ch, w->inset, w->override ? " override" : "",
		    w->mapped ? " mapped" : "", w->docked);
	fprintf(stderr, "f-guid: %s\n", what);
	abort();
}

static unsigned
number(xcb_window_t w)
{
	check(w >= FIRST_ID && w - FIRST_ID < ids && win[w - FIRST_ID].made,
	    "a window that is not there");
	return w - FIRST_ID;
}

/* ---- what guid calls of xcb ---- */

#define COOKIE(type)                                                                               \
	(type)                                                                                     \
	{                                                                                          \
		++sequence                                                                         \
	}

uint32_t
xcb_generate_id(xcb_connection_t *c)
{
	(void)c;
	return FIRST_ID + ids++ % IDS;
}

xcb_void_cookie_t
xcb_create_window(xcb_connection_t *c, uint8_t depth, xcb_window_t w, xcb_window_t parent,
    int16_t x, int16_t y, uint16_t width, uint16_t height, uint16_t border, uint16_t class,
    xcb_visualid_t visual, uint32_t mask, const void *values)
{
	const unsigned i = w - FIRST_ID;

	(void)c, (void)depth, (void)border, (void)class, (void)visual, (void)mask, (void)values;
	check(width > 0 && height > 0, "a window of no size");
	win[i].made = true;
	win[i].parent = parent;
	win[i].x = x, win[i].y = y, win[i].w = width, win[i].h = height;
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_configure_window(xcb_connection_t *c, xcb_window_t w, uint16_t mask, const void *values)
{
	const unsigned i = number(w);
	const int32_t *v = values;

	(void)c;
	if (mask & XCB_CONFIG_WINDOW_WIDTH) {
		check(
		    v[2] > 0 && v[3] > 0 && v[2] < 65536 && v[3] < 65536, "a size that X refuses");
		win[i].x = v[0], win[i].y = v[1], win[i].w = v[2], win[i].h = v[3];
	}
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_destroy_window(xcb_connection_t *c, xcb_window_t w)
{
	(void)c;
	number(w);
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_map_window(xcb_connection_t *c, xcb_window_t w)
{
	(void)c;
	number(w);
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_unmap_window(xcb_connection_t *c, xcb_window_t w)
{
	return xcb_map_window(c, w);
}

xcb_void_cookie_t
xcb_change_property(xcb_connection_t *c, uint8_t mode, xcb_window_t w, xcb_atom_t property,
    xcb_atom_t type, uint8_t format, uint32_t n, const void *values)
{
	static volatile uint8_t sum;

	(void)c, (void)mode, (void)property, (void)type;
	number(w);
	check(n < 1024, "a long property");
	for (size_t i = 0; i < n * format / 8; i++) /* all of it is there */
		sum ^= ((const uint8_t *)values)[i];
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_delete_property(xcb_connection_t *c, xcb_window_t w, xcb_atom_t property)
{
	(void)property;
	return xcb_map_window(c, w);
}

xcb_void_cookie_t
xcb_change_window_attributes(xcb_connection_t *c, xcb_window_t w, uint32_t mask, const void *values)
{
	(void)c, (void)w, (void)mask, (void)values;
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_shm_put_image(xcb_connection_t *c, xcb_drawable_t w, xcb_gcontext_t gc, uint16_t tw,
    uint16_t th, uint16_t sx, uint16_t sy, uint16_t sw, uint16_t sh, int16_t x, int16_t y,
    uint8_t depth, uint8_t format, uint8_t send_event, xcb_shm_seg_t seg, uint32_t offset)
{
	const unsigned i = number(w);
	uint8_t event[sizeof(xcb_shm_completion_event_t) + 4] = {0};
	xcb_shm_completion_event_t *e = (xcb_shm_completion_event_t *)event;

	(void)c, (void)gc, (void)depth, (void)format;
	check(win[i].parent != g.x.root, "a put on a frame");
	check(sx == 0 && sy == 0 && sw == tw && sh == th && sw > 0 && sh > 0, "a put of a part");
	check(x >= 0 && y >= 0 && x + sw <= win[i].w && y + sh <= win[i].h,
	    "a put outside its window");
	check((size_t)offset + (size_t)tw * th * 4 <= SEGMENT_MAX, "a put outside its segment");
	if (send_event && byte() % 2 == 0) {
		e->shmseg = seg;
		on_completion(&g, NULL, (const xcb_generic_event_t *)event);
	}
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_send_event(
    xcb_connection_t *c, uint8_t propagate, xcb_window_t to, uint32_t mask, const char *event)
{
	(void)c, (void)propagate, (void)to, (void)mask, (void)event;
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_set_input_focus(xcb_connection_t *c, uint8_t revert, xcb_window_t w, xcb_timestamp_t time)
{
	(void)revert, (void)time;
	return xcb_map_window(c, w);
}

xcb_void_cookie_t
xcb_open_font(xcb_connection_t *c, xcb_font_t font, uint16_t n, const char *name)
{
	(void)c, (void)font, (void)n, (void)name;
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_create_glyph_cursor(xcb_connection_t *c, xcb_cursor_t id, xcb_font_t font, xcb_font_t mask,
    uint16_t glyph, uint16_t mask_glyph, uint16_t r, uint16_t gr, uint16_t b, uint16_t r2,
    uint16_t g2, uint16_t b2)
{
	(void)c, (void)id, (void)font, (void)mask, (void)r, (void)gr, (void)b, (void)r2, (void)g2,
	    (void)b2;
	check(
	    mask_glyph == glyph + 1 && glyph % 2 == 0 && glyph < 154, "a glyph that there is not");
	return COOKIE(xcb_void_cookie_t);
}

xcb_void_cookie_t
xcb_free_cursor(xcb_connection_t *c, xcb_cursor_t id)
{
	(void)c, (void)id;
	return COOKIE(xcb_void_cookie_t);
}

xcb_get_property_cookie_t
xcb_get_property(xcb_connection_t *c, uint8_t del, xcb_window_t w, xcb_atom_t property,
    xcb_atom_t type, uint32_t offset, uint32_t n)
{
	(void)c, (void)del, (void)w, (void)property, (void)type, (void)offset, (void)n;
	return COOKIE(xcb_get_property_cookie_t);
}

xcb_get_selection_owner_cookie_t
xcb_get_selection_owner(xcb_connection_t *c, xcb_atom_t selection)
{
	(void)c, (void)selection;
	return COOKIE(xcb_get_selection_owner_cookie_t);
}

xcb_get_window_attributes_cookie_t
xcb_get_window_attributes(xcb_connection_t *c, xcb_window_t w)
{
	(void)c, (void)w;
	return COOKIE(xcb_get_window_attributes_cookie_t);
}

xcb_get_input_focus_cookie_t
xcb_get_input_focus(xcb_connection_t *c)
{
	(void)c;
	return COOKIE(xcb_get_input_focus_cookie_t);
}

xcb_query_tree_cookie_t
xcb_query_tree(xcb_connection_t *c, xcb_window_t w)
{
	(void)c, (void)w;
	return COOKIE(xcb_query_tree_cookie_t);
}

xcb_translate_coordinates_cookie_t
xcb_translate_coordinates(
    xcb_connection_t *c, xcb_window_t from, xcb_window_t to, int16_t x, int16_t y)
{
	(void)c, (void)from, (void)to, (void)x, (void)y;
	return COOKIE(xcb_translate_coordinates_cookie_t);
}

void *
xcb_get_property_value(const xcb_get_property_reply_t *r)
{
	return (void *)(uintptr_t)(r + 1);
}

xcb_window_t *
xcb_query_tree_children(const xcb_query_tree_reply_t *r)
{
	return (xcb_window_t *)(uintptr_t)(r + 1);
}

int
xcb_query_tree_children_length(const xcb_query_tree_reply_t *r)
{
	return r->children_len;
}

/* Whatever was asked: words of the input, of which each kind of reply has enough. */
int
xcb_poll_for_reply(xcb_connection_t *c, unsigned request, void **reply, xcb_generic_error_t **error)
{
	const unsigned words = byte() % 40;
	xcb_get_property_reply_t *r;
	uint8_t *v;

	(void)c, (void)request;
	*error = NULL;
	*reply = NULL;
	if (ending)
		return 1;
	if (left == 0)
		return 0;
	if (words == 39)
		return 1;
	r = calloc(1, sizeof *r + 16 * words + 32); /* children: a word for each byte */
	v = (uint8_t *)(r + 1);
	r->format = byte() % 2 == 0 ? 32 : 8;
	r->type = XCB_ATOM_ATOM;
	r->value_len = r->format == 32 ? words : 4 * words;
	for (size_t i = 0; i < 4 * words; i++)
		v[i] = byte() % 4 == 0 ? byte() : 0;
	*reply = r;
	return 1;
}

xcb_generic_event_t *
xcb_poll_for_event(xcb_connection_t *c)
{
	(void)c;
	return NULL;
}

xcb_generic_event_t *
xcb_poll_for_queued_event(xcb_connection_t *c)
{
	(void)c;
	return NULL;
}

int
xcb_flush(xcb_connection_t *c)
{
	(void)c;
	return 1;
}

int
xcb_connection_has_error(xcb_connection_t *c)
{
	(void)c;
	return 0;
}

uint64_t
xcb_total_written(xcb_connection_t *c)
{
	(void)c;
	return 0;
}

int
xcb_get_file_descriptor(xcb_connection_t *c)
{
	(void)c;
	return -1;
}

/* ---- the rest of the daemon ---- */

void
turn(struct gui *d)
{
	pixels_paint(d);
}

static void
start(void)
{
	static char dir[] = "/tmp/f-guid-XXXXXX";
	char path[64];
	FILE *f;

	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(path, sizeof path, "%s/7", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/7/1", dir);
	f = fopen(path, "w");
	if (f == NULL || ftruncate(fileno(f), PAGES * GRANT_PAGE) < 0)
		abort();
	fclose(f);
	g.px.qgnt = dir;
	g.loop = loop_new();
	pixels_start(&g);
	for (unsigned i = 0; i < A_N; i++)
		g.x.atom[i] = i + 100;
	g.x.root = 1;
	g.x.depth = 24;
	g.px.completion = 65;
}

static void
begin(uint8_t how)
{
	g.root = g.work = (struct rect){0, 0, 1280, 800};
	g.o = (struct options){.domid = 7,
	    .protect = how & 1,
	    .override_allowed = true,
	    .frame = 4,
	    .title_name = how & 2,
	    .utf8 = how & 4,
	    .fullscreen = how & 8,
	    .tint = how & 16,
	    .tray_border = how & 32 ? 1 : 0,
	    .rgb = 0xcc0000,
	    .lockers = {"xscreensaver"},
	    .nlockers = 1};
	snprintf(g.o.name, sizeof g.o.name, "work");
	g.link = (struct gui_link){.fd = -1};
	g.agent = (struct agent){.motion_window = UINT32_MAX};
	g.link.in.max = 500000;
	g.link.out.max = SEND_MAX;
	g.x.g = &g;
	g.x.last = &g.x.first;
	g.x.first = NULL;
	g.pace.asked = g.x.behind = false;
	g.pace.exposed = 0;
	g.tray = 0;
	g.focus = 0;
	memset(g.above, 0, sizeof g.above);
	g.orders = 0;
	g.makes_full = true;
	g.cursor = 0;
	memset(win, 0, sizeof win);
	g.px.seg[0].busy = g.px.seg[1].busy = false;
	g.px.seg[0].used = g.px.seg[1].used = 0;
	ids = sequence = 0;
	tray_start(&g);
}

static void
end(void)
{
	while (!LIST_EMPTY(&g.win.all))
		on_destroy(&g, LIST_FIRST(&g.win.all), NULL);
	check(g.px.pages == 0, "pages that nobody gave back");
	for (ending = true; g.x.first != NULL;)
		x_turn(&g.x, false);
	ending = false;
	buf_free(&g.link.in);
	buf_free(&g.link.out);
}

/* It is so; one that a window manager made says what is. */
static void
resized(uint8_t *event)
{
	xcb_configure_notify_event_t e;

	memcpy(&e, event, sizeof e);
	if (e.window != e.event || e.window < FIRST_ID || e.window - FIRST_ID >= ids ||
	    win[e.window - FIRST_ID].parent != g.x.root)
		return;
	if (event[0] & 0x80) {
		const uint16_t size[] = {
		    (uint16_t)win[e.window - FIRST_ID].w, (uint16_t)win[e.window - FIRST_ID].h};

		memcpy(event + 20, size, 4);
		return;
	}
	win[e.window - FIRST_ID].w = e.width;
	win[e.window - FIRST_ID].h = e.height;
}

static void
event(void)
{
	static const uint8_t types[] = {
	    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 18, 19, 21, 22, 28, 33, 33, 0};
	struct {
		uint8_t b[32];
		uint32_t full, pad[2];
	} e;
	uint32_t w;

	for (size_t i = 0; i < sizeof e.b; i++)
		e.b[i] = byte();
	e.b[0] = (uint8_t)(types[e.b[0] % sizeof types] | (e.b[0] & 0x80));
	e.full = sequence + (uint32_t)(byte() % 3) - 1;
	/* Windows stand at 4, 8 or 12. */
	for (size_t at = 4; at <= 12; at += 4) {
		if (e.b[at] % 4 == 3)
			continue;
		w = e.b[at] % 8 == 0 ? g.x.root : FIRST_ID + e.b[at] % (ids > 0 ? ids : 1);
		memcpy(e.b + at, &w, 4);
	}
	if ((e.b[0] & 0x7f) == XCB_CONFIGURE_NOTIFY) {
		e.full = sequence;
		e.b[20] |= 1, e.b[22] |= 1;
		resized(e.b);
	}
	x_event(&g, (const xcb_generic_event_t *)&e);
}

/* No content reaches over the border of its frame, as X has both. */
static void
borders(void)
{
	for (const struct window *w = LIST_FIRST(&g.win.all); w != NULL; w = LIST_NEXT(w, all)) {
		const unsigned f = w->f - FIRST_ID, c = w->c - FIRST_ID;

		if (w->lost || w->cw == 0 || (w->mapped && !w->override))
			continue; /* a window manager's word comes later */
		check(win[c].x == w->inset && win[c].y == w->inset, "content beside its place");
		check(win[c].x + win[c].w <= win[f].w - w->inset &&
			  win[c].y + win[c].h <= win[f].h - w->inset,
		    "content over its border");
		check(w->inset >= (w->docked			  ? g.o.tray_border
				      : w->override		  ? OVERRIDE_BORDER
				      : w->full && g.o.fullscreen ? 0
								  : g.o.frame),
		    "a border that is too small");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	quiet(true);
	if (g.loop == NULL)
		start();
	data = p;
	left = n;
	begin(byte());
	while (left > 0 && !g.link.over) {
		const uint8_t what = byte();
		const size_t len = byte() + (what & 2 ? 256u * byte() : 0);
		const size_t take = len < left ? len : left;

		if (what % 2 == 1) {
			event();
		} else {
			data += take;
			left -= take;
			agent_take(&g, data - take, take);
		}
		if (what & 4)
			turn(&g);
		x_turn(&g.x, false);
		if (g.agent.paused)
			agent_parse(&g);
		if (ids > IDS - 2)
			break;
		borders();
	}
	end();
	quiet(false);
	return 0;
}
