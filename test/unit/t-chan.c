/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "chan.h"

/* By name, as by hand: no chand is asked when VCHAN_SOCKET_DIR is set. */
static int
by_hand(void **state)
{
	return setenv("VCHAN_SOCKET_DIR", test_dir(), 1) || setenv("VCHAN_DOMAIN", "5", 1);
}

static void
both_ends_by_name(void **state)
{
	const char *why = NULL;
	struct vchan *s, *c;
	char b[8];
	int control;

	s = chan_open(VCHAN_SERVER, 5, 600, -1, &control, &why);
	assert_non_null(s);
	assert_int_equal(control, -1);
	assert_int_equal(vchan_state(s), VCHAN_WAITING);
	c = chan_open(VCHAN_CLIENT, 5, 600, 5000, &control, &why);
	assert_non_null(c);
	assert_true(vchan_wait(s, 5000, -1));
	assert_int_equal(vchan_write(c, "hello", 5), 5);
	vchan_turn(s);
	assert_int_equal(vchan_read(s, b, sizeof(b)), 5);
	vchan_close(c);
	vchan_close(s);
}

static void
nobody_there(void **state)
{
	const char *why = NULL;
	int control = 3;

	assert_null(chan_open(VCHAN_CLIENT, 5, 601, 20, &control, &why));
	assert_int_equal(control, -1);
	assert_string_equal(why, "no server came");
	assert_int_equal(setenv("VCHAN_SOCKET_DIR", in_dir("none"), 1), 0);
	assert_null(chan_open(VCHAN_SERVER, 5, 601, 20, &control, &why));
	assert_string_equal(why, "cannot open the channel");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_ends_by_name),
	    cmocka_unit_test(nobody_there),
	};

	return cmocka_run_group_tests_name("chan", tests, by_hand, rm_test_dir);
}
