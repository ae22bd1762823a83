/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "grant.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "sock.h"

#define AGAIN_MS 50

/* The references, for chand to read. -1: errno. */
static int
references(const uint32_t *refs, size_t n)
{
	const int fd = memfd_create("refs", MFD_CLOEXEC);

	if (fd < 0 || write(fd, refs, n * sizeof *refs) == (ssize_t)(n * sizeof *refs))
		return fd;
	close(fd);
	return -1;
}

/* NULL and a descriptor for mmap, or why not. */
static const char *
ask(int s, int refs, const char *request, uint64_t until, int *fd)
{
	static struct kv kv;
	const uint64_t now = now_ms();
	static char why[LOG_ESC_MAX];
	const char *bad, *reason;

	if (!sock_send_fd(s, request, strlen(request), refs))
		return KV_HUNG_UP;
	bad = kv_ask(s, "", 0, now < until ? (int)(until - now) : 0, &kv, fd);
	if (bad)
		return bad;
	if (*fd >= 0)
		return NULL;
	reason = kv_get(&kv, "reason");
	return reason ? log_escs(why, sizeof why, reason) : "refused by chand";
}

/* A chand that was killed is back soon (lib/chan.c). */
static const char *
ask_until(struct grant *g, int refs, const char *request, uint64_t until, int *fd)
{
	const char *bad;
	uint64_t now;

	for (;;) {
		now = now_ms();
		g->control = sock_connect_wait(CHAN_SOCK, now < until ? (int)(until - now) : 0);
		if (g->control < 0 && errno != ECONNREFUSED)
			return "cannot connect to chand";
		bad = g->control < 0 ? KV_HUNG_UP : ask(g->control, refs, request, until, fd);
		if (!bad)
			return NULL;
		if (g->control >= 0)
			close(g->control);
		if (strcmp(bad, KV_HUNG_UP) != 0 || now_ms() + AGAIN_MS >= until)
			return bad;
		poll(NULL, 0, AGAIN_MS);
	}
}

static const char *
open_on(struct grant *g, int refs, const char *request, int ms)
{
	int fd = -1;
	const char *bad = ask_until(g, refs, request, now_ms() + (uint64_t)ms, &fd);
	void *p;

	if (bad)
		return bad;
	p = mmap(NULL, g->len, PROT_READ, MAP_SHARED, fd, 0);
	close(fd); /* the mapping lives on */
	g->p = p;
	if (p != MAP_FAILED)
		return NULL;
	close(g->control);
	return "the qube does not grant these pages";
}

const char *
grant_open(struct grant *g, uint32_t domid, const uint32_t *refs, size_t n, int ms)
{
	char request[96];
	const char *bad;
	int fd;

	*g = (struct grant){.len = n * GRANT_PAGE, .control = -1};
	if (n == 0 || n > GRANT_PAGES_MAX)
		return "too many pages at once, or none";
	fd = references(refs, n);
	if (fd < 0)
		return "no memory";
	snprintf(request, sizeof request, "role=grants\npages=%zu\ndomid=%u\n\n", n, domid);
	bad = open_on(g, fd, request, ms);
	close(fd);
	if (bad)
		*g = (struct grant){.control = -1};
	return bad;
}

void
grant_close(struct grant *g)
{
	if (g->p)
		munmap((void *)(uintptr_t)g->p, g->len);
	if (g->control >= 0)
		close(g->control);
	*g = (struct grant){.control = -1};
}

static struct {
	struct grant of;
	volatile sig_atomic_t cut;
} reading;

static void
on_missing(int sig, siginfo_t *info, void *context)
{
	const uintptr_t from = (uintptr_t)reading.of.p,
			at = (uintptr_t)info->si_addr & ~(uintptr_t)(GRANT_PAGE - 1);

	(void)sig, (void)context;
	if (at < from || at - from >= reading.of.len ||
	    mmap((void *)at, from + reading.of.len - at, PROT_READ,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		_exit(111);
	reading.cut = 1;
}

void
grant_guard(void)
{
	const struct sigaction a = {.sa_sigaction = on_missing, .sa_flags = SA_SIGINFO};

	if (sigaction(SIGBUS, &a, NULL) < 0)
		die("sigaction");
}

void
grant_read(const struct grant *g)
{
	reading.of = *g;
	reading.cut = 0;
}

bool
grant_read_end(void)
{
	reading.of.len = 0;
	return reading.cut == 0;
}
