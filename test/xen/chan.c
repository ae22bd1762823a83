/* SPDX-License-Identifier: ISC */
/*
 * What the channels' tests on Xen need: either end of a channel, decent or hostile, and a qube that
 * obeys. Each command prints one line, "ok ..." or what was wrong.
 *
 *   chan obey                          runs what stands in data/cmd, puts the status into data/rc
 *   chan send|recv ROLE PEER PORT N    N bytes of a pattern; recv checks them and the end after
 * them chan echo ROLE PEER PORT           sends back what comes, until the end chan ping ROLE PEER
 * PORT N         N bytes to an echo and back, checked chan late ROLE PEER PORT N         lets the
 * peer close first, then reads N bytes chan hold ROLE PEER PORT           until the channel ends
 *   chan bundle PEER PORT N            ping by a descriptor alone: another uid, a system-call
 * filter chan evil PEER PORT KIND           a server whose page is, or becomes, nonsense
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chan.filter.h"
#include "loop.h"
#include "names.h"
#include "sandbox.h"
#include "vchan.h"
#include "xen/end.h"
#include "xen/ring.h"
#include "xen/store.h"

#define WAIT_MS 120000
#define SOMEBODY 4242

static uint64_t seed = 88172645463325252u;
static uint8_t buf[65536];

static void
turn(struct vchan *v, short want)
{
	struct pollfd p;

	vchan_poll(v, want, &p);
	if (poll(&p, 1, WAIT_MS) != 1) {
		puts("nothing comes any more");
		exit(1);
	}
	vchan_turn(v);
}

static void
pattern(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		p[i] = (uint8_t)seed;
	}
}

static int
say(bool ok, const char *what)
{
	printf("%s%s\n", ok ? "ok " : "", what);
	fflush(stdout);
	return ok ? 0 : 1;
}

static int
do_send(struct vchan *v, uint64_t n)
{
	while (n > 0) {
		const size_t some = n < sizeof buf ? (size_t)n : sizeof buf;
		pattern(buf, some);
		for (size_t done = 0; done < some;) {
			const ssize_t r = vchan_write(v, buf + done, some - done);
			if (r < 0)
				return say(false, "the peer has gone");
			done += (size_t)r;
			if (r == 0)
				turn(v, POLLOUT);
		}
		n -= some;
	}
	return say(true, "sent");
}

static int
do_recv(struct vchan *v, uint64_t n)
{
	static uint8_t expected[sizeof buf];
	uint64_t got = 0;
	ssize_t r;

	while ((r = vchan_read(v, buf, sizeof buf)) >= 0) {
		pattern(expected, (size_t)r);
		if (memcmp(buf, expected, (size_t)r) != 0)
			return say(false, "wrong bytes");
		got += (uint64_t)r;
		if (r == 0)
			turn(v, POLLIN);
	}
	if (got == n)
		return say(true, "all there, then the end");
	printf("%" PRIu64 " bytes came, not %" PRIu64 "\n", got, n);
	return 1;
}

static int
do_echo(struct vchan *v)
{
	size_t have = 0;

	for (;;) {
		const ssize_t r = have ? 0 : vchan_read(v, buf, sizeof buf);
		if (r < 0)
			return say(true, "echoed");
		have += (size_t)r;
		if (have == 0) {
			turn(v, POLLIN);
			continue;
		}
		const ssize_t w = vchan_write(v, buf, have);
		if (w < 0)
			return say(true, "echoed, the peer left early");
		memmove(buf, buf + w, have - (size_t)w);
		have -= (size_t)w;
		if (have > 0)
			turn(v, POLLOUT);
	}
}

/* Both ways at once: never waits with room or data left. */
static int
do_ping(struct vchan *v, uint64_t n)
{
	static uint8_t out[3000], in[sizeof out];
	uint64_t sent = 0, got = 0, s_out = seed, s_in = seed;
	size_t have = 0, off = 0;

	while (got < n) {
		bool moved = false;
		if (have == off && sent + off < n) {
			seed = s_out;
			pattern(out, sizeof out);
			s_out = seed;
			off = 0;
			have = n - sent < sizeof out ? (size_t)(n - sent) : sizeof out;
		}
		if (have > off) {
			const ssize_t w = vchan_write(v, out + off, have - off);
			if (w < 0)
				return say(false, "the peer has gone");
			off += (size_t)w;
			moved = w > 0;
			if (off == have) {
				sent += have;
				have = off = 0;
			}
		}
		const ssize_t r = vchan_read(v, buf, sizeof in);
		if (r < 0)
			return say(false, "the peer has gone");
		seed = s_in;
		pattern(in, (size_t)r);
		s_in = seed;
		if (memcmp(in, buf, (size_t)r) != 0)
			return say(false, "wrong bytes");
		got += (uint64_t)r;
		if (!moved && r == 0)
			turn(v, (short)(POLLIN | (have > off ? POLLOUT : 0)));
	}
	return say(true, "pinged");
}

static int
do_late(struct vchan *v, uint64_t n)
{
	while (vchan_state(v) == VCHAN_OPEN) {
		struct pollfd p;
		vchan_poll(v, 0, &p);
		poll(&p, 1, WAIT_MS);
		vchan_turn(v);
	}
	return do_recv(v, n);
}

static int
do_hold(struct vchan *v)
{
	const uint64_t began = now_ms();

	puts("open");
	fflush(stdout);
	while (vchan_state(v) == VCHAN_OPEN)
		turn(v, POLLIN);
	printf("ok ended after %" PRIu64 " ms\n", now_ms() - began);
	return 0;
}

static int
talk(const char *what, struct vchan *v, uint64_t n)
{
	int rc = 100;

	if (!v)
		return say(false, strerror(errno));
	if (!vchan_wait(v, WAIT_MS, -1))
		rc = say(false, "nobody came");
	else if (strcmp(what, "send") == 0)
		rc = do_send(v, n);
	else if (strcmp(what, "recv") == 0)
		rc = do_recv(v, n);
	else if (strcmp(what, "echo") == 0)
		rc = do_echo(v);
	else if (strcmp(what, "ping") == 0)
		rc = do_ping(v, n);
	else if (strcmp(what, "late") == 0)
		rc = do_late(v, n);
	else if (strcmp(what, "hold") == 0)
		rc = do_hold(v);
	vchan_close(v);
	return rc;
}

static void
node_of(char path[STORE_PATH_MAX], uint32_t server, uint32_t client, uint32_t port, const char *x)
{
	snprintf(path, STORE_PATH_MAX,
	    "/local/domain/%" PRIu32 "/data/vchan/%" PRIu32 "/%" PRIu32 "%s", server, client, port,
	    x);
}

/* As chand and a daemon do it: one makes the end, the other gets a descriptor and is nobody. */
static int
bundle(uint32_t peer, uint32_t port, uint64_t n)
{
	const uint64_t until = now_ms() + WAIT_MS;
	struct store *s = store_open();
	char path[STORE_PATH_MAX];
	uint32_t gref, event;
	struct end e;
	bool ok = false;
	int fd, st;

	while (s && !ok && now_ms() < until) {
		node_of(path, peer, 0, port, "/ring-ref");
		ok = store_number(s, 0, path, UINT32_MAX, &gref);
		node_of(path, peer, 0, port, "/event-channel");
		ok = ok && store_number(s, 0, path, UINT32_MAX, &event) &&
		     end_call(&e, peer, gref, event);
		if (!ok)
			poll(NULL, 0, 50);
	}
	store_close(s);
	if (!ok)
		return say(false, strerror(errno));
	fd = end_pack(&e);
	if (fd < 0)
		return say(false, strerror(errno));
	if (fork() == 0) {
		const struct sandbox sb = {
		    .uid = SOMEBODY, .filter = chan_filter, .nfilter = chan_filter_len};
		sandbox_enter(&sb);
		_exit(talk("ping", vchan_take(VCHAN_CLIENT, fd), n));
	}
	close(fd);
	wait(&st);
	return WIFEXITED(st) ? WEXITSTATUS(st) : say(false, "killed");
}

struct evil {
	const char *kind;
	void (*before)(ring_page *page), (*after)(ring_page *page);
};

static void
big_order(ring_page *p)
{
	p->left_order = 17;
}

static void
no_order(ring_page *p)
{
	p->right_order = 0;
}

static void
same_place(ring_page *p)
{
	p->left_order = p->right_order = 10;
}

static void
taken(ring_page *p)
{
	p->cli_live = 1;
}

static void
bad_grants(ring_page *p)
{
	memset((uint8_t *)(uintptr_t)p + sizeof *p, 0x5a, 128);
}

static void
prod_far(ring_page *p)
{
	p->right.prod = p->right.cons + 65537;
}

static void
prod_back(ring_page *p)
{
	p->right.prod = p->right.cons - 1;
}

static void
cons_ahead(ring_page *p)
{
	p->left.cons = p->left.prod + 1;
}

static void
live_noise(ring_page *p)
{
	p->srv_live = 0x80;
}

static const struct evil evils[] = {
    {"big-order", big_order, NULL},
    {"no-order", no_order, NULL},
    {"same-place", same_place, NULL},
    {"taken", taken, NULL},
    {"bad-grants", bad_grants, NULL},
    {"prod-far", NULL, prod_far},
    {"prod-back", NULL, prod_back},
    {"cons-ahead", NULL, cons_ahead},
    {"live-noise", NULL, live_noise},
};

static bool
publish(struct store *s, uint32_t self, uint32_t peer, uint32_t port, uint32_t gref, uint32_t event)
{
	char path[STORE_PATH_MAX];
	bool ok;

	node_of(path, self, peer, port, "/ring-ref");
	ok = store_write(s, 0, path, "%" PRIu32, gref) && store_own(s, 0, path, self, peer);
	node_of(path, self, peer, port, "/event-channel");
	return ok && store_write(s, 0, path, "%" PRIu32, event) &&
	       store_own(s, 0, path, self, peer);
}

/* The nonsense stays for a while, then nodes and page go. */
static int
evil(uint32_t peer, uint32_t port, const char *kind)
{
	const uint32_t self = vchan_self();
	struct store *s = store_open();
	const struct evil *x = NULL;
	char path[STORE_PATH_MAX];
	uint32_t gref, event;
	struct end e;
	ring_page *page;
	const uint64_t until = now_ms() + WAIT_MS;

	for (size_t i = 0; i < sizeof evils / sizeof evils[0]; i++)
		if (strcmp(evils[i].kind, kind) == 0)
			x = &evils[i];
	if (!x || !s || !end_serve(&e, peer, 16, &gref, &event))
		return say(false, strerror(errno));
	page = mmap(NULL, RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, e.mem, (off_t)e.ctl);
	if (page == MAP_FAILED)
		return say(false, strerror(errno));
	if (x->before)
		x->before(page);
	if (!publish(s, self, peer, port, gref, event))
		return say(false, strerror(errno));
	while (x->after && page->cli_live == 2 && now_ms() < until)
		poll(NULL, 0, 5);
	for (int i = 0; x->after && i < 50; i++) {
		x->after(page);
		poll(NULL, 0, 20);
	}
	if (x->before)
		poll(NULL, 0, 3000);
	node_of(path, self, peer, port, "");
	store_rm(s, 0, path);
	return say(true, kind);
}

static int
obey(void)
{
	static char cmd[STORE_VALUE_MAX];
	char path[STORE_PATH_MAX], token[64];
	struct store *s = store_open();

	if (!s || !store_watch(s, "data/cmd", "cmd"))
		return say(false, strerror(errno));
	for (;;) {
		struct pollfd p = {.fd = store_fd(s), .events = POLLIN};
		poll(&p, 1, -1);
		while (store_event(s, path, token) > 0)
			;
		if (store_read(s, 0, "data/cmd", cmd, sizeof cmd) <= 0 ||
		    !store_rm(s, 0, "data/cmd"))
			continue;
		store_write(s, 0, "data/rc", "%d", system(cmd));
	}
}

int
main(int argc, char **argv)
{
	uint32_t a = 0, b = 0, n = 0;
	const char *what = argc > 1 ? argv[1] : "";
	const bool role = argc > 4 && strcmp(what, "bundle") != 0 && strcmp(what, "evil") != 0;
	char **rest = argv + (role ? 3 : 2);

	if (strcmp(what, "obey") == 0)
		return obey();
	if (argc < (role ? 5 : 4) || !parse_u32(rest[0], UINT32_MAX, &a) ||
	    !parse_u32(rest[1], UINT32_MAX, &b))
		return 100;
	if (strcmp(what, "evil") == 0)
		return argc == 5 ? evil(a, b, argv[4]) : 100;
	if (rest[2] && !parse_u32(rest[2], UINT32_MAX, &n))
		return 100;
	if (strcmp(what, "bundle") == 0)
		return bundle(a, b, n);
	return talk(what,
	    vchan_open(argv[2][0] == 's' ? VCHAN_SERVER : VCHAN_CLIENT, NULL, vchan_self(), a, b),
	    n);
}
