/* SPDX-License-Identifier: ISC */
/* The console ring against a guest that writes what it likes there; what reaches a terminal. */
#include "tap.h"

#include "console/console-ring.h"
#include "console/term-filter.h"

static struct xencons_interface page;
static struct console_ring r;
static char out[4096];

static void
start(uint32_t in, uint32_t outs)
{
	memset(&page, 0, sizeof page);
	page.in_cons = page.in_prod = in;
	page.out_cons = page.out_prod = outs;
	ring_start(&r, &page);
}

static void
say(const char *s)
{
	for (; *s; s++)
		page.out[page.out_prod++ & 2047] = *s;
}

static void
in_order(void **state)
{
	start(0, UINT32_MAX - 3); /* the indexes run over */
	say("hello ");
	assert_int_equal(ring_take(&r, out, 4), 4);
	say("world");
	assert_int_equal(ring_take(&r, out + 4, sizeof out), 7);
	assert_memory_equal(out, "hello world", 11);
	assert_int_equal(ring_take(&r, out, sizeof out), 0);
	assert_int_equal(page.out_cons, page.out_prod);
	assert_false(r.bad);
}

static void
full(void **state)
{
	start(0, 7);
	for (int i = 0; i < 2048; i++)
		say("x");
	assert_int_equal(ring_take(&r, out, sizeof out), 2048);
	assert_false(r.bad);
	assert_int_equal(console_ring_put(&r, out, 2000), 1024);
	assert_int_equal(console_ring_put(&r, out, 1), 0);
	page.in_cons += 10;
	assert_int_equal(console_ring_put(&r, out, 2000), 10);
	assert_false(r.bad);
}

static void
hostile_indexes(void **state)
{
	static const uint32_t jumps[] = {2049, 4096, 1u << 31, UINT32_MAX, UINT32_MAX - 2047};

	for (size_t i = 0; i < NELEM(jumps); i++) {
		start(0, 5);
		page.out_prod = 5 + jumps[i];
		assert_int_equal(ring_take(&r, out, sizeof out), 0);
		assert_true(r.bad);
		r.bad = false;
		say("on"); /* it goes on from there */
		assert_int_equal(ring_take(&r, out, sizeof out), 2);
		assert_false(r.bad);
	}
	/* our own index is not taken from the page */
	start(0, 5);
	page.out_cons = 1000;
	say("a");
	assert_int_equal(ring_take(&r, out, sizeof out), 1);
	start(0, 0);
	page.in_cons = 1;
	assert_int_equal(console_ring_put(&r, "abc", 3), 0);
	assert_true(r.bad);
	page.in_prod = 77777;
	r.bad = false;
	assert_int_equal(console_ring_put(&r, "abc", 3), 3);
	assert_int_equal(page.in_prod, 4);
}

static const char *
shown(const char *in, size_t n)
{
	static char text[256];
	struct term_filter t = {0};
	size_t len = 0;

	for (size_t i = 0; i < n; i++) /* one at a time: nothing may depend on how it comes */
		len += term_filter(&t, in + i, 1, text + len);
	text[len] = '\0';
	return text;
}
#define SHOWN(s) shown(s, sizeof(s) - 1)

static void
terminal(void **state)
{
	assert_string_equal(SHOWN("a\r\n\tb\b"), "a\r\n\tb\b");
	assert_string_equal(SHOWN("\033[1;31mred\033[0m\033[2K\033[10;2H"),
	    "\033[1;31mred\033[0m\033[2K\033[10;2H");
	assert_string_equal(SHOWN("a\033]0;title\007b"), "ab");
	assert_string_equal(SHOWN("a\033]52;c;aGk=\033\\b"), "ab");
	assert_string_equal(SHOWN("a\033Pq\033\\b\033_x\033\\c\033^x\033\\d"), "abcd");
	assert_string_equal(SHOWN("a\033[6nb\033[?1049hc\033[21td\033[>ce"), "abcde");
	assert_string_equal(SHOWN("a\033(0b\033cc\0339d"), "abcd");
	assert_string_equal(SHOWN("\x9b"
				  "6n\xc3\xa4\x7f\x05\x0e"),
	    "?6n??");
	assert_string_equal(SHOWN("a\033[3\0331mb"), "amb"); /* begun anew: ESC 1 */
	assert_string_equal(SHOWN("\033[1111111111111111111111111111mx"), "x");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(in_order),
	    cmocka_unit_test(full),
	    cmocka_unit_test(hostile_indexes),
	    cmocka_unit_test(terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
