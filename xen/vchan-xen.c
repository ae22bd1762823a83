/* SPDX-License-Identifier: ISC */
/*
 * vchan.h over shared pages and event channels. A mapped end sleeps on its event channel's
 * descriptor; "ready at once" is the same descriptor polled for POLLOUT, which it always is. An end
 * that was opened by name keeps its connection to xenstore: a client waits there for the server's
 * nodes, and either side learns there that the nodes were removed, by the server or by who cleaned
 * up after a domain that died (which sends no event).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "vchan.h"
#include "xen/drivers.h"
#include "xen/end.h"
#include "xen/ring.h"
#include "xen/store.h"

#define STORE_EVERY 16 /* turns, while the event channel keeps us busy */

struct vchan {
	enum vchan_role role;
	enum vchan_state state;
	bool drained; /* CLOSED and empty: nothing will ever come */
	bool asleep;  /* the last poll was for an event: take it */
	bool owed;    /* something was read and the peer has not been told yet */
	int evtchn;
	uint32_t port;
	ring_page *page;
	struct ring rd, wr;
	/* By name. */
	struct store *store;
	int both; /* an epoll over the store and the event channel */
	unsigned turns;
	uint32_t peer;
	uint32_t event;		   /* as our node says */
	char node[STORE_PATH_MAX]; /* without the last part */
};

static bool
is_server(const struct vchan *v)
{
	return v->role == VCHAN_SERVER;
}

static struct vchan *
new_end(enum vchan_role role)
{
	struct vchan *v = calloc(1, sizeof *v);

	if (!v)
		return NULL;
	v->role = role;
	v->evtchn = v->both = -1;
	return v;
}

static void
tell(const struct vchan *v)
{
	struct ioctl_evtchn_notify n = {.port = v->port};

	driver(v->evtchn, IOCTL_EVTCHN_NOTIFY, &n);
}

static void *
map(int fd, uint64_t at, size_t pages, int prot)
{
	void *p = mmap(NULL, pages * RING_PAGE, prot, MAP_SHARED, fd, (off_t)at);

	if (p == MAP_FAILED)
		return NULL;
	/* Who is forked must not keep the peer's domain from going. */
	if (madvise(p, pages * RING_PAGE, MADV_DONTFORK) == 0)
		return p;
	munmap(p, pages * RING_PAGE);
	return NULL;
}

static void
unmap_ring(struct ring *r, const ring_page *page)
{
	const uint8_t *inside = (const uint8_t *)(uintptr_t)page + r->size;

	if (r->data && r->data != inside)
		munmap(r->data, r->size);
	r->data = NULL;
}

/* The kernel clears our live byte and tells the peer when the page goes; we need not be asked. */
static void
unmap(struct vchan *v)
{
	if (!v->page)
		return;
	unmap_ring(&v->rd, v->page);
	unmap_ring(&v->wr, v->page);
	if (is_server(v))
		v->page->srv_live = 0;
	else
		v->page->cli_live = 0;
	munmap((void *)(uintptr_t)v->page, RING_PAGE);
	v->page = NULL;
	tell(v);
}

static bool
map_ring(struct vchan *v, const struct end *e, bool left)
{
	const bool writer = left != is_server(v);
	const uint8_t order = left ? e->left_order : e->right_order;
	const size_t n = ring_pages(order);
	void *p = NULL;

	if (n > 0) {
		p = map(e->mem, left ? e->left : e->right, n,
		    writer ? PROT_READ | PROT_WRITE : PROT_READ);
		if (!p)
			return false;
	}
	ring_open(writer ? &v->wr : &v->rd, v->page, p, order, left, writer);
	return true;
}

/* Nobody learns of us before both rings are mapped. Takes what *e holds. */
static bool
attach(struct vchan *v, struct end *e)
{
	int err;

	v->page = map(e->mem, e->ctl, 1, PROT_READ | PROT_WRITE);
	v->evtchn = e->evtchn;
	v->port = e->port;
	e->evtchn = -1;
	if (!v->page || !map_ring(v, e, true) || !map_ring(v, e, false)) {
		err = errno;
		end_close(e);
		unmap(v); /* a channel with one ring is none */
		errno = err;
		return false;
	}
	end_close(e);
	if (is_server(v))
		return true;
	v->page->cli_live = 1;
	v->page->srv_notify = VCHAN_NOTIFY_WRITE;
	v->state = VCHAN_OPEN;
	tell(v);
	return true;
}

struct vchan *
vchan_take(enum vchan_role role, int fd)
{
	struct vchan *v = new_end(role);
	struct end e;
	int err = ENOMEM;

	if (!v) {
		close(fd);
	} else {
		if (end_unpack(fd, &e) && attach(v, &e))
			return v;
		err = errno;
		vchan_close(v);
	}
	errno = err;
	return NULL;
}

/* A peer whose index cannot be gets nothing more: neither side of the ring can be trusted. */
static uint32_t
ready(struct vchan *v, const struct ring *r)
{
	uint32_t untrusted_said;
	const uint32_t n = v->drained ? 0 : ring_ready(r, &untrusted_said);

	if (n != RING_BAD)
		return n;
	logit("channel: the peer's %s index is %" PRIu32 ", ours %" PRIu32 ", the ring has %" PRIu32
	      " bytes: closed",
	    r->writer ? "read" : "write", untrusted_said, r->at, r->size);
	v->drained = true;
	v->state = VCHAN_CLOSED;
	return 0;
}

static uint8_t
live(const struct vchan *v)
{
	return is_server(v) ? v->page->cli_live : v->page->srv_live;
}

/* Follows the peer's live byte. What it wrote before it left was in the ring before that. */
static void
look(struct vchan *v)
{
	uint8_t now;

	if (!v->page || v->state == VCHAN_CLOSED)
		return;
	now = live(v);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (now == 1)
		v->state = VCHAN_OPEN;
	else if (now != 2 || v->state == VCHAN_OPEN)
		v->state = VCHAN_CLOSED;
}

static void
pay(struct vchan *v)
{
	if (v->owed && ring_asked(v->page, is_server(v), VCHAN_NOTIFY_READ))
		tell(v);
	v->owed = false;
}

static bool
possible(struct vchan *v, short want)
{
	if ((want & POLLIN) && ready(v, &v->rd) > 0)
		return true;
	if (v->state == VCHAN_OPEN && (want & POLLOUT) && ready(v, &v->wr) > 0)
		return true;
	return false;
}

static bool
changed(const struct vchan *v)
{
	return v->page && live(v) != (v->state == VCHAN_OPEN ? 1 : 2);
}

/* Nothing to do now: asks the peer for an event, and looks again, for it may have been faster. */
static bool
can_sleep(struct vchan *v, short want)
{
	uint8_t bits = 0;

	if (v->state == VCHAN_WAITING)
		return !changed(v);
	if (possible(v, want))
		return false;
	if (want & POLLIN)
		bits |= VCHAN_NOTIFY_WRITE;
	if (want & POLLOUT)
		bits |= VCHAN_NOTIFY_READ;
	ring_ask(v->page, is_server(v), bits);
	return v->state == VCHAN_OPEN && !possible(v, want) && v->state == VCHAN_OPEN &&
	       !changed(v);
}

void
vchan_poll(const struct vchan *cv, short want, struct pollfd *p)
{
	struct vchan *v = (struct vchan *)(uintptr_t)cv; /* all were made by new_end */

	*p = (struct pollfd){.fd = v->evtchn, .events = POLLOUT};
	if (v->page)
		pay(v);
	if (v->state == VCHAN_CLOSED) {
		if (v->drained || !(want & POLLIN))
			p->fd = -1;
		v->asleep = false;
		return;
	}
	v->asleep = can_sleep(v, want);
	if (!v->asleep)
		return;
	p->events = POLLIN;
	if (v->both >= 0)
		p->fd = v->both;
}

/* Taken and unmasked before the page is looked at: a later event wakes us again. */
static bool
take_event(const struct vchan *v)
{
	uint32_t ports[4];
	const ssize_t n = read(v->evtchn, ports, sizeof ports);

	if (n <= 0)
		return false;
	return write(v->evtchn, ports, (size_t)n) == n;
}

static const char *
part(const struct vchan *v, const char *name, char path[STORE_PATH_MAX])
{
	const int n = snprintf(path, STORE_PATH_MAX, "%s/%s", v->node, name);

	return n < STORE_PATH_MAX ? path : "";
}

static bool
watch_both(struct vchan *v, int fd)
{
	struct epoll_event e = {.events = EPOLLIN};

	return epoll_ctl(v->both, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* A page that makes no sense is the end; anything else (old nodes of a server that has gone, one
 * that is in use) waits for what comes after it. */
static bool
call(struct vchan *v)
{
	char path[STORE_PATH_MAX];
	uint32_t gref, event, again;
	struct end e;

	if (!store_number(v->store, 0, part(v, "ring-ref", path), UINT32_MAX, &gref) ||
	    !store_number(v->store, 0, part(v, "event-channel", path), UINT32_MAX, &event) ||
	    !store_number(v->store, 0, part(v, "ring-ref", path), UINT32_MAX, &again))
		return errno != EPIPE;
	if (gref != again) /* the nodes changed in between: there will be an event */
		return true;
	if (!end_call(&e, v->peer, gref, event))
		return errno != EPROTO;
	return attach(v, &e) && watch_both(v, v->evtchn);
}

static void
unreachable(struct vchan *v)
{
	logit("channel: the server in domain %" PRIu32 " cannot be reached: %s", v->peer,
	    errno == EPROTO ? "its shared page makes no sense" : strerror(errno));
	v->state = VCHAN_CLOSED;
}

/* The name is watched where the peer may read it: at the node itself. */
static void
store_turn(struct vchan *v)
{
	char path[STORE_PATH_MAX], token[64];
	uint32_t event;
	bool any = false;
	int n;

	while ((n = store_event(v->store, path, token)) > 0)
		any = true;
	if (any && v->state == VCHAN_WAITING && !is_server(v)) {
		if (!call(v))
			unreachable(v);
	} else if (any && v->state != VCHAN_CLOSED &&
		   !store_number(v->store, 0, part(v, "event-channel", path), UINT32_MAX, &event) &&
		   (errno == ENOENT || (errno == EACCES && v->peer != 0))) {
		/* EACCES: nor is there anything above it that we may read. Dom0 removes a server's
		 * name when its client came, and does not end before us. */
		v->state = VCHAN_CLOSED;
	}
	if (n >= 0)
		return;
	store_close(v->store); /* what runs goes on without it */
	v->store = NULL;
	if (!v->page && v->state == VCHAN_WAITING) {
		logit("channel: xenstore has gone before the server came");
		v->state = VCHAN_CLOSED;
	}
}

void
vchan_turn(struct vchan *v)
{
	bool event = false;

	if (v->asleep && v->page)
		event = take_event(v);
	if (v->store && v->asleep && (!event || v->turns++ % STORE_EVERY == 0))
		store_turn(v);
	v->asleep = false;
	look(v);
}

ssize_t
vchan_read(struct vchan *v, void *p, size_t n)
{
	uint32_t have;

	if (n == 0 || v->state == VCHAN_WAITING)
		return v->drained ? -1 : 0;
	if (!v->page)
		v->drained = true;
	if (!v->drained && v->state == VCHAN_OPEN)
		look(v); /* before the ring: what was written before the end is seen then */
	have = ready(v, &v->rd);
	if (have == 0) {
		if (v->state == VCHAN_CLOSED)
			v->drained = true;
		return v->drained ? -1 : 0;
	}
	if (n > have)
		n = have;
	ring_get(&v->rd, p, (uint32_t)n);
	v->owed = true;
	/* A peer on another processor can fill one half while we empty the other. */
	if (have - n <= v->rd.size / 2)
		pay(v);
	return (ssize_t)n;
}

ssize_t
vchan_writev(struct vchan *v, const struct iovec *iov, int n)
{
	uint32_t room, put = 0;

	if (v->state != VCHAN_OPEN)
		return v->state == VCHAN_WAITING ? 0 : -1;
	look(v);
	room = ready(v, &v->wr);
	if (v->state != VCHAN_OPEN)
		return -1;
	for (int i = 0; i < n && put < room; i++) {
		const size_t len = iov[i].iov_len;
		const uint32_t some = len < room - put ? (uint32_t)len : room - put;
		ring_lay(&v->wr, put, iov[i].iov_base, some);
		put += some;
	}
	if (put == 0)
		return 0;
	ring_show(&v->wr, put);
	if (ring_asked(v->page, is_server(v), VCHAN_NOTIFY_WRITE))
		tell(v);
	return (ssize_t)put;
}

ssize_t
vchan_write(struct vchan *v, const void *p, size_t n)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};

	return vchan_writev(v, &iov, 1);
}

enum vchan_state
vchan_state(const struct vchan *v)
{
	return v->state;
}

static bool
tell_name(struct vchan *v, uint32_t self, uint32_t gref)
{
	char a[STORE_PATH_MAX], b[STORE_PATH_MAX];
	uint32_t tx;

	part(v, "ring-ref", a);
	part(v, "event-channel", b);
	do {
		tx = store_begin(v->store);
		if (tx == 0)
			return false;
		if (!store_write(v->store, tx, a, "%" PRIu32, gref) ||
		    !store_own(v->store, tx, a, self, v->peer) ||
		    !store_write(v->store, tx, b, "%" PRIu32, v->event) ||
		    !store_own(v->store, tx, b, self, v->peer)) {
			const int err = errno;
			store_end(v->store, tx, false);
			errno = err;
			return false;
		}
		if (store_end(v->store, tx, true))
			return true;
	} while (errno == EAGAIN);
	return false;
}

static bool
serve(struct vchan *v, uint32_t self)
{
	uint32_t gref;
	struct end e;

	if (!end_serve(&e, v->peer, END_ORDER_MAX, &gref, &v->event))
		return false;
	return attach(v, &e) && watch_both(v, v->evtchn) && tell_name(v, self, gref);
}

static bool
open_name(struct vchan *v, uint32_t self, uint32_t port)
{
	const bool server = is_server(v);
	char path[STORE_PATH_MAX];

	snprintf(v->node, sizeof v->node,
	    "/local/domain/%" PRIu32 "/data/vchan/%" PRIu32 "/%" PRIu32, server ? self : v->peer,
	    server ? v->peer : self, port);
	v->store = store_open();
	if (!v->store)
		return false;
	v->both = epoll_create1(EPOLL_CLOEXEC);
	if (v->both < 0 || !watch_both(v, store_fd(v->store)))
		return false;
	if (server && !serve(v, self))
		return false;
	/* The watch fires at once: a client looks then. */
	return store_watch(v->store, part(v, "event-channel", path), "channel");
}

/* dir is of no meaning here. */
struct vchan *
vchan_open(enum vchan_role role, const char *dir, uint32_t self, uint32_t peer, uint32_t port)
{
	struct vchan *v = new_end(role);
	int err;

	(void)dir;
	if (!v)
		return NULL;
	v->peer = peer;
	if (open_name(v, self, port)) {
		if (role == VCHAN_CLIENT)
			store_turn(v);
		return v;
	}
	err = errno;
	vchan_close(v);
	errno = err;
	return NULL;
}

uint32_t
vchan_self(void)
{
	struct store *s = store_open();
	uint32_t n;

	if (!s || !store_number(s, 0, "domid", UINT32_MAX, &n))
		n = 0;
	store_close(s);
	return n;
}

/* The nodes may be a newer server's by now: it keeps them. */
static void
remove_name(struct vchan *v)
{
	char path[STORE_PATH_MAX];
	uint32_t event;

	if (v->event != 0 &&
	    store_number(v->store, 0, part(v, "event-channel", path), UINT32_MAX, &event) &&
	    event == v->event)
		store_rm(v->store, 0, v->node);
}

void
vchan_close(struct vchan *v)
{
	if (!v)
		return;
	if (v->page)
		pay(v);
	unmap(v);
	if (v->store && is_server(v))
		remove_name(v);
	store_close(v->store);
	if (v->both >= 0)
		close(v->both);
	if (v->evtchn >= 0)
		close(v->evtchn);
	free(v);
}
