/* SPDX-License-Identifier: ISC */
/* xen/ring.h on plain memory: what a peer that writes anything anywhere can do to us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "xen/ring.h"

static uint8_t memory[RING_PAGE] __attribute__((aligned(4096)));
static ring_page *const page = (ring_page *)memory;

static void
test_orders(void **state)
{
	for (uint32_t l = 0; l < 300; l++)
		for (uint32_t r = 0; r < 300; r++) {
			const bool in = l >= 10 && l <= 16 && r >= 10 && r <= 16;
			assert_int_equal(ring_orders_ok(l, r),
			    in && !((l == 10 && r == 10) || (l == 11 && r == 11)));
		}
	assert_false(ring_orders_ok(UINT32_MAX, 12));
	assert_int_equal(ring_pages(10) + ring_pages(11), 0);
	assert_int_equal(ring_pages(12), 1);
	assert_int_equal(ring_pages(16), 16);
}

static void
test_page_there_and_back(void **state)
{
	uint32_t grants[RING_GRANTS_MAX];
	struct ring_layout l;

	for (uint32_t i = 0; i < RING_GRANTS_MAX; i++)
		grants[i] = 1000 + i;
	memset(memory, 0xff, sizeof memory);
	ring_page_init(page, 16, 16, grants);
	assert_true(ring_page_read(&l, page));
	assert_int_equal(l.left_order, 16);
	assert_int_equal(l.right_order, 16);
	assert_int_equal(l.cli_live, 2);
	assert_int_equal(l.srv_live, 1);
	assert_memory_equal(l.grants, grants, sizeof grants);
	assert_int_equal(page->cli_notify, VCHAN_NOTIFY_WRITE);
	/* As xen/io/libxenvchan.h has it for everybody. */
	assert_int_equal(offsetof(struct vchan_interface, left_order), 16);
	assert_int_equal(offsetof(struct vchan_interface, cli_live), 20);
	assert_memory_equal(memory + 24, grants, sizeof grants);
	for (size_t i = 24 + sizeof grants; i < sizeof memory; i++)
		assert_int_equal(memory[i], 0);
}

static void
test_page_of_nonsense(void **state)
{
	static const uint16_t bad[] = {0, 1, 9, 17, 20, 31, 32, 255, 256 + 12, 0x8000 + 12, 0xffff};
	struct ring_layout l;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memset(memory, 0, sizeof memory);
		page->left_order = bad[i];
		page->right_order = 12;
		assert_false(ring_page_read(&l, page));
		page->left_order = 12;
		page->right_order = bad[i];
		assert_false(ring_page_read(&l, page));
	}
}

/* The two rings inside the page touch neither each other nor what stands before them. */
static void
test_rings_inside_the_page(void **state)
{
	static uint8_t ones[2048], twos[2048], got[2048];
	memset(ones, 1, sizeof ones);
	memset(twos, 2, sizeof twos);
	for (uint8_t left = 10; left <= 11; left++) {
		const uint8_t right = left == 10 ? 11 : 10;
		struct ring l, r, back;
		ring_page_init(page, left, right, NULL);
		ring_open(&l, page, NULL, left, true, true);
		ring_open(&r, page, NULL, right, false, true);
		ring_open(&back, page, NULL, left, true, false);
		ring_put(&l, ones, l.size);
		ring_put(&r, twos, r.size);
		for (size_t i = 24; i < 1024; i++)
			assert_int_equal(memory[i], 0);
		assert_int_equal(ring_ready(&back, NULL), l.size);
		ring_get(&back, got, l.size);
		assert_memory_equal(got, ones, l.size);
		assert_int_equal(page->right_order, right);
	}
}

static uint32_t
some(uint64_t *seed, uint32_t max)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return max == 0 ? 0 : (uint32_t)(*seed >> 33) % (max + 1);
}

/* Any sizes, through the wrap of the ring and that of 32 bits. */
static void
test_stream(void **state)
{
	uint64_t seed = 1;

	for (uint8_t order = 12; order <= 16; order++) {
		const uint32_t size = 1u << order;
		uint8_t *pages = malloc(size), *out = malloc(size), *in = malloc(size);
		struct ring w, r;
		uint8_t a = 0, b = 0;
		memset(memory, 0, sizeof memory);
		page->left.prod = page->left.cons = UINT32_MAX - size - 5;
		ring_open(&w, page, pages, order, true, true);
		ring_open(&r, page, pages, order, true, false);
		for (int i = 0; i < 2000; i++) {
			const uint32_t n = some(&seed, ring_ready(&w, NULL));
			for (uint32_t k = 0; k < n; k++)
				out[k] = a++;
			ring_lay(&w, 0, out, n / 2);
			ring_lay(&w, n / 2, out + n / 2, n - n / 2);
			const uint32_t before = ring_ready(&r, NULL);
			ring_show(&w, n);
			assert_int_equal(ring_ready(&r, NULL), before + n);
			const uint32_t m = some(&seed, ring_ready(&r, NULL));
			ring_get(&r, in, m);
			for (uint32_t k = 0; k < m; k++)
				assert_int_equal(in[k], b++);
		}
		free(pages);
		free(out);
		free(in);
	}
}

/* Everything but 0 to size is refused, wherever we stand. */
static void
test_hostile_index(void **state)
{
	static const uint32_t at[] = {0, 1, 65535, 65536, 0x7fffffff, 0x80000000, UINT32_MAX};
	static const uint32_t off[] = {65537, 65538, 131072, 0x7fffffff, 0x80000000, 0x80010000,
	    0xffff0000, UINT32_MAX - 65536, UINT32_MAX};
	static uint8_t pages[65536];

	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
		struct ring r, w;
		uint32_t said;
		page->left.prod = page->left.cons = at[i];
		page->right.prod = page->right.cons = at[i];
		ring_open(&r, page, pages, 16, true, false);
		ring_open(&w, page, pages, 16, false, true);
		for (size_t k = 0; k < sizeof off / sizeof off[0]; k++) {
			page->left.prod = at[i] + off[k];
			assert_int_equal(ring_ready(&r, &said), RING_BAD);
			assert_int_equal(said, at[i] + off[k]);
			page->right.cons = at[i] - off[k];
			assert_int_equal(ring_ready(&w, NULL), RING_BAD);
		}
		page->left.prod = at[i] + 65536;
		assert_int_equal(ring_ready(&r, NULL), 65536);
		page->right.cons = at[i] - 65536;
		assert_int_equal(ring_ready(&w, NULL), 0);
	}
}

/* What we said of ourselves is not believed when it is changed. */
static void
test_own_index_is_not_read_back(void **state)
{
	static uint8_t pages[4096], b[100];
	struct ring r, w;

	memset(memory, 0, sizeof memory);
	ring_open(&r, page, pages, 12, true, false);
	ring_open(&w, page, pages, 12, false, true);
	page->left.prod = 200;
	ring_get(&r, b, 100);
	ring_put(&w, b, 100);
	page->left.cons = 5;
	page->right.prod = 5;
	assert_int_equal(ring_ready(&r, NULL), 100);
	assert_int_equal(ring_ready(&w, NULL), 4096 - 100);
	ring_get(&r, b, 100);
	ring_put(&w, b, 100);
	assert_int_equal(page->left.cons, 200);
	assert_int_equal(page->right.prod, 200);
}

static void
test_notices(void **state)
{
	ring_page_init(page, 10, 11, NULL);
	/* A server wants to hear of the first byte: libxenvchan's and ours look there. */
	assert_true(ring_asked(page, false, VCHAN_NOTIFY_WRITE));
	assert_false(ring_asked(page, false, VCHAN_NOTIFY_WRITE));
	ring_ask(page, true, VCHAN_NOTIFY_READ | VCHAN_NOTIFY_WRITE);
	assert_int_equal(page->cli_notify, 3);
	assert_int_equal(page->srv_notify, 0);
	assert_true(ring_asked(page, false, VCHAN_NOTIFY_READ));
	assert_int_equal(page->cli_notify, VCHAN_NOTIFY_WRITE);
	ring_ask(page, false, VCHAN_NOTIFY_WRITE);
	assert_int_equal(page->srv_notify, VCHAN_NOTIFY_WRITE);
	assert_true(ring_asked(page, true, VCHAN_NOTIFY_WRITE));
	assert_int_equal(page->srv_notify, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_orders),
	    cmocka_unit_test(test_page_there_and_back),
	    cmocka_unit_test(test_page_of_nonsense),
	    cmocka_unit_test(test_rings_inside_the_page),
	    cmocka_unit_test(test_stream),
	    cmocka_unit_test(test_hostile_index),
	    cmocka_unit_test(test_own_index_is_not_read_back),
	    cmocka_unit_test(test_notices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
