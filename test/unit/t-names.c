/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "names.h"

static void
names(void **state)
{
	static const char *const good[] = {"a", "dom0", "work", "A_b.c-9", "none2", "Default",
	    "a234567890123456789012345678901", "dm", "a-dmx"};
	static const char *const bad[] = {"", "9a", "-a", ".a", "_a", "a b", "a/b", "..", "a\n",
	    "Domain-0", "none", "default", "sys-net-dm", "a-dm", "\xc3\xa4", "a%", "a@", "@adminvm",
	    "a2345678901234567890123456789012"};

	for (size_t i = 0; i < NELEM(good); i++)
		assert_true(name_ok(good[i]));
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_false(name_ok(bad[i]));
	assert_true(name_ok_n("work!", 4));
	assert_false(name_ok_n("wo\0rk", 5));
	assert_false(name_ok_n("", 0));
}

static void
uuids(void **state)
{
	assert_true(uuid_ok("00000000-0000-0000-0000-00000000000f"));
	assert_true(uuid_ok("ABCDEF01-2345-6789-abcd-ef0123456789"));
	assert_false(uuid_ok("00000000-0000-0000-0000-00000000000"));
	assert_false(uuid_ok("00000000-0000-0000-0000-0000000000000"));
	assert_false(uuid_ok("00000000-0000-0000-000000000-00000000"));
	assert_false(uuid_ok("0000000g-0000-0000-0000-000000000000"));
	assert_false(uuid_ok(""));
}

static void
dom0_has_three_spellings(void **state)
{
	assert_true(is_dom0("dom0"));
	assert_true(is_dom0("@adminvm"));
	assert_true(is_dom0("uuid:00000000-0000-0000-0000-000000000000"));
	assert_false(is_dom0("uuid:00000000-0000-0000-0000-000000000001"));
	assert_false(is_dom0("Dom0"));
	assert_false(is_dom0(""));
}

static void
numbers(void **state)
{
	static const char *const bad[] = {
	    "", "-1", "+1", " 1", "1 ", "0x1", "4294967296", "99999999999999999999"};
	uint32_t v = 1;
	uint64_t w;

	assert_true(parse_u32("4294967295", UINT32_MAX, &v));
	assert_int_equal(v, UINT32_MAX);
	assert_true(parse_u32("0", 0, &v));
	assert_int_equal(v, 0);
	assert_true(parse_u32("007", 7, &v));
	assert_false(parse_u32("8", 7, &v));
	assert_false(parse_u32("70", 7, &v));
	for (size_t i = 0; i < NELEM(bad); i++)
		assert_false(parse_u32(bad[i], UINT32_MAX, &v));
	assert_int_equal(v, 7); /* untouched by failure */
	assert_true(parse_u64("18446744073709551615", UINT64_MAX, &w));
	assert_true(w == UINT64_MAX);
	assert_false(parse_u64("18446744073709551616", UINT64_MAX, &w));
}

static void
bytes(void **state)
{
	int service = 0, target = 0;

	for (int c = 0; c < 256; c++) {
		service += service_byte((unsigned char)c);
		target += target_byte((unsigned char)c);
	}
	assert_int_equal(service, 26 + 26 + 10 + 3);
	assert_int_equal(target, service + 2);
	assert_true(
	    target_byte('@') && target_byte(':') && !service_byte('+') && !service_byte('/'));
}

static void
hexids(void **state)
{
	char a[HEXID_LEN + 1], b[HEXID_LEN + 1];

	hexid_new(a);
	hexid_new(b);
	assert_true(hexid_ok(a) && hexid_ok(b));
	assert_string_not_equal(a, b);
	assert_true(hexid_equal(a, a));
	assert_false(hexid_equal(a, b));
	strcpy(b, a);
	b[31] = (char)(b[31] == '0' ? '1' : '0');
	assert_false(hexid_equal(a, b));
	assert_false(hexid_equal("", ""));
	assert_false(hexid_ok("0123456789abcdef0123456789abcdeF"));
	assert_false(hexid_ok("0123456789abcdef0123456789abcde"));
	assert_false(hexid_ok("0123456789abcdef0123456789abcdef0"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(uuids),
	    cmocka_unit_test(dom0_has_three_spellings),
	    cmocka_unit_test(numbers),
	    cmocka_unit_test(bytes),
	    cmocka_unit_test(hexids),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
