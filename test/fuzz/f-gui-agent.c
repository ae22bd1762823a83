/* SPDX-License-Identifier: ISC */
/*
 * gui-agent without its X server: all that a guid may say, between what clients of the qube's X
 * server may do. What X is asked is answered as X would, with what clients may have set; a pixel
 * that is asked for is inside its window and what is read fits. What guid is told is whole, of
 * windows that it knows, and titles are UTF-8.
 *
 * The input: (what, n, n bytes)...; what: guid's bytes, an event, or a turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/shm.h>
#include <xcb/xcbext.h>

#include "display/screen.h"
#include "gui-agent/ga.h"
#include "names.h"
#include "quiet.h"

#define STAGE (32u << 20)
#define IDS 6u /* windows that there may be, and the root is 1 */
#define FIRST_ATOM 100u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct gui g;
static const uint8_t *data;
static size_t left;
static uint32_t ids;
static bool known[1u << 16]; /* to guid */
static uint8_t asked[64], opcode;
static bool extension;

static uint8_t
byte(void)
{
	return left > 0 ? (left--, *data++) : 0;
}

/* A window, an atom, a small number, or any. */
static uint32_t
word(void)
{
	const uint8_t b = byte();

	if (b < 64)
		return b;
	if (b < 192)
		return FIRST_ATOM + b % ATOMS_N;
	return (uint32_t)byte() << 24 | (uint32_t)byte() << 8 | b;
}

static void
check(bool good, const char *what)
{
	if (good)
		return;
	quiet(false);
	fprintf(stderr, "f-gui-agent: %s\n", what);
	abort();
}

/* ---- X ---- */

uint32_t
xcb_generate_id(xcb_connection_t *c)
{
	(void)c;
	return 0x1000 + ids++;
}

unsigned
xcb_send_request(xcb_connection_t *c, int flags, struct iovec *v, const xcb_protocol_request_t *r)
{
	size_t n = 0;

	(void)c, (void)flags;
	for (size_t i = 0; i < r->count; i++)
		for (size_t k = 0; k < v[i].iov_len; k++, n++) { /* all of it is there */
			const uint8_t b = v[i].iov_base != NULL ? ((uint8_t *)v[i].iov_base)[k] : 0;

			if (n < sizeof asked)
				asked[n] = b;
		}
	opcode = r->opcode;
	extension = r->ext != NULL;
	return 1;
}

static uint32_t
asked_word(size_t at)
{
	uint32_t v;

	memcpy(&v, asked + at, sizeof v);
	return v;
}

/* What a client has set, as much as was asked for. */
static void *
property(void)
{
	const uint32_t most = asked_word(20) * 4, any = byte() * (byte() % 8 == 0 ? 1000u : 2u);
	const uint32_t bytes = any < most ? any : most;
	xcb_get_property_reply_t *r = calloc(1, sizeof *r + bytes);

	r->format = byte() % 8 == 0 ? 16 : byte() % 2 ? 8 : 32;
	r->type = word();
	r->value_len = bytes * 8 / r->format;
	r->bytes_after = any - bytes;
	for (size_t i = 0; i + 4 <= bytes && left > 0; i += r->format == 32 ? 4 : 1) {
		const uint32_t v = r->format == 32 ? word() : byte();

		memcpy((uint8_t *)(r + 1) + i, &v, r->format == 32 ? 4 : 1);
	}
	return r;
}

static void
image(void)
{
	const xcb_shm_get_image_request_t *r = (const xcb_shm_get_image_request_t *)asked;
	const struct window *w = NULL;

	for (size_t i = 0; i < WINDOW_HASH && w == NULL; i++)
		for (w = LIST_FIRST(&g.win.hash[i]); w != NULL && w->pixmap != r->drawable;)
			w = LIST_NEXT(w, same);
	check(w != NULL, "a pixmap of no window");
	check(r->x >= 0 && r->y >= 0 && r->width > 0 && r->height > 0 &&
		  r->x + r->width <= w->at.w && r->y + r->height <= w->at.h,
	    "pixels outside their window");
	check(r->offset + 4ul * r->width * r->height <= STAGE, "pixels outside their memory");
}

static void *
reply(void)
{
	uint8_t *r = calloc(1, 4096);

	for (size_t i = 1; i < 48; i++)
		r[i] = byte() % 3 == 0 ? byte() : 0;
	if (opcode == XCB_GET_GEOMETRY) {
		xcb_get_geometry_reply_t *q = (xcb_get_geometry_reply_t *)r;

		q->depth = byte() % 8 == 0 ? 1 : 24;
		q->width = (uint16_t)(1 + q->width % 600);
		q->height = (uint16_t)(1 + q->height % 600);
		q->border_width %= 300;
	} else if (opcode == XCB_GET_ATOM_NAME) {
		((xcb_get_atom_name_reply_t *)r)->name_len %= 4000;
	} else if (opcode == XCB_GET_MODIFIER_MAPPING) {
		((xcb_get_modifier_mapping_reply_t *)r)->keycodes_per_modifier %= 20;
	}
	return r;
}

void *
xcb_wait_for_reply(xcb_connection_t *c, unsigned request, xcb_generic_error_t **e)
{
	(void)c, (void)request, (void)e;
	if (extension)
		image();
	if (byte() % 16 == 1)
		return NULL;
	return opcode == XCB_GET_PROPERTY && !extension ? property() : reply();
}

xcb_generic_event_t *
xcb_poll_for_event(xcb_connection_t *c)
{
	(void)c;
	return NULL;
}

/* ---- the rest of the agent ---- */

struct pages *
share_new(struct gui *d, size_t n)
{
	struct pages *p = byte() % 16 == 1 ? NULL : calloc(1, sizeof *p + n * sizeof p->refs[0]);

	(void)d;
	if (p == NULL)
		return NULL;
	p->n = n;
	p->p = malloc(n * 4096);
	return p;
}

void
share_free(struct gui *d, struct pages *p)
{
	(void)d;
	free(p->p);
	free(p);
}

void
screen_size(xcb_connection_t *c, xcb_window_t root, uint32_t w, uint32_t h)
{
	(void)c, (void)root, (void)w, (void)h;
}

void
link_turn(struct gui *d)
{
	(void)d;
}

static void
title(const uint8_t *p)
{
	const size_t n = strnlen((const char *)p, 128);
	uint32_t c;

	check(n < 128, "a title without an end");
	for (size_t i = 0, len; i < n; i += len)
		check((len = utf8_char(p + i, n - i, &c)) > 0, "a title that is not UTF-8");
}

/* What guid was told since. */
static void
told(void)
{
	struct buf *out = &g.link.out;
	struct gui_hdr h;
	bool *k;

	while (out->len > 0) {
		check(out->len >= sizeof h, "a cut header");
		memcpy(&h, buf_bytes(out), sizeof h);
		check(h.type >= GUI_FIRST && h.type <= GUI_LAST, "a type that there is not");
		check(out->len >= sizeof h + h.untrusted_len, "a cut message");
		check(GUI_TYPE(h.type).len == GUI_VARIES || GUI_TYPE(h.type).len == h.untrusted_len,
		    "a wrong length");
		k = &known[h.window % (sizeof known / sizeof *known)];
		if (h.type == GUI_CREATE)
			check(!*k, "CREATE of a window that guid has");
		else if (h.type != GUI_CLIPBOARD_DATA)
			check(*k, "a window that guid does not have");
		if (h.type == GUI_CREATE || h.type == GUI_DESTROY)
			*k = h.type == GUI_CREATE;
		if (h.type == GUI_WMNAME)
			title(buf_bytes(out) + sizeof h);
		buf_eat(out, sizeof h + h.untrusted_len);
	}
}

static void
turn(void)
{
	while (windows_wait(&g)) {
		windows_tell(&g);
		told();
	}
	windows_tell(&g);
	told();
}

static void
event(void)
{
	static const uint8_t types[] = {XCB_DESTROY_NOTIFY, XCB_UNMAP_NOTIFY, XCB_MAP_NOTIFY,
	    XCB_MAP_REQUEST, XCB_REPARENT_NOTIFY, XCB_CONFIGURE_NOTIFY, XCB_CONFIGURE_REQUEST,
	    XCB_PROPERTY_NOTIFY, XCB_SELECTION_CLEAR, XCB_SELECTION_REQUEST, XCB_SELECTION_NOTIFY,
	    XCB_CLIENT_MESSAGE | 0x80, 90, 100, 0};
	uint32_t e[9];

	for (size_t i = 0; i < 9; i++)
		e[i] = i == 1 || i == 2 ? 1 + byte() % IDS : word();
	if (byte() % 2 == 0)
		e[1] = 1; /* the root's event */
	((uint8_t *)e)[0] = types[byte() % sizeof types];
	if (byte() % 4 != 0)
		((uint8_t *)e)[1] = 32;
	if ((e[0] & 0xff) == XCB_CREATE_NOTIFY || (e[0] & 0xff) == XCB_MAP_NOTIFY ||
	    (e[0] & 0xff) == 90)
		e[2] = e[2] == 1 ? 2 : e[2]; /* the root is no window of its own */
	x_event(&g, (const xcb_generic_event_t *)e);
}

static void
begin(uint8_t how)
{
	static uint8_t *stage;
	static struct log_limit none;
	const uint32_t hello[] = {0x10000u | (how % 8 < 4 ? how % 8 + 4 : 8), 1280, 800, 24, 4001};

	if (stage == NULL)
		stage = calloc(1, STAGE);
	memset(&g, 0, sizeof g);
	memset(known, 0, sizeof known);
	g.x.c = (xcb_connection_t *)(uintptr_t)&none; /* nobody looks */
	g.x.root = 1;
	g.screen.own = 0x999;
	g.screen.damage = 90;
	g.screen.fixes = 99;
	g.screen.w = 1280;
	g.screen.h = 800;
	g.px.p = stage;
	g.link.in.max = 65536 + GUI_CLIPBOARD_MAX + sizeof(struct gui_hdr);
	g.link.out.max = SEND_MAX;
	for (unsigned i = 0; i < ATOMS_N; i++)
		g.x.atom[i] = FIRST_ATOM + i;
	ids = 0;
	TAILQ_INIT(&g.win.due);
	if (how & 8)
		link_take(&g, hello, sizeof hello);
}

/* All windows go, and nothing of them is left. */
static void
end(void)
{
	uint32_t e[9] = {XCB_DESTROY_NOTIFY, 1};

	left = 0;
	g.link.hello = true;
	g.link.over = false;
	g.link.minor = GUI_TWO_WAY;
	for (int again = 0; again < 3; again++) {
		for (uint32_t i = 0; i < 0x1000 + ids; i = i == IDS ? 0x1000 : i + 1) {
			e[2] = i;
			x_event(&g, (const xcb_generic_event_t *)e);
		}
		turn();
		windows_again(&g);
		memset(known, 0, sizeof known);
		turn();
	}
	check(g.win.n == 0, "a window is left");
	buf_free(&g.link.in);
	buf_free(&g.link.out);
	buf_free(&g.clip.in);
	buf_free(&g.clip.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	quiet(true);
	data = p;
	left = n;
	begin(byte());
	while (left > 0 && !g.link.over && ids < 0x1000) {
		const uint8_t what = byte();

		if (what % 4 == 0) {
			const size_t len = byte() + (what & 4 ? 256u * byte() : 0);
			const size_t take = len < left ? len : left;

			data += take;
			left -= take;
			link_take(&g, data - take, take);
		} else if (what % 4 == 1) {
			turn();
		} else {
			event();
		}
	}
	end();
	quiet(false);
	return 0;
}
