/* SPDX-License-Identifier: ISC */
/* Icons of a qube's windows: the stream that it sends, the hue of its label. */
#include "tap.h"

#include "icons/icon.h"

static struct icon_reader r;

static void
again(void)
{
	r = (struct icon_reader){.tint = tint_of(0x3465a4, false)};
}

/* In pieces of n bytes: how many icons, or -1: it was refused. */
static int
feed(const void *bytes, size_t len, size_t n)
{
	const uint8_t *p = bytes;
	int icons = 0;

	again();
	for (size_t at = 0; at < len;) {
		const size_t most = len - at < n ? len - at : n;
		bool whole;
		const char *bad;
		const size_t took = icon_read(&r, p + at, most, &whole, &bad);

		if (bad != NULL)
			return -1;
		assert_in_range(took, 1, most);
		at += took;
		icons += whole;
	}
	return icons;
}

static void
stream(void **state)
{
	static const char two[] = "16777217\n2 1\n\xff\xff\xff\xff\x00\x00\x00\x7f"
				  "7\n1 1\n\x10\x20\x30\x40";

	(void)state;
	for (size_t n = 1; n < sizeof(two); n++)
		assert_int_equal(feed(two, sizeof(two) - 1, n), 2);
	assert_int_equal(r.icon.id, 7);
	assert_int_equal(r.icon.w, 1);
	assert_int_equal(r.icon.argb[0] >> 24, 0x40);
	assert_int_equal(feed(two, 21, 21), 1);
	assert_int_equal(r.icon.id, 16777217);
	assert_int_equal(r.icon.argb[0], 0xffffffff);
	assert_int_equal(r.icon.argb[1], 0x7f000000);
}

static void
refused(void **state)
{
	static const char *const bad[] = {"\n", "x\n", "-1\n", " 1\n", "0x1\n", "4294967296\n",
	    "1\n\n", "1\n5\n", "1\n0 1\n", "1\n1 0\n", "1\n2049 1\n", "1\n1 2049\n", "1\n1 1 \n",
	    "1\n1  1\n", "1\n-1 1\n", "1\n99999999999 1\n", "1\n1 1\nabcdx\n",
	    "000000000000000000000000000000001\n"};

	(void)state;
	for (size_t i = 0; i < NELEM(bad); i++)
		if (feed(bad[i], strlen(bad[i]), 1) != -1)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(feed("1\0\n", 3, 3), -1);
	/* 32 bytes are a line */
	assert_int_equal(feed("00000000000000000000000000000001\n1 1\nabcd", 41, 41), 1);
}

static void
large(void **state)
{
	static uint8_t all[12 + 2048 * 2048 * 4] = "1\n2048 2048\n";

	(void)state;
	memset(all + 12, 0xff, sizeof(all) - 12);
	assert_int_equal(feed(all, sizeof(all), 65536), 1);
	assert_int_equal(r.icon.w, ICON_SIDE);
	assert_int_equal(r.icon.h, ICON_SIDE);
	for (size_t i = 0; i < ICON_SIDE * ICON_SIDE; i++)
		assert_int_equal(r.icon.argb[i], 0xffffffff);
	memcpy(all, "1\n129 3\n", 8);
	assert_int_equal(feed(all, 8 + 129 * 3 * 4, 1000), 1);
	assert_int_equal(r.icon.w, 43);
	assert_int_equal(r.icon.h, 1);
}

/* QSB-104: what is shown is of the label's hue, whatever was sent. */
static void
hue(void **state)
{
	static const uint32_t label[] = {
	    0xcc0000, 0xf57900, 0xedd400, 0x73d216, 0x3465a4, 0x75507b};

	(void)state;
	for (size_t l = 0; l < NELEM(label); l++) {
		const struct tint t = tint_of(label[l], false);

		for (uint32_t rgb = 0; rgb <= 0xffffff; rgb += 4097) {
			const uint32_t out = tint_pixel(&t, rgb);

			assert_in_range(out, 0, 0xffffff);
			for (int a = 16; a >= 0; a -= 8)
				for (int b = 16; b >= 0; b -= 8)
					if ((label[l] >> a & 0xff) > (label[l] >> b & 0xff) &&
					    (out >> a & 0xff) + 1 < (out >> b & 0xff))
						fail_msg("%06x in %06x: %06x", rgb, label[l], out);
		}
	}
	for (uint32_t rgb = 0; rgb <= 0xffffff; rgb += 4097) { /* gray, black: no hue at all */
		const struct tint t = tint_of(0x555555, false);
		const uint32_t out = tint_pixel(&t, rgb);

		assert_int_equal(out >> 16, out & 0xff);
		assert_int_equal(out >> 8 & 0xff, out & 0xff);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(stream), cmocka_unit_test(refused),
	    cmocka_unit_test(large), cmocka_unit_test(hue)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
