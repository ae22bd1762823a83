/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "qrexecd/qrexecd.h"

static void
lowest_free_of_one_parity(void **state)
{
	struct ports p = {0};

	assert_int_equal(ports_take(&p, 42, 43), 514);
	assert_int_equal(ports_take(&p, 42, 44), 516);
	assert_int_equal(ports_take(&p, 42, 41), 513);
	assert_int_equal(ports_take(&p, 42, 1), 515);
	assert_int_equal(ports_take(&p, 42, 42), 517); /* to itself */
	assert_int_equal(ports_take(&p, 42, 0), 518);  /* dom0: every number */
	assert_int_equal(ports_take(&p, 42, 0), 519);
	assert_true(ports_free(&p, 43, 514));
	assert_int_equal(ports_take(&p, 42, 50), 514);
}

static void
the_two_of_a_pair_never_meet(void **state)
{
	struct ports a = {0}, b = {0};

	for (int i = 0; i < 128; i++)
		assert_int_not_equal(ports_take(&a, 7, 9) % 2, ports_take(&b, 9, 7) % 2);
}

static void
all_of_them_and_no_more(void **state)
{
	struct ports p = {0};

	for (uint32_t i = 0; i < QREXEC_PORTS; i++)
		assert_int_equal(ports_take(&p, 42, 0), QREXEC_PORT_BASE + i);
	assert_int_equal(ports_take(&p, 42, 0), 0);
	assert_int_equal(ports_take(&p, 42, 43), 0);
	assert_true(ports_free(&p, 0, 768));
	assert_int_equal(ports_take(&p, 42, 41), 0); /* the other parity */
	assert_int_equal(ports_take(&p, 42, 43), 768);
}

static void
one_leaves_room_for_others_and_all_for_dom0(void **state)
{
	struct ports p = {0};

	(void)state;
	for (uint32_t i = 0; i < PORTS_OF_ONE; i++) {
		assert_true(ports_fair(&p, 43));
		ports_take(&p, 42, 43);
	}
	assert_false(ports_fair(&p, 43));
	for (uint32_t i = 0; i < PORTS_OF_ONE; i++) {
		assert_true(ports_fair(&p, 41));
		ports_take(&p, 42, 41);
	}
	for (uint32_t i = 2 * PORTS_OF_ONE; i < PORTS_OF_QUBES; i++) {
		assert_true(ports_fair(&p, 44 - i % 2 * 4));
		assert_int_not_equal(ports_take(&p, 42, 44 - i % 2 * 4), 0);
	}
	assert_false(ports_fair(&p, 50));
	for (uint32_t i = PORTS_OF_QUBES; i < QREXEC_PORTS; i++)
		assert_int_not_equal(ports_take(&p, 42, 0), 0);
	assert_true(ports_free(&p, 43, 514));
	assert_true(ports_fair(&p, 43));
}

static void
only_its_own_domain_frees_a_port(void **state)
{
	struct ports p = {0};

	assert_int_equal(ports_take(&p, 42, 43), 514);
	assert_false(ports_free(&p, 44, 514));
	assert_false(ports_free(&p, 43, 516));
	assert_false(ports_free(&p, 43, 512));
	assert_false(ports_free(&p, 43, 769));
	assert_false(ports_free(&p, 43, 0));
	assert_false(ports_free(&p, 43, UINT32_MAX));
	assert_true(ports_free(&p, 43, 514));
	assert_false(ports_free(&p, 43, 514));
}

static void
the_range(void **state)
{
	assert_false(ports_valid(0));
	assert_false(ports_valid(512));
	assert_true(ports_valid(513));
	assert_true(ports_valid(768));
	assert_false(ports_valid(769));
	assert_false(ports_valid(UINT32_MAX));
}

static void
what_a_gone_agent_held_is_used_last(void **state)
{
	struct ports p = {0};

	for (int i = 0; i < 3; i++)
		ports_take(&p, 42, 0);
	ports_orphan(&p);
	for (uint32_t i = 3; i < QREXEC_PORTS; i++)
		assert_int_equal(ports_take(&p, 42, 0), QREXEC_PORT_BASE + i);
	assert_int_equal(ports_take(&p, 42, 0), 513);
	assert_int_equal(ports_take(&p, 42, 43), 514);
	assert_true(ports_free(&p, 43, 514));
}

static void
counting_begins_anywhere(void **state)
{
	struct ports p = {.first = 200}, q = {.first = 200};

	for (uint32_t i = 0; i < QREXEC_PORTS; i++)
		assert_int_equal(
		    ports_take(&p, 42, 0), QREXEC_PORT_BASE + (200 + i) % QREXEC_PORTS);
	assert_int_equal(ports_take(&p, 42, 0), 0);
	for (uint32_t i = 0; i < QREXEC_PORTS / 2; i++)
		assert_int_equal(ports_take(&q, 42, 43) % 2, 0);
	assert_int_equal(ports_take(&q, 42, 43), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lowest_free_of_one_parity),
	    cmocka_unit_test(the_two_of_a_pair_never_meet),
	    cmocka_unit_test(all_of_them_and_no_more),
	    cmocka_unit_test(one_leaves_room_for_others_and_all_for_dom0),
	    cmocka_unit_test(only_its_own_domain_frees_a_port),
	    cmocka_unit_test(the_range),
	    cmocka_unit_test(what_a_gone_agent_held_is_used_last),
	    cmocka_unit_test(counting_begins_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
