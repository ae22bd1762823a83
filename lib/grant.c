/* SPDX-License-Identifier: ISC */
#include <errno.h>
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
	char esc[LOG_ESC_MAX];
	const char *bad, *reason;

	if (!sock_send_fd(s, request, strlen(request), refs))
		return "cannot ask chand";
	bad = kv_ask(s, "", 0, now < until ? (int)(until - now) : 0, &kv, fd);
	if (bad)
		return bad;
	if (*fd >= 0)
		return NULL;
	reason = kv_get(&kv, "reason");
	logit(
	    "chand: no pages: %s", reason ? log_escs(esc, sizeof esc, reason) : "no reason given");
	return "refused by chand";
}

static const char *
open_on(struct grant *g, int refs, const char *request, int ms)
{
	const uint64_t until = now_ms() + (uint64_t)ms;
	const char *bad;
	int fd = -1;
	void *p;

	g->control = sock_connect_wait(CHAN_SOCK, ms);
	if (g->control < 0)
		return "cannot connect to chand";
	bad = ask(g->control, refs, request, until, &fd);
	if (!bad) {
		p = mmap(NULL, g->len, PROT_READ, MAP_SHARED, fd, 0);
		close(fd); /* the mapping lives on */
		g->p = p;
		if (p != MAP_FAILED)
			return NULL;
		bad = "the qube does not grant these pages";
	}
	close(g->control);
	return bad;
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
