/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <sys/socket.h>

#include "buf.h"

static void
reader_stops_at_the_end(void **state)
{
	uint8_t b[6] = {0};
	uint32_t v = 0xdeadbeef;
	struct rd r;

	memcpy(b, &v, 4);
	r = rd_over(b, sizeof(b));
	assert_int_equal(rd_u32(&r), 0xdeadbeef);
	assert_false(r.bad);
	assert_int_equal(rd_u32(&r), 0); /* two bytes are left */
	assert_true(r.bad);
	assert_null(rd_bytes(&r, 1)); /* and all later items are refused */
	r = rd_over(b, 6);
	assert_ptr_equal(rd_bytes(&r, 6), b);
	assert_non_null(rd_bytes(&r, 0));
	assert_null(rd_bytes(&r, SIZE_MAX));
	r = rd_over(NULL, 0);
	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
}

static void
writer_never_writes_part(void **state)
{
	uint8_t b[8];
	struct wr w = wr_over(b, sizeof(b));

	wr_padded(&w, "abc", 5);
	assert_memory_equal(b, "abc\0\0", 5);
	wr_u32(&w, 1);
	assert_true(w.full);
	assert_int_equal(w.len, 5);
	wr_bytes(&w, "x", 1); /* fits, but what came before is missing */
	assert_int_equal(w.len, 5);
	w = wr_over(b, 8);
	wr_padded(&w, "abcdef", 5);
	assert_true(w.full);
	w = wr_over(b, 8);
	wr_str(&w, "12345678");
	assert_false(w.full);
	wr_bytes(&w, NULL, 0);
	assert_false(w.full);
}

static void
queue_keeps_its_limit(void **state)
{
	struct buf b = {.max = 1000};
	char big[1001] = {0};

	assert_false(buf_put(&b, big, 1001));
	assert_int_equal(b.cap, 0);
	assert_true(buf_put(&b, big, 1000));
	assert_int_equal(buf_room(&b), 0);
	assert_true(b.cap <= 1000);
	assert_false(buf_put(&b, big, 1));
	assert_true(buf_put(&b, NULL, 0));
	buf_eat(&b, 400);
	assert_true(buf_put(&b, big, 400));
	assert_false(buf_printf(&b, "%d", 1));
	buf_eat(&b, SIZE_MAX);
	assert_int_equal(b.len, 0);
	buf_free(&b);
	assert_int_equal(b.cap, 0);
	assert_false(buf_put(&(struct buf){.max = 0}, "x", 1));
}

static void
queue_is_first_in_first_out(void **state)
{
	struct buf b = {.max = 4096};
	uint8_t in = 0, out = 0;
	unsigned seed = 1;

	for (int i = 0; i < 20000; i++) {
		seed = seed * 1103515245u + 12345u;
		if (seed >> 16 & 1) {
			uint8_t c[97];
			size_t n = (seed >> 17) % sizeof(c);

			if (n > buf_room(&b))
				continue;
			for (size_t k = 0; k < n; k++)
				c[k] = in++;
			assert_true(buf_put(&b, c, n));
		} else {
			size_t n = (seed >> 17) % 120;

			n = n < b.len ? n : b.len;
			for (size_t k = 0; k < n; k++)
				assert_int_equal(buf_bytes(&b)[k], out++);
			buf_eat(&b, n);
		}
	}
	buf_free(&b);
}

static void
queue_reads_and_writes_descriptors(void **state)
{
	struct buf a = {.max = 100000}, b = {.max = 100};
	char big[100000] = {0};
	int s[2], p[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	assert_int_equal(buf_read_fd(&b, s[1], 50), -2);
	assert_int_equal(b.cap, 0);
	assert_true(buf_printf(&a, "%0150d", 7));
	assert_int_equal(buf_write_fd(&a, s[0]), 0);
	assert_int_equal(a.len, 0);
	assert_int_equal(buf_read_fd(&b, s[1], 30), 30);
	assert_int_equal(buf_read_fd(&b, s[1], 1000), 70);
	assert_int_equal(buf_read_fd(&b, s[1], 1000), -2); /* no room */
	buf_free(&b);
	assert_int_equal(buf_read_fd(&b, s[1], 1000), 50);
	for (int i = 0; i < 30 && a.len == 0; i++) {
		assert_true(buf_put(&a, big, sizeof(big)));
		assert_int_equal(buf_write_fd(&a, s[0]), 0);
	}
	assert_true(a.len > 0); /* would block: what is left stays */
	close(s[1]);
	assert_int_equal(buf_write_fd(&a, s[0]), -1); /* and no SIGPIPE */
	close(s[0]);
	assert_int_equal(pipe(p), 0);
	buf_free(&a);
	assert_true(buf_put(&a, "x", 1));
	assert_int_equal(buf_write_fd(&a, p[1]), 0);
	close(p[1]);
	buf_free(&b);
	assert_int_equal(buf_read_fd(&b, p[0], 9), 1);
	assert_int_equal(buf_read_fd(&b, p[0], 9), 0);
	close(p[0]);
	assert_int_equal(buf_read_fd(&b, p[0], 9), -1);
	buf_free(&a);
	buf_free(&b);
}

static void
file_is_read_whole_or_refused(void **state)
{
	struct buf b = {.max = 6};
	int d = open_test_dir();

	put_file("f", "hello", 5);
	assert_true(buf_read_file(&b, d, "f"));
	assert_int_equal(b.len, 5);
	buf_free(&b);
	put_file("f", "hello!", 6);
	assert_false(buf_read_file(&b, d, "f"));
	assert_int_equal(errno, EFBIG);
	buf_free(&b);
	assert_false(buf_read_file(&b, d, "none"));
	assert_int_equal(errno, ENOENT);
	assert_false(buf_read_file(&b, d, "."));
	assert_int_equal(errno, EISDIR);
	buf_free(&b);
	close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reader_stops_at_the_end),
	    cmocka_unit_test(writer_never_writes_part),
	    cmocka_unit_test(queue_keeps_its_limit),
	    cmocka_unit_test(queue_is_first_in_first_out),
	    cmocka_unit_test(queue_reads_and_writes_descriptors),
	    cmocka_unit_test(file_is_read_whole_or_refused),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, rm_test_dir);
}
