/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

#define TABLE_MIN 16 /* places in a table */
#define QUIET_MS 1000
#define STACK_LOOK 65536
#define EVENTS 64 /* of one wait, with loop_many */

struct watch {
	loop_fn *fn;
	void *arg;
};

struct timer {
	uint64_t when;
	uint32_t id;
	loop_fn *fn;
	void *arg;
};

struct sigs {
	struct sigs *next;
	int fd;
	loop_fn *fn;
	void *arg;
};

/*
 * pfd[] and watch[] run in parallel; at[fd] is the place there, or -1. A deleted place stays as a
 * hole (fd -1) until the next poll, and what is added goes to the end with no revents: so a
 * callback may change anything, and a number that is closed and used again in one round never gets
 * the old one's events.
 */
struct loop {
	struct pollfd *pfd;
	struct watch *watch;
	size_t n, cap, holes;
	int *at;
	size_t nat;
	struct timer *timer; /* the next one last */
	size_t ntimers, timer_cap;
	uint32_t last_id;
	uint64_t now;
	struct sigs *sigs;
	int ep; /* -1: poll */
	bool stop;
	int code;
};

uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct loop *
loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		die("loop");
	l->now = now_ms();
	l->ep = -1;
	return l;
}

bool
loop_many(struct loop *l)
{
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	return l->ep >= 0;
}

/* The bits of poll and epoll are the same. */
static bool
tell(const struct loop *l, int op, int fd, short events)
{
	struct epoll_event e = {.events = (uint32_t)events, .data.fd = fd};

	return l->ep < 0 || epoll_ctl(l->ep, op, fd, &e) == 0;
}

void
loop_free(struct loop *l)
{
	struct sigs *s;

	if (l == NULL)
		return;
	while ((s = l->sigs) != NULL) {
		l->sigs = s->next;
		close(s->fd);
		free(s);
	}
	if (l->ep >= 0)
		close(l->ep);
	free(l->pfd);
	free(l->watch);
	free(l->at);
	free(l->timer);
	free(l);
}

static int
place(const struct loop *l, int fd)
{
	return fd >= 0 && (size_t)fd < l->nat ? l->at[fd] : -1;
}

/* Room for one more watch, of descriptor fd. */
static bool
grow(struct loop *l, int fd)
{
	size_t cap = l->cap > 0 ? l->cap * 2 : TABLE_MIN, nat = l->nat > 0 ? l->nat : TABLE_MIN;
	void *p;

	while (nat <= (size_t)fd)
		nat *= 2;
	if (nat > l->nat) {
		p = realloc(l->at, nat * sizeof(*l->at));
		if (p == NULL)
			return false;
		l->at = p;
		for (; l->nat < nat; l->nat++)
			l->at[l->nat] = -1;
	}
	if (l->n < l->cap)
		return true;
	p = realloc(l->pfd, cap * sizeof(*l->pfd));
	if (p == NULL)
		return false;
	l->pfd = p;
	p = realloc(l->watch, cap * sizeof(*l->watch));
	if (p == NULL)
		return false;
	l->watch = p;
	l->cap = cap;
	return true;
}

bool
loop_add(struct loop *l, int fd, short events, loop_fn *fn, void *arg)
{
	if (fd < 0 || !grow(l, fd))
		return false;
	loop_del(l, fd);
	if (!tell(l, EPOLL_CTL_ADD, fd, events))
		return false;
	l->pfd[l->n] = (struct pollfd){.fd = fd, .events = events};
	l->watch[l->n] = (struct watch){.fn = fn, .arg = arg};
	l->at[fd] = (int)l->n++;
	return true;
}

void
loop_set(struct loop *l, int fd, short events)
{
	int i = place(l, fd);

	if (i < 0 || l->pfd[i].events == events)
		return;
	l->pfd[i].events = events;
	tell(l, EPOLL_CTL_MOD, fd, events);
}

void
loop_del(struct loop *l, int fd)
{
	int i = place(l, fd);

	if (i < 0)
		return;
	tell(l, EPOLL_CTL_DEL, fd, 0);
	l->pfd[i].fd = -1;
	l->at[fd] = -1;
	l->holes++;
}

/* It may stay as large as it was. */
static void *
smaller(void *table, size_t size)
{
	void *p = realloc(table, size);

	if (p == NULL)
		return table;
	return p;
}

/* After a storm: what a few need. top: the highest descriptor. */
static void
shrink(struct loop *l, int top)
{
	size_t nat = TABLE_MIN, cap = TABLE_MIN;

	while (nat <= (size_t)top)
		nat *= 2;
	while (cap < l->n)
		cap *= 2;
	if (l->nat >= 4 * nat) {
		l->at = smaller(l->at, nat * sizeof(*l->at));
		l->nat = nat;
	}
	if (l->cap >= 4 * cap) {
		l->pfd = smaller(l->pfd, cap * sizeof(*l->pfd));
		l->watch = smaller(l->watch, cap * sizeof(*l->watch));
		l->cap = cap;
	}
	if (l->timer_cap >= 4 * TABLE_MIN && l->ntimers < TABLE_MIN) {
		l->timer = smaller(l->timer, TABLE_MIN * sizeof(*l->timer));
		l->timer_cap = TABLE_MIN;
	}
}

static void
close_holes(struct loop *l)
{
	size_t to = 0;
	int top = 0;

	if (l->holes == 0)
		return;
	for (size_t i = 0; i < l->n; i++) {
		if (l->pfd[i].fd < 0)
			continue;
		l->pfd[to] = l->pfd[i];
		l->watch[to] = l->watch[i];
		l->at[l->pfd[to].fd] = (int)to;
		if (l->pfd[to].fd > top)
			top = l->pfd[to].fd;
		to++;
	}
	l->n = to;
	l->holes = 0;
	shrink(l, top);
}

uint32_t
loop_after(struct loop *l, uint64_t ms, loop_fn *fn, void *arg)
{
	uint64_t now = now_ms(), when = ms > UINT64_MAX - now ? UINT64_MAX : now + ms;
	size_t i = 0, cap = l->timer_cap > 0 ? l->timer_cap * 2 : 8;
	struct timer *t;

	if (l->ntimers == l->timer_cap) {
		t = realloc(l->timer, cap * sizeof(*t));
		if (t == NULL)
			return 0;
		l->timer = t;
		l->timer_cap = cap;
	}
	while (i < l->ntimers && l->timer[i].when > when)
		i++;
	t = &l->timer[i];
	memmove(t + 1, t, (l->ntimers - i) * sizeof(*t));
	l->ntimers++;
	if (++l->last_id == 0)
		l->last_id = 1;
	*t = (struct timer){.when = when, .id = l->last_id, .fn = fn, .arg = arg};
	return t->id;
}

void
loop_cancel(struct loop *l, uint32_t id)
{
	for (size_t i = 0; id != 0 && i < l->ntimers; i++) {
		if (l->timer[i].id != id)
			continue;
		l->ntimers--;
		memmove(&l->timer[i], &l->timer[i + 1], (l->ntimers - i) * sizeof(*l->timer));
		return;
	}
}

uint64_t
loop_now(const struct loop *l)
{
	return l->now;
}

static void
on_rested(struct loop *l, int fd, short revents, void *arg)
{
	(void)fd;
	(void)revents;
	loop_set(l, (int)(intptr_t)arg, POLLIN);
}

void
loop_rest(struct loop *l, int fd)
{
	if (loop_after(l, LOOP_REST_MS, on_rested, (void *)(intptr_t)fd) != 0)
		loop_set(l, fd, 0);
}

static void
on_signal(struct loop *l, int fd, short revents, void *arg)
{
	struct sigs *s = arg;
	struct signalfd_siginfo si;

	(void)revents;
	while (!l->stop && read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		s->fn(l, (int)si.ssi_signo, 0, s->arg);
}

bool
loop_signals(struct loop *l, const int *sigs, int n, loop_fn *fn, void *arg)
{
	struct sigs *s = calloc(1, sizeof(*s));
	sigset_t set;

	if (s == NULL)
		return false;
	sigemptyset(&set);
	for (int i = 0; i < n; i++)
		sigaddset(&set, sigs[i]);
	s->fn = fn;
	s->arg = arg;
	s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    !loop_add(l, s->fd, POLLIN, on_signal, s)) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return false;
	}
	s->next = l->sigs;
	l->sigs = s;
	return true;
}

static int
timeout(const struct loop *l)
{
	uint64_t when, now = now_ms();

	if (l->ntimers == 0)
		return -1;
	when = l->timer[l->ntimers - 1].when;
	if (when <= now)
		return 0;
	return when - now > INT_MAX ? INT_MAX : (int)(when - now);
}

/* Those due at the wake-up; one that a callback adds waits for the next round, even with 0 ms. */
static void
run_timers(struct loop *l)
{
	uint32_t last = l->last_id;
	struct timer t;

	while (!l->stop && l->ntimers > 0) {
		t = l->timer[l->ntimers - 1];
		if (t.when > l->now || (int32_t)(t.id - last) > 0)
			return;
		l->ntimers--;
		t.fn(l, -1, 0, t.arg);
	}
}

static void
run_watches(struct loop *l)
{
	size_t n = l->n;

	for (size_t i = 0; i < n && !l->stop; i++) {
		const struct pollfd p = l->pfd[i];
		const struct watch w = l->watch[i];
		/* what another callback has just switched off is not told */
		short what = p.revents & (short)(p.events | POLLERR | POLLHUP | POLLNVAL);

		l->pfd[i].revents = 0; /* epoll names only those with news */
		if (p.fd >= 0 && what != 0)
			w.fn(l, p.fd, what, w.arg);
	}
}

static int
wait_for(struct loop *l, int ms)
{
	struct epoll_event e[EVENTS];
	int n;

	if (l->ep < 0)
		return poll(l->pfd, l->n, ms);
	n = epoll_wait(l->ep, e, EVENTS, ms);
	for (int i = 0; i < n; i++)
		if (place(l, e[i].data.fd) >= 0)
			l->pfd[place(l, e[i].data.fd)].revents = (short)e[i].events;
	return n;
}

/*
 * Set-up and a busy hour need a deep stack, waiting a shallow one: the pages below are given back.
 * Where less than STACK_LOOK of it is mapped, the kernel skips the rest.
 */
static __attribute__((noinline)) void
drop_stack(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	/* madvise itself has its frame below ours */
	const uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - 1024) & ~(page - 1);

	madvise((void *)(end - STACK_LOOK), STACK_LOOK, MADV_DONTNEED);
}

int
loop_run(struct loop *l)
{
	/* Nothing has happened for QUIET_MS, and nothing will by itself. With epoll once is enough:
	 * a wait with a limit sets the processor's timer. */
	bool tidy = l->ep >= 0;

	if (tidy)
		drop_stack();
	while (!l->stop) {
		int ms, n;

		close_holes(l);
		ms = timeout(l);
		n = wait_for(l, ms < 0 && !tidy ? QUIET_MS : ms);
		if (n < 0) {
			if (errno != EINTR && errno != EAGAIN)
				die("poll");
			continue;
		}
		if (n == 0 && ms < 0) {
			drop_stack();
			tidy = true;
			continue;
		}
		tidy = l->ep >= 0;
		l->now = now_ms();
		run_timers(l);
		run_watches(l);
	}
	l->stop = false;
	return l->code;
}

void
loop_stop(struct loop *l, int code)
{
	l->stop = true;
	l->code = code;
}
