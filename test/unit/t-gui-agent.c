/* SPDX-License-Identifier: ISC */
/* What gui-agent does without an X server. */
#include "tap.h"

#include <stdarg.h>

#include "gui-agent/ga.h"

static void
rects(void **state)
{
	const struct rect a = {10, 20, 30, 40}, none = {0, 0, 0, 0};
	struct rect r = rect_both(a, (struct rect){0, 50, 5, 60});

	assert_true(r.x == 0 && r.y == 20 && r.w == 40 && r.h == 90);
	r = rect_both(a, none);
	assert_memory_equal(&r, &a, sizeof r);
	r = rect_both(none, a);
	assert_memory_equal(&r, &a, sizeof r);
	r = rect_clip((struct rect){-5, -6, 20, 200}, 100, 50);
	assert_true(r.x == 0 && r.y == 0 && r.w == 15 && r.h == 50);
	r = rect_clip((struct rect){100, 0, 5, 5}, 100, 50);
	assert_int_equal(r.w, 0);
	r = rect_clip((struct rect){0, -5, 5, 5}, 100, 50);
	assert_int_equal(r.w, 0);
}

static void
title(const char *in, enum text kind, const char *out)
{
	char got[128];

	memset(got, 'x', sizeof got);
	text_title(got, in, strlen(in), kind);
	assert_string_equal(got, out);
}

static void
titles(void **state)
{
	char in[300], out[128];

	title("", TEXT_UTF8, "");
	title("plain", TEXT_UTF8, "plain");
	title("caf\xe9", TEXT_LATIN1, "caf\xc3\xa9");
	title("\xe2\x98\x83", TEXT_UTF8, "\xe2\x98\x83");
	/* 127 bytes are the most, the end is a character's. */
	for (size_t lead = 0; lead < 4; lead++) {
		memset(in, 'a', sizeof in);
		memset(out, 0, sizeof out);
		for (size_t i = lead; i + 3 < sizeof in; i += 3)
			memcpy(in + i, "\xe2\x98\x83", 3);
		in[lead + 240] = '\0';
		memcpy(out, in, lead + (127 - lead) / 3 * 3);
		title(in, TEXT_UTF8, out);
	}
	memset(in, '\xe9', sizeof in);
	in[sizeof in - 1] = '\0';
	memset(out, 0, sizeof out);
	for (size_t i = 0; i < 126; i += 2)
		memcpy(out + i, "\xc3\xa9", 2);
	title(in, TEXT_LATIN1, out);
	memset(in, 'b', sizeof in);
	in[127] = '\0';
	title(in, TEXT_UTF8, in);
	in[127] = 'b';
	in[128] = '\0';
	memset(out, 0, sizeof out);
	memset(out, 'b', 127);
	title(in, TEXT_UTF8, out);
	/* Not UTF-8: continuation bytes alone, a cut character, a surrogate. */
	title("\x80\x80", TEXT_UTF8, "__");
	title("a\xe2\x98", TEXT_UTF8, "a__");
	title("\xed\xa0\x80", TEXT_UTF8, "___");
}

static void
compound(void **state)
{
	title("caf\xe9", TEXT_COMPOUND, "caf\xc3\xa9");
	title("\x1b(Ba\x1b-A\xe9", TEXT_COMPOUND, "a\xc3\xa9");
	title("a\x1b%G\xe2\x98\x83\x1b%@\xe9", TEXT_COMPOUND, "a\xe2\x98\x83\xc3\xa9");
	/* Greek, in the upper half; two bytes of a Japanese set, in the lower; and Latin again. */
	title("\x1b-F\xe1\x1b-A\xe9", TEXT_COMPOUND, "_\xc3\xa9");
	title("\x1b$(B0!\x1b(Bb", TEXT_COMPOUND, "__b");
	/* Cut. */
	title("a\x1b", TEXT_COMPOUND, "a");
	title("a\x1b$(", TEXT_COMPOUND, "a");
	title("a\x1b%", TEXT_COMPOUND, "a");
	title("a\x1b%G\xe2\x98", TEXT_COMPOUND, "a__");
	/* Elsewhere it is a byte as others are. */
	title("\x1b(B", TEXT_LATIN1, "\x1b(B");
}

static void
glyphs(void **state)
{
	assert_int_equal(input_glyph("X_cursor"), 0x100);
	assert_int_equal(input_glyph("left_ptr"), 0x100 + 68);
	assert_int_equal(input_glyph("xterm"), 0x100 + 152);
	assert_int_equal(input_glyph("text"), 0x100 + 152);
	assert_int_equal(input_glyph("pointer"), 0x100 + 60);
	assert_int_equal(input_glyph("watch"), 0x100 + 150);
	assert_int_equal(input_glyph(""), 0);
	assert_int_equal(input_glyph("nonsense"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rects),
	    cmocka_unit_test(titles),
	    cmocka_unit_test(compound),
	    cmocka_unit_test(glyphs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
