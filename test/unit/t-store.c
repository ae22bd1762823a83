/* SPDX-License-Identifier: ISC */
/*
 * xen/store.h against a server that is these tests: its answers wait in the socket before the
 * request is made (numbers of requests begin with 1).
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#include <cmocka.h>

#include "lib/loop.h"
#include "lib/sock.h"
#include "xen/store.h"

static char dir[64], path[96];
static int listener;

struct pair {
	struct store *s;
	int fd; /* the server's end */
};

static struct pair
open_pair(void)
{
	struct pair p = {.s = store_open()};
	assert_non_null(p.s);
	p.fd = accept(listener, NULL, NULL);
	assert_true(p.fd >= 0);
	return p;
}

static void
close_pair(struct pair *p)
{
	store_close(p->s);
	if (p->fd >= 0)
		close(p->fd);
}

static size_t
message(uint8_t *out, uint32_t type, uint32_t id, const void *body, size_t n)
{
	const struct xsd_sockmsg h = {.type = type, .req_id = id, .len = (uint32_t)n};
	memcpy(out, &h, sizeof h);
	memcpy(out + sizeof h, body, n);
	return sizeof h + n;
}

static void
answer(const struct pair *p, uint32_t type, uint32_t id, const void *body, size_t n)
{
	uint8_t b[8192];
	const size_t len = message(b, type, id, body, n);
	assert_int_equal(send(p->fd, b, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define ANSWER(p, type, id, text) answer(p, type, id, text, sizeof(text) - 1)

/* What the client said: type, body. */
static void
heard(const struct pair *p, uint32_t type, uint32_t tx, const void *body, size_t n)
{
	struct xsd_sockmsg h;
	uint8_t b[8192];
	assert_int_equal(recv(p->fd, &h, sizeof h, MSG_WAITALL), sizeof h);
	assert_int_equal(h.type, type);
	assert_int_equal(h.tx_id, tx);
	assert_int_equal(h.len, n);
	assert_int_equal(recv(p->fd, b, n, MSG_WAITALL), (ssize_t)n);
	assert_memory_equal(b, body, n);
}

#define HEARD(p, type, tx, text) heard(p, type, tx, text, sizeof(text) - 1)

static bool
readable(const struct store *s)
{
	struct pollfd p = {.fd = store_fd(s), .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

static void
test_requests(void **state)
{
	struct pair p = open_pair();
	char v[16];
	uint32_t n;

	ANSWER(&p, XS_TRANSACTION_START, 1, "77\0");
	assert_int_equal(store_begin(p.s), 77);
	HEARD(&p, XS_TRANSACTION_START, 0, "\0");
	ANSWER(&p, XS_READ, 2, "abc");
	assert_int_equal(store_read(p.s, 77, "/a/b", v, sizeof v), 3);
	assert_string_equal(v, "abc");
	HEARD(&p, XS_READ, 77, "/a/b\0");
	ANSWER(&p, XS_WRITE, 3, "OK\0");
	assert_true(store_write(p.s, 77, "/a", "%d", 12));
	HEARD(&p, XS_WRITE, 77,
	    "/a\0"
	    "12");
	ANSWER(&p, XS_SET_PERMS, 4, "OK\0");
	assert_true(store_own(p.s, 77, "/a", 0, 5));
	HEARD(&p, XS_SET_PERMS, 77, "/a\0n0\0r5\0");
	ANSWER(&p, XS_SET_PERMS, 5, "OK\0");
	assert_true(store_own(p.s, 0, "/a", 3, STORE_NOBODY));
	HEARD(&p, XS_SET_PERMS, 0, "/a\0n3\0");
	ANSWER(&p, XS_ERROR, 6, "EAGAIN\0");
	assert_false(store_end(p.s, 77, true));
	assert_int_equal(errno, EAGAIN);
	HEARD(&p, XS_TRANSACTION_END, 77, "T\0");
	ANSWER(&p, XS_ERROR, 7, "ENOENT\0");
	assert_true(store_rm(p.s, 0, "/x"));
	HEARD(&p, XS_RM, 0, "/x\0");
	ANSWER(&p, XS_MKDIR, 8, "OK\0");
	assert_true(store_mkdir(p.s, 0, "/x"));
	HEARD(&p, XS_MKDIR, 0, "/x\0");
	ANSWER(&p, XS_INTRODUCE, 9, "OK\0");
	assert_true(store_introduce(p.s, 3, 0x123456789a, 7));
	HEARD(&p, XS_INTRODUCE, 0,
	    "3\0"
	    "78187493530\0"
	    "7\0");
	ANSWER(&p, XS_RELEASE, 10, "OK\0");
	assert_true(store_release(p.s, 3));
	HEARD(&p, XS_RELEASE, 0, "3\0");
	ANSWER(&p, XS_ERROR, 11, "EWHATEVER\0");
	assert_false(store_number(p.s, 0, "/x", 9, &n));
	assert_int_equal(errno, EIO);
	close_pair(&p);
}

static void
test_numbers(void **state)
{
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "101", "1a", "a",
	    "4294967296", "99999999999999999999999"};
	struct pair p = open_pair();
	uint32_t n = 0, id = 1;

	ANSWER(&p, XS_READ, id++, "100");
	assert_true(store_number(p.s, 0, "/n", 100, &n));
	assert_int_equal(n, 100);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		answer(&p, XS_READ, id++, bad[i], strlen(bad[i]));
		assert_false(store_number(p.s, 0, "/n", 100, &n));
		assert_int_equal(errno, EINVAL);
	}
	ANSWER(&p, XS_READ, id++, "1\0"); /* a NUL inside is no digit */
	assert_false(store_number(p.s, 0, "/n", 100, &n));
	close_pair(&p);
}

static void
test_limits(void **state)
{
	struct pair p = open_pair();
	char out[STORE_VALUE_MAX + 1], big[STORE_VALUE_MAX];
	char deep[STORE_PATH_MAX + 1];

	memset(big, 'v', sizeof big);
	answer(&p, XS_READ, 1, big, sizeof big);
	assert_int_equal(store_read(p.s, 0, "/big", out, sizeof out), STORE_VALUE_MAX);
	assert_int_equal(out[STORE_VALUE_MAX], 0);
	answer(&p, XS_READ, 2, big, 16);
	assert_int_equal(store_read(p.s, 0, "/big", out, 16), -1);
	assert_int_equal(errno, E2BIG);
	memset(deep, 'd', sizeof deep);
	deep[STORE_PATH_MAX] = '\0';
	assert_int_equal(store_read(p.s, 0, deep, out, sizeof out), -1);
	assert_false(store_watch(p.s, "/x", deep));
	answer(&p, XS_READ, 3, "x", 1); /* nothing of that was sent */
	assert_int_equal(store_read(p.s, 0, "/x", out, sizeof out), 1);
	close_pair(&p);
}

/* Each of these is the end of that store. */
static void
test_nonsense(void **state)
{
	static const struct {
		uint32_t type, id, len; /* len: said, not sent */
		const char *body;
		size_t n;
	} bad[] = {
	    {XS_READ, 2, 1, "x", 1},  /* another number */
	    {XS_WRITE, 1, 1, "x", 1}, /* another type */
	    {XS_TYPE_COUNT, 1, 1, "x", 1},
	    {UINT32_MAX, 1, 1, "x", 1},
	    {XS_READ, 1, 4097, "x", 1},
	    {XS_READ, 1, UINT32_MAX, "x", 1},
	    {XS_ERROR, 1, 6, "ENOENT", 6}, /* no NUL */
	    {XS_ERROR, 1, 0, "", 0},
	    {XS_ERROR, 1, 9, "ENOENT\0x\0", 9},
	    {XS_WATCH_EVENT, 0, 0, "", 0},
	    {XS_WATCH_EVENT, 0, 3, "a\0b", 3},
	    {XS_WATCH_EVENT, 0, 2, "a\0", 2},
	    {XS_WATCH_EVENT, 0, 6, "a\0b\0c\0", 6},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct pair p = open_pair();
		const struct xsd_sockmsg h = {
		    .type = bad[i].type, .req_id = bad[i].id, .len = bad[i].len};
		const uint64_t began = now_ms();
		char v[32];
		assert_int_equal(send(p.fd, &h, sizeof h, 0), sizeof h);
		if (bad[i].n)
			assert_int_equal(send(p.fd, bad[i].body, bad[i].n, 0), (ssize_t)bad[i].n);
		assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), -1);
		assert_int_equal(errno, EPIPE);
		assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), -1);
		assert_int_equal(errno, EPIPE);
		assert_in_range(now_ms() - began, 0, STORE_MS / 2); /* seen, not waited for */
		assert_true(readable(p.s));
		char ep[STORE_PATH_MAX], et[64];
		assert_int_equal(store_event(p.s, ep, et), -1);
		close_pair(&p);
	}
}

static void
test_answer_to_nothing(void **state)
{
	struct pair p = open_pair();
	char ep[STORE_PATH_MAX], et[64];

	assert_false(readable(p.s));
	assert_int_equal(store_event(p.s, ep, et), 0);
	ANSWER(&p, XS_READ, 1, "x");
	assert_true(readable(p.s));
	assert_int_equal(store_event(p.s, ep, et), -1);
	close_pair(&p);
}

/* A child sends the rest when the first part has been taken. */
static void
in_two(const struct pair *p, const uint8_t *b, size_t n, size_t at)
{
	assert_int_equal(send(p->fd, b, at, 0), (ssize_t)at);
	if (fork() == 0) {
		int left = 1;
		while (left > 0 && ioctl(p->fd, SIOCOUTQ, &left) == 0)
			poll(NULL, 0, 1);
		_exit(send(p->fd, b + at, n - at, 0) != (ssize_t)(n - at));
	}
}

static void
test_split_anywhere(void **state)
{
	uint8_t b[128];
	size_t n = message(b, XS_WATCH_EVENT, 0, "/w/x\0tok\0", 9);

	n += message(b + n, XS_READ, 1, "value", 5);
	for (size_t at = 1; at < n; at++) {
		struct pair p = open_pair();
		char v[16], ep[STORE_PATH_MAX], et[64];
		int st;
		in_two(&p, b, n, at);
		assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), 5);
		assert_string_equal(v, "value");
		assert_true(readable(p.s)); /* though nothing waits in the socket */
		assert_int_equal(store_event(p.s, ep, et), 1);
		assert_string_equal(ep, "/w/x");
		assert_string_equal(et, "tok");
		assert_int_equal(store_event(p.s, ep, et), 0);
		assert_false(readable(p.s));
		wait(&st);
		assert_int_equal(st, 0);
		close_pair(&p);
	}
}

static void
test_cut_anywhere(void **state)
{
	uint8_t b[64];
	const size_t n = message(b, XS_READ, 1, "value", 5);

	for (size_t at = 0; at < n; at++) {
		struct pair p = open_pair();
		char v[16];
		if (at)
			assert_int_equal(send(p.fd, b, at, 0), (ssize_t)at);
		shutdown(p.fd, SHUT_WR);
		assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), -1);
		assert_int_equal(errno, EPIPE);
		close_pair(&p);
	}
}

static void
test_killed_server(void **state)
{
	struct pair p = open_pair();
	char ep[STORE_PATH_MAX], et[64];

	close(p.fd);
	p.fd = -1;
	assert_true(readable(p.s));
	assert_int_equal(store_event(p.s, ep, et), -1);
	assert_false(store_write(p.s, 0, "/a", "x")); /* and no SIGPIPE */
	assert_int_equal(errno, EPIPE);
	close_pair(&p);
}

static void
test_silence_has_an_end(void **state)
{
	struct pair p = open_pair();
	const uint64_t began = now_ms();
	char v[8];

	assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), -1);
	assert_int_equal(errno, EPIPE);
	assert_in_range(now_ms() - began, STORE_MS - 50, STORE_MS + 5000);
	close_pair(&p);
}

static void
event(const struct pair *p, unsigned i)
{
	char b[64];
	const int n = snprintf(b, sizeof b, "/w/%u%cw", i, 0);
	answer(p, XS_WATCH_EVENT, 0, b, (size_t)n + 1);
}

/* Sent in batches that the socket holds; each request takes them in. */
static void
test_events_in_order_and_bounded(void **state)
{
	for (unsigned many = STORE_EVENTS_MAX; many <= STORE_EVENTS_MAX + 1; many++) {
		struct pair p = open_pair();
		char ep[STORE_PATH_MAX], et[64], v[8], want[32];
		uint32_t id = 1;
		unsigned n = 0;
		ANSWER(&p, XS_WATCH, id++, "OK\0");
		assert_true(store_watch(p.s, "/w", "w"));
		ANSWER(&p, XS_WATCH, id++, "OK\0");
		assert_true(store_watch(p.s, "@releaseDomain", "r"));
		ANSWER(&p, XS_WATCH, id++, "OK\0");
		assert_true(store_watch(p.s, "/gone", "g"));
		ANSWER(&p, XS_UNWATCH, id++, "OK\0");
		assert_true(store_unwatch(p.s, "/gone", "g"));
		for (unsigned i = 0; i < many; i++) {
			event(&p, i);
			if (i % 64 == 63 || i == many - 1) {
				ANSWER(&p, XS_READ, id++, "x");
				assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), 1);
			}
		}
		assert_true(readable(p.s));
		while (store_event(p.s, ep, et) == 1) {
			snprintf(want, sizeof want, "/w/%u", n);
			if (many == STORE_EVENTS_MAX)
				assert_string_equal(ep, want);
			n++;
		}
		/* One too many: each watch once, and nothing else. */
		assert_int_equal(n, many == STORE_EVENTS_MAX ? STORE_EVENTS_MAX : 2);
		assert_false(readable(p.s));
		close_pair(&p);
	}
}

static void
test_deep_event_is_cut(void **state)
{
	struct pair p = open_pair();
	char b[3100], ep[STORE_PATH_MAX], et[64];

	memset(b, 'p', sizeof b);
	b[3000] = '\0';
	memcpy(b + 3001, "t", 2);
	answer(&p, XS_WATCH_EVENT, 0, b, 3003);
	assert_int_equal(store_event(p.s, ep, et), 1);
	assert_int_equal(strlen(ep), STORE_PATH_MAX - 1);
	assert_string_equal(et, "t");
	close_pair(&p);
}

struct names {
	unsigned n;
	char last[300];
};

static void
name(const char *untrusted_name, void *arg)
{
	struct names *x = arg;
	x->n++;
	snprintf(x->last, sizeof x->last, "%s", untrusted_name);
}

static void
test_lists(void **state)
{
	struct pair p = open_pair();
	struct names x = {0};

	ANSWER(&p, XS_DIRECTORY, 1, "a\0b\0cc\0");
	assert_true(store_list(p.s, 0, "/d", name, &x));
	assert_int_equal(x.n, 3);
	assert_string_equal(x.last, "cc");
	answer(&p, XS_DIRECTORY, 2, "", 0);
	assert_true(store_list(p.s, 0, "/d", name, &x));
	assert_int_equal(x.n, 3);
	/* In parts; the node changes once in between, and all begins again. */
	ANSWER(&p, XS_ERROR, 3, "E2BIG\0");
	ANSWER(&p, XS_DIRECTORY_PART, 4, "9\0one\0two\0");
	ANSWER(&p, XS_DIRECTORY_PART, 5, "10\0four\0\0");
	ANSWER(&p, XS_DIRECTORY_PART, 6, "10\0one\0three\0");
	ANSWER(&p, XS_DIRECTORY_PART, 7, "10\0four\0\0");
	x.n = 0;
	assert_true(store_list(p.s, 0, "/d", name, &x));
	assert_int_equal(x.n, 3);
	assert_string_equal(x.last, "four");
	ANSWER(&p, XS_ERROR, 8, "ENOENT\0");
	assert_false(store_list(p.s, 0, "/d", name, &x));
	assert_int_equal(errno, ENOENT);
	ANSWER(&p, XS_DIRECTORY, 9, "a\0b");
	assert_false(store_list(p.s, 0, "/d", name, &x));
	assert_int_equal(errno, EPIPE);
	assert_int_equal(x.n, 3);
	close_pair(&p);
}

/* One piece out, the answers in order, the first failure said at the end. */
static void
test_batch(void **state)
{
	struct pair p = open_pair();
	char v[8];

	ANSWER(&p, XS_WRITE, 1, "OK\0");
	ANSWER(&p, XS_ERROR, 2, "ENOENT\0");
	ANSWER(&p, XS_ERROR, 3, "EACCES\0");
	ANSWER(&p, XS_READ, 4, "x");
	store_batch(p.s);
	assert_true(store_write(p.s, 0, "/a", "1"));
	assert_true(store_rm(p.s, 0, "/b"));
	assert_true(store_own(p.s, 0, "/a", 0, 5));
	assert_false(store_flush(p.s));
	assert_int_equal(errno, EACCES);
	HEARD(&p, XS_WRITE, 0,
	    "/a\0"
	    "1");
	HEARD(&p, XS_RM, 0, "/b\0");
	HEARD(&p, XS_SET_PERMS, 0, "/a\0n0\0r5\0");
	assert_int_equal(store_read(p.s, 0, "/a", v, sizeof v), 1);
	close_pair(&p);
}

static void
test_not_there(void **state)
{
	setenv("XENSTORED_PATH", "/nonexistent/socket", 1);
	assert_null(store_open());
	assert_int_equal(errno, ENOENT);
	setenv("XENSTORED_PATH", path, 1);
	store_close(NULL);
}

static int
set_up(void **state)
{
	snprintf(dir, sizeof dir, "/tmp/t-store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/socket", dir);
	listener = sock_listen(path, 0600);
	setenv("XENSTORED_PATH", path, 1);
	return listener < 0;
}

static int
tear_down(void **state)
{
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_requests),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_nonsense),
	    cmocka_unit_test(test_answer_to_nothing),
	    cmocka_unit_test(test_split_anywhere),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_killed_server),
	    cmocka_unit_test(test_silence_has_an_end),
	    cmocka_unit_test(test_events_in_order_and_bounded),
	    cmocka_unit_test(test_deep_event_is_cut),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_batch),
	    cmocka_unit_test(test_not_there),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
