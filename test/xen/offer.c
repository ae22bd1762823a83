/* SPDX-License-Identifier: ISC */
/*
 * offer FIRST LAST DOMID...: in a qube, as root: a server for each of the domains on each of the
 * ports, which has said hello and that there is no input before anybody comes; another when that
 * one was used. So whatever a domain is led to start for us finds us. Says "up"; ends with its
 * input.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vchan.h"
#include "xen/end.h"
#include "xen/ring.h"
#include "xen/store.h"

static const uint32_t words[] = {
    0x300, 4, 3, 0x190, 0}; /* MSG_HELLO, MSG_DATA_STDIN (spec/qrexec 5) */

static _Noreturn void
fail(const char *what)
{
	perror(what);
	exit(111);
}

struct offer {
	uint32_t peer, port;
	ring_page *page;
};

#define OFFERS_MAX 1024
static struct offer offers[OFFERS_MAX];
static struct pollfd fds[OFFERS_MAX + 1];
static size_t n;

static void
one(struct store *s, uint32_t self, size_t at)
{
	const uint32_t peer = offers[at].peer, port = offers[at].port;
	struct end e;
	struct ring r;
	uint32_t gref, event;
	char path[STORE_PATH_MAX];
	ring_page *page;

	if (!end_serve(&e, peer, END_ORDER_MIN, &gref, &event))
		fail("end_serve");
	page = mmap(NULL, RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, e.mem, (off_t)e.ctl);
	if (page == MAP_FAILED)
		fail("mmap");
	ring_open(&r, page, NULL, e.right_order, false, true);
	ring_put(&r, words, sizeof words);
	close(e.mem); /* the mapping holds the page, our descriptor the event channel */
	offers[at].page = page;
	fds[at] = (struct pollfd){.fd = e.evtchn, .events = POLLIN};
	snprintf(path, sizeof path,
	    "/local/domain/%" PRIu32 "/data/vchan/%" PRIu32 "/%" PRIu32 "/ring-ref", self, peer,
	    port);
	if (!store_write(s, 0, path, "%" PRIu32, gref))
		fail(path);
	snprintf(path, sizeof path,
	    "/local/domain/%" PRIu32 "/data/vchan/%" PRIu32 "/%" PRIu32 "/event-channel", self,
	    peer, port);
	if (!store_write(s, 0, path, "%" PRIu32, event))
		fail(path);
}

/* Somebody came, or has gone: then the next finds another. */
static void
look(struct store *s, uint32_t self, size_t at)
{
	uint32_t port;

	if (read(fds[at].fd, &port, sizeof port) == (ssize_t)sizeof port)
		(void)!write(fds[at].fd, &port, sizeof port);
	if (offers[at].page->cli_live != 0)
		return;
	munmap((void *)(uintptr_t)offers[at].page, RING_PAGE);
	close(fds[at].fd);
	one(s, self, at);
}

int
main(int argc, char **argv)
{
	struct store *s = store_open();
	const uint32_t self = vchan_self();
	struct rlimit many = {4096, 4096};
	char path[STORE_PATH_MAX], byte;

	if (argc < 4 || !s)
		fail("offer FIRST LAST DOMID...");
	setrlimit(RLIMIT_NOFILE, &many);
	for (int i = 3; i < argc; i++) {
		const uint32_t peer = (uint32_t)atoi(argv[i]);

		/* What is below has the same owner and reader. */
		snprintf(
		    path, sizeof path, "/local/domain/%" PRIu32 "/data/vchan/%" PRIu32, self, peer);
		store_rm(s, 0, path);
		if (!store_mkdir(s, 0, path) || !store_own(s, 0, path, self, peer))
			fail(path);
		for (int port = atoi(argv[1]); port <= atoi(argv[2]); port++)
			if (n < OFFERS_MAX) {
				offers[n] = (struct offer){.peer = peer, .port = (uint32_t)port};
				one(s, self, n++);
			}
	}
	if (write(1, "up\n", 3) != 3)
		return 111;
	fds[n] = (struct pollfd){.events = POLLIN};
	while (poll(fds, n + 1, -1) >= 0 && (fds[n].revents == 0 || read(0, &byte, 1) > 0))
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents != 0)
				look(s, self, i);
	for (int i = 3; i < argc; i++) {
		snprintf(
		    path, sizeof path, "/local/domain/%" PRIu32 "/data/vchan/%s", self, argv[i]);
		store_rm(s, 0, path);
	}
	return 0;
}
