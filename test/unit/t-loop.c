/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#include "loop.h"

static char order[64];
static bool many;

static struct loop *
fresh(void)
{
	struct loop *l = loop_new();

	assert_true(!many || loop_many(l));
	return l;
}

static void
note(struct loop *l, int fd, short revents, void *arg)
{
	const char *s = arg;

	(void)fd;
	(void)revents;
	strncat(order, s, sizeof(order) - strlen(order) - 1);
	if (*s == '!')
		loop_stop(l, 7);
}

static void
timers_in_order(void **state)
{
	struct loop *l = fresh();
	uint32_t gone;

	order[0] = '\0';
	loop_after(l, 30, note, "!");
	loop_after(l, 5, note, "b");
	gone = loop_after(l, 6, note, "x");
	loop_after(l, 5, note, "c");
	loop_after(l, 0, note, "a");
	loop_cancel(l, gone);
	loop_cancel(l, gone);
	loop_cancel(l, 0);
	assert_int_equal(loop_run(l), 7);
	assert_string_equal(order, "abc!");
	loop_free(l);
}

static int rounds;

static void
again(struct loop *l, int fd, short revents, void *arg)
{
	if (++rounds < 50)
		assert_true(loop_after(l, 0, again, arg) > 0);
	else
		loop_stop(l, 0);
}

static void
readable(struct loop *l, int fd, short revents, void *arg)
{
	++*(int *)arg;
}

static void
timer_without_delay_starves_nobody(void **state)
{
	struct loop *l = fresh();
	int p[2], seen = 0;

	rounds = 0;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_true(loop_add(l, p[0], POLLIN, readable, &seen));
	loop_after(l, 0, again, NULL);
	assert_int_equal(loop_run(l), 0);
	assert_true(seen >= 49);
	loop_free(l);
	close(p[0]);
	close(p[1]);
}

/*
 * Of two readable ends the first callback closes both, opens new pairs under the same numbers and
 * watches them: the new ones have nothing to read and must not be told so.
 */
struct swap {
	int a[2], b[2], told, stale;
};

static void
on_new(struct loop *l, int fd, short revents, void *arg)
{
	((struct swap *)arg)->stale++;
}

static void
on_old(struct loop *l, int fd, short revents, void *arg)
{
	struct swap *s = arg;
	int fresh[2], one = fd, other = fd == s->a[0] ? s->b[0] : s->a[0];

	s->told++;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fresh), 0);
	loop_del(l, one);
	loop_del(l, other);
	dup2(fresh[0], one); /* closes and takes the number */
	dup2(fresh[1], other);
	assert_true(loop_add(l, one, POLLIN, on_new, s));
	assert_true(loop_add(l, other, POLLIN, on_new, s));
	close(fresh[0]);
	close(fresh[1]);
	loop_after(l, 10, note, "!");
}

static void
reused_number_gets_no_stale_event(void **state)
{
	struct loop *l = fresh();
	struct swap s = {.told = 0};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s.b), 0);
	assert_int_equal(write(s.a[1], "x", 1), 1);
	assert_int_equal(write(s.b[1], "x", 1), 1);
	assert_true(loop_add(l, s.a[0], POLLIN, on_old, &s));
	assert_true(loop_add(l, s.b[0], POLLIN, on_old, &s));
	assert_int_equal(loop_run(l), 7);
	assert_int_equal(s.told, 1);
	assert_int_equal(s.stale, 0);
	loop_free(l);
	for (int i = 0; i < 2; i++) {
		close(s.a[i]);
		close(s.b[i]);
	}
}

static int other_fd;

static void
switch_off(struct loop *l, int fd, short revents, void *arg)
{
	++*(int *)arg;
	loop_set(l, fd, 0);
	loop_set(l, other_fd == fd ? fd : other_fd, 0);
	loop_after(l, 10, note, "!");
}

static void
event_switched_off_is_not_told(void **state)
{
	struct loop *l = fresh();
	int p[2], told = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
	assert_true(loop_add(l, p[0], POLLOUT, switch_off, &told));
	assert_true(loop_add(l, p[1], POLLOUT, switch_off, &told));
	other_fd = p[1];
	assert_int_equal(loop_run(l), 7);
	assert_int_equal(told, 1);
	assert_false(loop_add(l, -1, POLLIN, note, NULL));
	loop_del(l, -1);
	loop_del(l, 100000);
	loop_set(l, 100000, 0);
	loop_free(l);
	close(p[0]);
	close(p[1]);
}

static int left;

static void
one_of_many(struct loop *l, int fd, short revents, void *arg)
{
	int pair = *(int *)arg;

	loop_del(l, fd);
	close(fd);
	close(pair);
	if (--left == 0)
		loop_stop(l, 3);
}

static void
many_descriptors(void **state)
{
	enum { N = 1200 };
	struct rlimit r = {.rlim_cur = 2 * N + 64, .rlim_max = 2 * N + 64};
	struct loop *l;
	static int ends[N][2];

	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		skip();
	l = fresh();
	for (int i = 0; i < N; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
		assert_true(loop_add(l, ends[i][0], POLLIN, one_of_many, &ends[i][1]));
		assert_int_equal(write(ends[i][1], "x", 1), 1);
	}
	left = N;
	assert_int_equal(loop_run(l), 3);
	loop_free(l);
}

static void
on_sig(struct loop *l, int sig, short revents, void *arg)
{
	*(int *)arg += sig;
	if (sig == SIGUSR2)
		loop_stop(l, 0);
}

static void
signals(void **state)
{
	static const int sigs[] = {SIGUSR1, SIGUSR2};
	struct loop *l = fresh();
	int sum = 0;

	assert_true(loop_signals(l, sigs, 2, on_sig, &sum));
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(sum, SIGUSR1 + SIGUSR2);
	loop_stop(l, 5);
	assert_int_equal(loop_run(l), 5); /* stopped before it ran */
	assert_true(now_ms() >= loop_now(l));
	loop_free(l);
	loop_free(NULL);
}

static void
unseen(struct loop *l, int fd, short revents, void *arg)
{
	assert_int_equal(*(int *)arg, 0);
}

static void
stop_then(struct loop *l, int fd, short revents, void *arg)
{
	++*(int *)arg;
	loop_stop(l, 0);
}

/* A listener that rests is told of after a moment, and not before. */
static void
rest(void **state)
{
	struct loop *l = fresh();
	int p[2], seen = 0;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_true(loop_add(l, p[0], POLLIN, stop_then, &seen));
	loop_rest(l, p[0]);
	loop_after(l, LOOP_REST_MS - 1, unseen, &seen);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen, 1);
	loop_rest(l, p[0]);
	loop_del(l, p[0]); /* and one that is not watched any more stays so */
	loop_after(l, LOOP_REST_MS + 1, stop_then, &seen);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(seen, 2);
	loop_free(l);
	close(p[0]);
	close(p[1]);
}

static void
stop_it(struct loop *l, int fd, short revents, void *arg)
{
	assert_int_equal(fd, *(int *)arg);
	loop_stop(l, 1);
}

/* The tables grow for many and shrink for few; who is left, with the highest number, is served. */
static void
after_a_storm(void **state)
{
	struct loop *l = fresh();
	int fd[600], last = 599;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 600; i++) {
			fd[i] = eventfd(0, EFD_CLOEXEC);
			assert_true(fd[i] >= 0 && loop_add(l, fd[i], POLLIN, stop_it, &fd[last]));
			assert_true(loop_after(l, 60000, stop_it, NULL) > 0);
		}
		for (uint32_t id = 1; id <= 3 * 600; id++)
			loop_cancel(l, id);
		for (int i = 0; i < last; i++) {
			loop_del(l, fd[i]);
			close(fd[i]);
		}
		eventfd_write(fd[last], 1);
		assert_int_equal(loop_run(l), 1);
		loop_del(l, fd[last]);
		close(fd[last]);
	}
	loop_free(l);
}

/* A second of silence, with what is on the stack above kept. */
static void
after_silence(void **state)
{
	struct loop *l = fresh();
	volatile char mine[8192];
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	const struct itimerspec t = {.it_value = {.tv_sec = 1, .tv_nsec = 200000000}};

	memset((char *)(uintptr_t)mine, 7, sizeof(mine));
	assert_int_equal(timerfd_settime(fd, 0, &t, NULL), 0);
	assert_true(loop_add(l, fd, POLLIN, stop_it, &fd));
	assert_int_equal(loop_run(l), 1);
	for (size_t i = 0; i < sizeof(mine); i++)
		assert_int_equal(mine[i], 7);
	loop_del(l, fd);
	close(fd);
	loop_free(l);
}

static int
by_epoll(void **state)
{
	(void)state;
	many = true;
	return 0;
}

static int
by_poll(void **state)
{
	(void)state;
	many = false;
	return 0;
}

/* Each of them with poll, then with epoll. */
#define BOTH(test)                                                                                 \
	cmocka_unit_test(test),                                                                    \
	{                                                                                          \
#test " by epoll", test, by_epoll, by_poll, NULL                                   \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(timers_in_order),
	    BOTH(timer_without_delay_starves_nobody),
	    BOTH(reused_number_gets_no_stale_event),
	    BOTH(event_switched_off_is_not_told),
	    BOTH(many_descriptors),
	    BOTH(signals),
	    BOTH(after_a_storm),
	    BOTH(after_silence),
	    BOTH(rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
