/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "display/xauth.h"

/* Family; lengths with one byte before each text. */
#define LOCAL "\1\0"
#define WILD "\377\377"
#define COOKIE "\0\22MIT-MAGIC-COOKIE-1\0\4"
#define FIND(text) xauth_find(&a, text, sizeof(text) - 1, "host", 7)

static struct xauth a;

static void
an_entry_of_this_display(void **state)
{
	assert_true(FIND(LOCAL "\0\4host\0\1"
			       "7" COOKIE "abcd"));
	assert_int_equal(a.n, 4);
	assert_memory_equal(a.data, "abcd", 4);
	assert_true(FIND(LOCAL "\0\4host\0\0" COOKIE "abcd"));
	assert_true(FIND(WILD "\0\5other\0\1"
			      "7" COOKIE "abcd"));
	/* the first that fits */
	assert_true(FIND(
	    LOCAL "\0\4host\0\1"
		  "8" COOKIE "no_8" WILD "\0\0\0\0" COOKIE "abcd" WILD "\0\0\0\0" COOKIE "late"));
	assert_memory_equal(a.data, "abcd", 4);
}

static void
others(void **state)
{
	assert_false(FIND(LOCAL "\0\4hos_\0\1"
				"7" COOKIE "abcd"));
	assert_false(FIND(LOCAL "\0\4host\0\2"
				"77" COOKIE "abcd"));
	assert_false(FIND("\0\0"
			  "\0\4host\0\1"
			  "7" COOKIE "abcd"));
	assert_false(FIND(WILD "\0\0\0\0\0\5OTHER\0\4"
			       "abcd"));
	assert_false(FIND(WILD "\0\0\0\0\0\22MIT-MAGIC-COOKIE-1\0\0"));
	assert_int_equal(a.n, 0);
}

/* Cut anywhere, it ends there; nothing is read beyond (ASan). */
static void
cut_off(void **state)
{
	static const char whole[] = WILD "\0\0\0\0" COOKIE "abcd";

	for (size_t n = 0; n < sizeof whole - 1; n++) {
		char *copy = malloc(n > 0 ? n : 1);

		memcpy(copy, whole, n);
		assert_false(xauth_find(&a, copy, n, "host", 7));
		assert_int_equal(a.n, 0);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_entry_of_this_display),
	    cmocka_unit_test(others),
	    cmocka_unit_test(cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
