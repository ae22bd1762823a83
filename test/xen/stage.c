/* SPDX-License-Identifier: ISC */
/*
 * stage: for tests on Xen, in a qube, as root: an agent's end of the channel to guid, and its
 * pages, played by who holds our standard input and output (test/gui.py, Stage). Messages either
 * way: kind and length, 4 bytes each, then
 *
 *   OPEN                        a server on port 6000; OPEN comes back when guid has come
 *   DATA bytes                  to guid, and from it
 *   SHUT                        hangs up; from us: guid has
 *   PAGES peer n                comes back with a number of theirs and their references, or errno
 * alone WRITE number offset bytes FILL number stride x y w h color      offsets and sizes in pixels
 *   FREE number                 comes back
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "vchan.h"
#include "xen/drivers.h"

enum { OPEN = 1, DATA, SHUT, PAGES, WRITE, FILL, FREE };
#define PORT 6000
#define PAGE 4096u
#define MANY 4096
#define ROOM (1u << 20)

static struct {
	struct vchan *v;
	bool open;
	struct buf in, out, words;
	struct {
		uint32_t *p;
		size_t n;
		uint64_t index;
	} pages[MANY];
	uint32_t next;
	int alloc;
} s = {.in.max = ROOM, .out.max = ROOM, .words.max = ROOM};

static _Noreturn void
fail(const char *what)
{
	perror(what);
	exit(111);
}

static void
say(uint32_t kind, const void *p, size_t n)
{
	const uint32_t head[2] = {kind, (uint32_t)n};

	if (!buf_put(&s.out, head, sizeof head) || !buf_put(&s.out, p, n))
		fail("nobody listens");
}

static void
hang_up(void)
{
	vchan_close(s.v);
	s.v = NULL;
	s.open = false;
	buf_eat(&s.words, s.words.len);
}

static void
new_pages(uint32_t peer, uint32_t n)
{
	const size_t refs = offsetof(struct ioctl_gntalloc_alloc_gref, gref_ids);
	struct ioctl_gntalloc_alloc_gref *a = calloc(1, refs + 4 * (size_t)n);
	uint32_t *back = calloc(1, 4 + 4 * (size_t)n), at = s.next++ % MANY;
	uint32_t *p = MAP_FAILED;

	if (a == NULL || back == NULL)
		fail("memory");
	a->domid = (uint16_t)peer;
	a->count = n;
	if (driver(s.alloc, IOCTL_GNTALLOC_ALLOC_GREF, a) == 0)
		p = mmap(
		    NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, s.alloc, (off_t)a->index);
	*back = p == MAP_FAILED ? (uint32_t)errno : at;
	if (p != MAP_FAILED) {
		s.pages[at].p = p;
		s.pages[at].n = n;
		s.pages[at].index = a->index;
		memcpy(back + 1, (uint8_t *)a + refs, 4 * (size_t)n);
	}
	say(PAGES, back, p == MAP_FAILED ? 4 : 4 + 4 * (size_t)n);
	free(a);
	free(back);
}

static void
let_go(uint32_t at)
{
	struct ioctl_gntalloc_dealloc_gref d = {
	    .index = s.pages[at].index, .count = (uint32_t)s.pages[at].n};

	munmap(s.pages[at].p, s.pages[at].n * PAGE);
	if (driver(s.alloc, IOCTL_GNTALLOC_DEALLOC_GREF, &d) < 0)
		fail("gntalloc");
	say(FREE, &at, sizeof at);
}

static void
fill(const uint32_t *a)
{
	for (uint32_t y = a[3]; y < a[3] + a[5]; y++)
		for (uint32_t x = a[2]; x < a[2] + a[4]; x++)
			s.pages[a[0]].p[(size_t)y * a[1] + x] = a[6];
}

static void
obey(uint32_t kind, const uint8_t *p, size_t n)
{
	uint32_t a[7] = {0};

	memcpy(a, p, n < sizeof a ? n : sizeof a);
	switch (kind) {
	case OPEN:
		hang_up();
		s.v = vchan_open(VCHAN_SERVER, NULL, vchan_self(), 0, PORT);
		if (s.v == NULL)
			fail("the channel");
		break;
	case DATA:
		if (s.v != NULL)
			(void)buf_put(&s.words, p, n);
		break;
	case SHUT:
		hang_up();
		break;
	case PAGES:
		new_pages(a[0], a[1]);
		break;
	case WRITE:
		memcpy((uint8_t *)s.pages[a[0]].p + a[1], p + 8, n - 8);
		break;
	case FILL:
		fill(a);
		break;
	case FREE:
		let_go(a[0]);
		break;
	}
}

/* In order: what guid does not take yet keeps what comes after it. */
static void
obey_all(void)
{
	uint32_t head[2];

	while (s.words.len == 0 && s.in.len >= sizeof head) {
		memcpy(head, buf_bytes(&s.in), sizeof head);
		if (s.in.len < sizeof head + head[1])
			return;
		obey(head[0], buf_bytes(&s.in) + sizeof head, head[1]);
		buf_eat(&s.in, sizeof head + head[1]);
	}
}

static void
talk(void)
{
	static uint8_t bytes[65536];
	ssize_t n = 0;

	if (s.v == NULL)
		return;
	if (!s.open && vchan_state(s.v) != VCHAN_WAITING) {
		s.open = true;
		say(OPEN, NULL, 0);
	}
	while (s.open && s.words.len > 0 &&
	       (n = vchan_write(s.v, buf_bytes(&s.words), s.words.len)) > 0)
		buf_eat(&s.words, (size_t)n);
	n = 0;
	while (s.open && s.out.len < ROOM / 2 && (n = vchan_read(s.v, bytes, sizeof bytes)) > 0)
		say(DATA, bytes, (size_t)n);
	if (n < 0) {
		hang_up();
		say(SHUT, NULL, 0);
	}
}

int
main(void)
{
	s.alloc = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);
	if (s.alloc < 0)
		fail("gntalloc");
	for (int i = 0; i < 2; i++)
		fcntl(i, F_SETFL, fcntl(i, F_GETFL) | O_NONBLOCK);
	for (;;) {
		struct pollfd f[3] = {
		    {.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}, {.fd = -1}};

		obey_all();
		talk();
		if (s.words.len == 0 && s.in.len > 0 && s.v != NULL)
			obey_all();
		if (buf_write_fd(&s.out, 1) < 0)
			return 0;
		if (buf_room(&s.in) == 0 || s.words.len > 0)
			f[0].fd = -1;
		if (s.out.len == 0)
			f[1].fd = -1;
		if (s.v != NULL)
			vchan_poll(s.v,
			    (short)((s.out.len < ROOM / 2 ? POLLIN : 0) |
				    (s.words.len > 0 ? POLLOUT : 0)),
			    &f[2]);
		if (poll(f, 3, -1) < 0 && errno != EINTR)
			fail("poll");
		if (f[2].revents != 0)
			vchan_turn(s.v);
		if (f[0].revents != 0 && buf_read_fd(&s.in, 0, 65536) == 0)
			return 0;
	}
}
