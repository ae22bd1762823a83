/* SPDX-License-Identifier: ISC */
/* guid's parser: which message reaches which handler with which bytes, and what ends the session.
 */
#include "tap.h"

#include <limits.h>
#include <stdarg.h>

#include "guid/guid.h"

static struct gui g;
static struct window known = {.id = 5}, lost = {.id = 6, .lost = true};
static struct {
	const char *fn;
	uint32_t id;
	size_t n;
	uint8_t body[64];
	unsigned count;
} last;
static bool x_full;
static unsigned x_most = UINT_MAX; /* messages until it does not keep up */

static void
note(const char *fn, uint32_t window, const void *body, size_t n)
{
	last.fn = fn;
	last.id = window;
	last.n = n;
	if (n > 0)
		memcpy(last.body, body, n < sizeof last.body ? n : sizeof last.body);
	last.count++;
}

#define HANDLER(name)                                                                              \
	void name(struct gui *d, struct window *w, const struct body *untrusted)                   \
	{                                                                                          \
		(void)d, (void)w;                                                                  \
		note(#name, untrusted->window, untrusted->p, untrusted->n);                        \
	}
HANDLER(on_create)
HANDLER(on_destroy)
HANDLER(on_map)
HANDLER(on_unmap)
HANDLER(on_configure)
HANDLER(on_shmimage)
HANDLER(on_clipboard)
HANDLER(on_wmname)
HANDLER(on_dock)
HANDLER(on_hints)
HANDLER(on_flags)
HANDLER(on_wmclass)
HANDLER(on_dump)
HANDLER(on_cursor)

struct window *
window_by_id(struct gui *d, uint32_t id)
{
	(void)d;
	return id == known.id ? &known : id == lost.id ? &lost : NULL;
}

bool
x_takes(struct gui *d)
{
	(void)d;
	return !x_full;
}

bool
x_keeps_up(struct gui *d)
{
	(void)d;
	return last.count < x_most;
}

static void
begin(unsigned minor)
{
	const uint32_t version = GUI_VERSION(minor);

	if (g.loop == NULL)
		g.loop = loop_new();
	buf_free(&g.link.in);
	buf_free(&g.link.out);
	g.link = (struct gui_link){.fd = -1};
	g.agent = (struct agent){.motion_window = UINT32_MAX};
	g.link.in.max = 1 << 20;
	g.link.out.max = SEND_MAX;
	g.root = (struct rect){0, 0, 1283, 801};
	g.x.depth = 24;
	memset(&last, 0, sizeof last);
	x_full = false;
	agent_take(&g, &version, sizeof version);
}

static void
say(uint32_t type, uint32_t window, const void *body, size_t n, uint32_t says)
{
	const struct gui_hdr h = {type, window, says};

	agent_take(&g, &h, sizeof h);
	if (!g.link.over && n > 0)
		agent_take(&g, body, n);
}

static void
handshakes(void **state)
{
	static const uint32_t conf[] = {1288, 801, 24, 1288 * 801 * 4 / 1024 + 1};

	(void)state;
	for (uint32_t minor = 0; minor < 20; minor++) {
		const size_t head = minor >= 4 ? 4 : 0;
		const uint32_t ours = GUI_VERSION(minor < 8 ? minor : 8);

		begin(minor);
		assert_int_equal(g.link.out.len, head + sizeof conf);
		assert_memory_equal(buf_bytes(&g.link.out) + head, conf, sizeof conf);
		if (head > 0)
			assert_memory_equal(buf_bytes(&g.link.out), &ours, 4);
		assert_int_equal(g.link.minor, minor < 8 ? minor : 8);
	}
	begin(0x20000); /* 3.0 */
	assert_true(g.link.over);
}

static void
each_type(void **state)
{
	static const struct {
		uint32_t type, window;
		const char *fn;
		size_t n;
	} good[] = {{GUI_CREATE, 9, "on_create", 24}, {GUI_DESTROY, 5, "on_destroy", 0},
	    {GUI_MAP, 5, "on_map", 8}, {GUI_UNMAP, 5, "on_unmap", 0},
	    {GUI_CONFIGURE, 5, "on_configure", 20}, {GUI_SHMIMAGE, 5, "on_shmimage", 16},
	    {GUI_CLIPBOARD_DATA, 77, "on_clipboard", 33}, {GUI_WMNAME, 5, "on_wmname", 128},
	    {GUI_DOCK, 5, "on_dock", 0}, {GUI_WINDOW_HINTS, 5, "on_hints", 36},
	    {GUI_WINDOW_FLAGS, 5, "on_flags", 8}, {GUI_WMCLASS, 5, "on_wmclass", 128},
	    {GUI_WINDOW_DUMP, 5, "on_dump", 20}, {GUI_CURSOR, 5, "on_cursor", 4},
	    {GUI_DESTROY, 6, "on_destroy", 0}, {GUI_WINDOW_DUMP, 6, "on_dump", 16}};
	uint8_t body[128];

	(void)state;
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)(i + 1);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		begin(8);
		say(good[i].type, good[i].window, body, good[i].n, (uint32_t)good[i].n);
		assert_false(g.link.over);
		assert_string_equal(last.fn, good[i].fn);
		assert_int_equal(last.id, good[i].window);
		assert_int_equal(last.n, good[i].n);
		assert_memory_equal(last.body, body, good[i].n < 64 ? good[i].n : 64);
		assert_int_equal(g.link.in.len, 0);
	}
	for (uint32_t type = 0; type < 300; type++) {
		bool may = false;

		for (size_t i = 0; i < sizeof good / sizeof *good; i++)
			may = may || good[i].type == type;
		begin(8);
		say(type, 5, NULL, 0, 0);
		if (!may)
			assert_true(g.link.over && last.count == 0);
	}
}

static void
lengths(void **state)
{
	static const uint8_t body[256];

	(void)state;
	for (uint32_t minor = 0; minor <= 8; minor++) {
		begin(minor);
		say(GUI_MAP, 5, body, 8, 9);
		assert_int_equal(g.link.over, minor >= GUI_STRICT);
		assert_int_equal(last.count, minor < GUI_STRICT);
		begin(minor);
		say(GUI_CLIPBOARD_DATA, 100, body, 100, minor < 2 ? 7 : 100);
		assert_false(g.link.over);
		assert_int_equal(last.n, 100);
		begin(minor);
		say(GUI_CLIPBOARD_DATA, 65001, NULL, 0, 65001);
		assert_int_equal(g.link.over, minor < 8);
	}
	begin(8);
	say(GUI_WINDOW_DUMP, 5, NULL, 0, 16 + 4 * GUI_REFS_MAX);
	assert_false(g.link.over);
	begin(8);
	say(GUI_WINDOW_DUMP, 5, NULL, 0, 16 + 4 * GUI_REFS_MAX + 1);
	assert_true(g.link.over);
	begin(8);
	say(GUI_CLIPBOARD_DATA, 5, NULL, 0, 256002);
	assert_true(g.link.over);
}

static void
whose(void **state)
{
	static const uint8_t body[24];

	(void)state;
	begin(8);
	say(GUI_CREATE, 5, body, 24, 24);
	assert_true(g.link.over && last.count == 0);
	begin(8);
	say(GUI_MAP, 9, body, 8, 8);
	assert_true(g.link.over && last.count == 0);
	begin(8); /* X has lost it */
	say(GUI_MAP, 6, body, 8, 8);
	assert_false(g.link.over);
	assert_int_equal(last.count, 0);
}

static void
pieces(void **state)
{
	struct {
		struct gui_hdr h;
		struct {
			uint32_t v;
		} body;
		struct gui_hdr next;
	} m = {{GUI_CURSOR, 5, 4}, {0x102}, {GUI_UNMAP, 5, 0}};

	(void)state;
	for (size_t cut = 0; cut <= sizeof m; cut++) {
		begin(8);
		agent_take(&g, &m, cut);
		agent_take(&g, (uint8_t *)&m + cut, sizeof m - cut);
		assert_int_equal(last.count, 2);
		assert_string_equal(last.fn, "on_unmap");
	}
}

/* X takes no more: what is there stays, and is acted on later. */
static void
paused(void **state)
{
	(void)state;
	begin(8);
	x_full = true;
	for (unsigned i = 0; i < 100; i++) {
		const struct gui_hdr h = {GUI_UNMAP, 5, 0};

		assert_true(buf_put(&g.link.in, &h, sizeof h));
	}
	agent_parse(&g);
	assert_true(g.agent.paused);
	assert_in_range(last.count, 0, 64);
	x_full = false;
	agent_parse(&g);
	assert_false(g.agent.paused);
	assert_int_equal(last.count, 100);
}

/* What X tells is not read yet: not one message more. */
static void
behind(void **state)
{
	(void)state;
	begin(8);
	x_most = 3;
	g.win.n = 7;
	g.pace.exposed = 0;
	for (unsigned i = 0; i < 100; i++) {
		const struct gui_hdr h = {GUI_UNMAP, 5, 0};

		assert_true(buf_put(&g.link.in, &h, sizeof h));
	}
	agent_parse(&g);
	assert_true(g.agent.paused);
	assert_int_equal(last.count, 3);
	assert_int_equal(g.pace.exposed, 21);
	x_most = UINT_MAX;
	g.win.n = 0;
	agent_parse(&g);
	assert_false(g.agent.paused);
	assert_int_equal(last.count, 100);
}

static void
sending(void **state)
{
	const struct gui_motion m = {.x = 1, .y = 2};
	uint32_t hdr[3];
	size_t before;

	(void)state;
	begin(8);
	buf_free(&g.link.out);
	for (int i = 0; i < 10000; i++)
		agent_motion(&g, 5, &m);
	before = g.link.out.len;
	assert_in_range(before, 4096, 4096 + 28);
	agent_motion(&g, 6, &m); /* the last one of the other window comes before it */
	assert_int_equal(g.link.out.len, before + 28);
	agent_send(&g, GUI_CLOSE, 5, NULL, 0); /* order stays */
	assert_int_equal(g.link.out.len, before + 56 + 12);
	memcpy(hdr, buf_bytes(&g.link.out) + before + 28, sizeof hdr);
	assert_int_equal(hdr[0], GUI_MOTION);
	assert_int_equal(hdr[1], 6);
	memcpy(hdr, buf_bytes(&g.link.out) + before + 56, sizeof hdr);
	assert_int_equal(hdr[0], GUI_CLOSE);
	while (!g.link.over)
		agent_send(&g, GUI_CLOSE, 5, NULL, 0);
	assert_in_range(g.link.out.len, SEND_MAX - 12, SEND_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(handshakes),
	    cmocka_unit_test(each_type),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(whose),
	    cmocka_unit_test(pieces),
	    cmocka_unit_test(paused),
	    cmocka_unit_test(behind),
	    cmocka_unit_test(sending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
