/* SPDX-License-Identifier: ISC */
/* lib/vchan.h over Unix sockets, with itself and with plain socket code such as stock programs use.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/loop.h"
#include "lib/vchan.h"

#define LIMIT_MS 10000

static char dir[128];

/* 43 serves 42. */
static struct vchan *
server(unsigned port)
{
	return vchan_open(VCHAN_SERVER, dir, 43, 42, port);
}

static struct vchan *
client(unsigned port)
{
	return vchan_open(VCHAN_CLIENT, dir, 42, 43, port);
}

static const char *
path(unsigned port)
{
	static char p[PATH_MAX];
	snprintf(p, sizeof p, "%s/vchan.43.42.%u.sock", dir, port);
	return p;
}

static bool
there(const char *p)
{
	struct stat st;
	return lstat(p, &st) == 0;
}

/* A letter each way. */
static void
talk(struct vchan *a, struct vchan *b)
{
	char c = 0;
	const uint64_t end = now_ms() + LIMIT_MS;

	while (vchan_state(a) == VCHAN_WAITING || vchan_state(b) == VCHAN_WAITING) {
		vchan_wait(a, 1, -1); /* either may be the one who has to move first */
		vchan_wait(b, 1, -1);
		assert_true(now_ms() < end);
	}
	assert_int_equal(vchan_state(a), VCHAN_OPEN);
	assert_int_equal(vchan_state(b), VCHAN_OPEN);
	assert_int_equal(vchan_write(a, "x", 1), 1);
	assert_int_equal(vchan_read(b, &c, 1), 1);
	assert_int_equal(c, 'x');
	assert_int_equal(vchan_write(b, "y", 1), 1);
	assert_int_equal(vchan_read(a, &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(vchan_read(a, &c, 1), 0);
}

static void
open_pair(struct vchan **s, struct vchan **c)
{
	*s = server(513);
	*c = client(513);
	assert_non_null(*s);
	assert_non_null(*c);
	talk(*s, *c);
}

static void
test_server_first(void **state)
{
	struct stat st;
	struct vchan *s = server(513);

	assert_int_equal(lstat(path(513), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(vchan_state(s), VCHAN_WAITING);
	struct vchan *c = client(513);
	assert_int_equal(vchan_state(c), VCHAN_OPEN);
	talk(s, c);
	assert_false(there(path(513)));
	vchan_close(s);
	vchan_close(c);
}

static void
test_client_first(void **state)
{
	struct vchan *c = client(513);
	char b;

	assert_int_equal(vchan_state(c), VCHAN_WAITING);
	assert_int_equal(vchan_read(c, &b, 1), 0);
	assert_int_equal(vchan_write(c, "x", 1), 0);
	assert_false(vchan_wait(c, 5, -1));
	struct vchan *s = server(513);
	talk(c, s);
	vchan_close(s);
	vchan_close(c);
}

static void
test_cancelled_wait(void **state)
{
	int p[2];
	struct vchan *c = client(513);

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_false(vchan_wait(c, -1, p[0]));
	close(p[0]);
	close(p[1]);
	vchan_close(c);
}

static void
test_close_of_a_waiting_server_removes_the_name(void **state)
{
	struct vchan *s = server(513);

	assert_true(there(path(513)));
	vchan_close(s);
	assert_false(there(path(513)));
	vchan_close(NULL);
}

static void
test_a_newer_server_keeps_its_name(void **state)
{
	struct vchan *old = server(513), *new = server(513);

	vchan_close(old);
	assert_true(there(path(513)));
	struct vchan *c = client(513);
	talk(new, c);
	vchan_close(new);
	vchan_close(c);
}

static int
listening(const char *p, bool and_listens)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", p);
	unlink(p);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	if (and_listens)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_taken_listener_keeps_its_name(void **state)
{
	const int fd = listening(path(513), true);
	struct vchan *s = vchan_take(VCHAN_SERVER, fd), *c = client(513);

	talk(s, c);
	assert_true(there(path(513)));
	vchan_close(s);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was ours */
	vchan_close(c);
	unlink(path(513));
}

static void
test_taken_stream(void **state)
{
	int two[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, two), 0);
	struct vchan *a = vchan_take(VCHAN_CLIENT, two[0]), *b = vchan_take(VCHAN_CLIENT, two[1]);
	talk(a, b);
	vchan_close(a);
	vchan_close(b);
}

/* The peer's defect (spec/qrexec 2, 11): a reused port met the listener of the call before. */
static void
test_reused_port_never_meets_a_stale_listener(void **state)
{
	for (int i = 0; i < 1000; i++) {
		struct vchan *s, *c;
		if (i % 2) {
			s = server(513);
			c = client(513);
		} else {
			c = client(513);
			s = server(513);
		}
		talk(s, c);
		assert_false(there(path(513)));
		vchan_close(i % 3 ? s : c);
		vchan_close(i % 3 ? c : s);
	}
}

static void
test_one_connection_only(void **state)
{
	struct vchan *s, *c;

	open_pair(&s, &c);
	struct vchan *second = client(513);
	assert_false(vchan_wait(second, 20, -1));
	vchan_close(second);
	vchan_close(s);
	vchan_close(c);
}

/* Stock servers bind first and listen later. */
static void
test_peer_that_listens_late(void **state)
{
	for (int before = 0; before < 2; before++) {
		struct vchan *c = before ? client(513) : NULL;
		const int l = listening(path(513), false);
		if (!c)
			c = client(513);
		assert_false(vchan_wait(c, 20, -1));
		assert_int_equal(listen(l, 1), 0);
		assert_true(vchan_wait(c, LIMIT_MS, -1));
		const int fd = accept(l, NULL, NULL);
		assert_int_equal(vchan_write(c, "hello", 5), 5);
		char b[8];
		assert_int_equal(read(fd, b, 8), 5);
		close(fd);
		close(l);
		vchan_close(c);
		unlink(path(513));
	}
}

/* A stock server that died leaves its name behind; the next one takes it away and binds anew. */
static void
test_stale_name_of_a_stock_server(void **state)
{
	close(listening(path(513), true));
	struct vchan *c = client(513);
	assert_false(vchan_wait(c, 100, -1));
	const int l = listening(path(513), true);
	assert_true(vchan_wait(c, LIMIT_MS, -1));
	close(l);
	vchan_close(c);
	unlink(path(513));
}

/* Refused for long, it looks at most once in 50 ms. */
static void
test_waiting_does_not_spin(void **state)
{
	close(listening(path(513), true));
	struct vchan *c = client(513);
	const uint64_t end = now_ms() + 500;
	int turns = 0;

	for (struct pollfd p; now_ms() < end; turns++) {
		vchan_poll(c, POLLIN, &p);
		poll(&p, 1, (int)(end - now_ms()));
		vchan_turn(c);
	}
	assert_in_range(turns, 5, 20);
	vchan_close(c);
	unlink(path(513));
}

/* Stock clients connect every 0.1 ms until it works. Between name and listener there must be no
 * gap. */
static void
test_polling_peer_is_never_refused(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const pid_t p = fork();

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path(513));
	if (p == 0) {
		for (int done = 0; done < 200;) {
			const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
			if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
				char c;
				done++;
				while (read(fd, &c, 1) > 0)
					;
			} else if (errno != ENOENT) {
				_exit(1);
			}
			close(fd);
			poll(NULL, 0, 0);
		}
		_exit(0);
	}
	for (int i = 0; i < 200; i++) {
		struct vchan *s = server(513);
		assert_true(vchan_wait(s, LIMIT_MS, -1));
		vchan_close(s);
	}
	int status;
	assert_int_equal(waitpid(p, &status, 0), p);
	assert_int_equal(status, 0);
}

static size_t
fill(struct vchan *v, size_t piece)
{
	static char zero[1 << 22];
	size_t sum = 0;
	ssize_t n;

	while ((n = vchan_write(v, zero, piece)) > 0)
		sum += (size_t)n;
	assert_int_equal(n, 0);
	return sum;
}

static size_t
drain(struct vchan *v)
{
	static char buf[1 << 20];
	size_t sum = 0;
	ssize_t n;

	while ((n = vchan_read(v, buf, sizeof buf)) > 0)
		sum += (size_t)n;
	return sum;
}

static void
test_64_KiB_each_way_without_a_reader(void **state)
{
	static const size_t pieces[] = {1000, 4096, 65536 + 8, 1 << 22};

	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		struct vchan *s, *c;
		open_pair(&s, &c);
		const size_t one = fill(s, pieces[i]), other = fill(c, pieces[i]);
		assert_true(one >= VCHAN_RING && other >= VCHAN_RING);
		assert_int_equal(drain(c), one);
		assert_int_equal(drain(s), other);
		vchan_close(s);
		vchan_close(c);
	}
}

static void
test_close_with_data_in_flight_arrives(void **state)
{
	for (int both = 0; both < 2; both++) {
		struct vchan *s, *c;
		struct pollfd p;
		open_pair(&s, &c);
		if (both) /* the closing side has not read all: the kernel makes that a reset */
			assert_int_equal(vchan_write(c, "unread", 6), 6);
		const size_t n = fill(s, 65536);
		vchan_close(s);
		vchan_poll(c, POLLIN, &p);
		assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
		vchan_turn(c);
		assert_int_equal(vchan_state(c), VCHAN_CLOSED);
		assert_int_equal(vchan_write(c, "x", 1), -1);
		assert_int_equal(drain(c), n);
		char b;
		assert_int_equal(vchan_read(c, &b, 1), -1);
		vchan_poll(c, POLLIN, &p); /* nothing to spin on */
		assert_int_equal(poll(&p, 1, 0), 0);
		vchan_close(c);
	}
}

static void
test_write_to_a_closed_peer(void **state)
{
	struct vchan *s, *c;

	signal(SIGPIPE, SIG_DFL); /* would end us */
	open_pair(&s, &c);
	vchan_close(s);
	assert_int_equal(vchan_write(c, "x", 1), -1);
	assert_int_equal(vchan_state(c), VCHAN_CLOSED);
	vchan_close(c);
}

/*
 * QSB-010 was arithmetic on ring indices that the peer writes. Over sockets the kernel keeps the
 * indices; what is left is that no length of ours or count of the kernel's runs over: empty,
 * enormous, partial, many parts.
 */
static void
test_QSB_010_lengths(void **state)
{
	struct vchan *s, *c;
	static char big[1 << 22], back[1 << 22];
	struct iovec iov[2000];
	char b;

	open_pair(&s, &c);
	assert_int_equal(vchan_write(s, big, 0), 0);
	assert_int_equal(vchan_read(c, big, 0), 0);
	assert_int_equal(vchan_state(c), VCHAN_OPEN); /* 0 bytes are not an end */
	assert_int_equal(vchan_writev(s, iov, 0), 0);
	assert_int_equal(vchan_writev(s, iov, -1), 0);
	assert_int_equal(vchan_write(s, "x", 1), 1);
	assert_int_equal(vchan_read(c, &b, SIZE_MAX), 1); /* at most what is there is written */
	assert_int_equal(vchan_read(c, &b, (size_t)SSIZE_MAX + 1), 0);

	/* Partial writes continue where they stopped. */
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 2654435761u >> 24);
	for (size_t put = 0, got = 0; got < sizeof big;) {
		const ssize_t w =
		    put < sizeof big ? vchan_write(s, big + put, sizeof big - put) : 0;
		const ssize_t r = vchan_read(c, back + got, sizeof back - got);
		assert_true(w >= 0 && r >= 0 && (w > 0 || r > 0));
		put += (size_t)w;
		got += (size_t)r;
		assert_true(got <= put);
	}
	assert_memory_equal(big, back, sizeof big);

	/* More parts than the kernel takes at once: some of them. */
	for (size_t i = 0; i < 2000; i++)
		iov[i] = (struct iovec){&big[i], 1};
	assert_int_equal(vchan_writev(s, iov, 2000), IOV_MAX);
	assert_int_equal(vchan_read(c, back, sizeof back), IOV_MAX);
	assert_memory_equal(big, back, IOV_MAX);
	vchan_close(s);
	vchan_close(c);
}

static void
test_writev_keeps_order_and_is_not_split_when_there_is_room(void **state)
{
	struct vchan *s, *c;
	char b[16];
	const struct iovec iov[] = {{"head", 4}, {"", 0}, {"body", 4}};

	open_pair(&s, &c);
	assert_int_equal(vchan_writev(s, iov, 3), 8);
	assert_int_equal(vchan_read(c, b, sizeof b), 8);
	assert_memory_equal(b, "headbody", 8);
	vchan_close(s);
	vchan_close(c);
}

static void
test_directory_deeper_than_a_socket_address(void **state)
{
	char deep[512];
	int n = snprintf(deep, sizeof deep, "%s", dir);

	while (n < 250) {
		n += snprintf(deep + n, sizeof deep - (size_t)n, "/%040d", 0);
		assert_int_equal(mkdir(deep, 0755), 0);
	}
	for (int i = 0; i < 2; i++) {
		struct vchan *c = i ? vchan_open(VCHAN_CLIENT, deep, 1, 2, 3) : NULL;
		struct vchan *s = vchan_open(VCHAN_SERVER, deep, 2, 1, 3);
		if (!c)
			c = vchan_open(VCHAN_CLIENT, deep, 1, 2, 3);
		talk(s, c);
		vchan_close(s);
		vchan_close(c);
	}
	while (strlen(deep) > strlen(dir)) {
		assert_int_equal(rmdir(deep), 0); /* and nothing was left in it */
		*strrchr(deep, '/') = '\0';
	}
}

static void
test_names_and_environment(void **state)
{
	setenv("VCHAN_SOCKET_DIR", dir, 1);
	setenv("VCHAN_DOMAIN", "43", 1);
	struct vchan *s = vchan_open(VCHAN_SERVER, NULL, vchan_self(), 42, 7);
	assert_true(there(path(7)));
	vchan_close(s);
	unsetenv("VCHAN_DOMAIN");
	assert_int_equal(vchan_self(), 0);
	assert_null(vchan_open(VCHAN_SERVER, "/nonexistent", 1, 2, 3));
	assert_int_equal(errno, ENOENT);
}

/* The figure is for people (make bench); here only that nothing stalls. */
static void
test_throughput(void **state)
{
	static char buf[65536];
	const size_t total = (size_t)512 << 20;
	struct vchan *s, *c;

	open_pair(&s, &c);
	const uint64_t t = now_ms();
	const pid_t p = fork();
	if (p == 0) {
		for (size_t sum = 0; sum < total;) {
			struct pollfd q;
			const ssize_t n = vchan_write(s, buf, sizeof buf);
			if (n < 0)
				_exit(1);
			sum += (size_t)n;
			vchan_poll(s, POLLOUT, &q);
			if (n == 0)
				poll(&q, 1, LIMIT_MS);
		}
		_exit(0);
	}
	for (size_t sum = 0; sum < total;) {
		struct pollfd q;
		const ssize_t n = vchan_read(c, buf, sizeof buf);
		assert_true(n >= 0);
		sum += (size_t)n;
		vchan_poll(c, POLLIN, &q);
		if (n == 0)
			assert_int_equal(poll(&q, 1, LIMIT_MS), 1);
	}
	waitpid(p, NULL, 0);
	const uint64_t ms = now_ms() - t;
	print_message("# %zu MiB in %u ms: %u MiB/s\n", total >> 20, (unsigned)ms,
	    (unsigned)((total >> 20) * 1000 / (ms ? ms : 1)));
	assert_true(ms < LIMIT_MS);
	vchan_close(s);
	vchan_close(c);
}

static int
set_up(void **state)
{
	snprintf(dir, sizeof dir, "/tmp/t-vchan-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
	return rmdir(dir); /* no test leaves a name behind */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_server_first),
	    cmocka_unit_test(test_client_first),
	    cmocka_unit_test(test_cancelled_wait),
	    cmocka_unit_test(test_close_of_a_waiting_server_removes_the_name),
	    cmocka_unit_test(test_a_newer_server_keeps_its_name),
	    cmocka_unit_test(test_taken_listener_keeps_its_name),
	    cmocka_unit_test(test_taken_stream),
	    cmocka_unit_test(test_reused_port_never_meets_a_stale_listener),
	    cmocka_unit_test(test_one_connection_only),
	    cmocka_unit_test(test_peer_that_listens_late),
	    cmocka_unit_test(test_stale_name_of_a_stock_server),
	    cmocka_unit_test(test_waiting_does_not_spin),
	    cmocka_unit_test(test_polling_peer_is_never_refused),
	    cmocka_unit_test(test_64_KiB_each_way_without_a_reader),
	    cmocka_unit_test(test_close_with_data_in_flight_arrives),
	    cmocka_unit_test(test_write_to_a_closed_peer),
	    cmocka_unit_test(test_QSB_010_lengths),
	    cmocka_unit_test(test_writev_keeps_order_and_is_not_split_when_there_is_room),
	    cmocka_unit_test(test_directory_deeper_than_a_socket_address),
	    cmocka_unit_test(test_names_and_environment),
	    cmocka_unit_test(test_throughput),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
