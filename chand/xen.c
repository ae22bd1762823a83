/* SPDX-License-Identifier: ISC */
/*
 * Channels of the Xen backend. A server's nodes stand below Dom0's own directory and nobody else
 * writes there; a qube's server is what the qube itself says below its own directory, at any time
 * and whatever it likes: numbers, that are looked at by xen/end.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "qdb/qdb.h"
#include "xen/end.h"
#include "xen/store.h"

#define ATTEMPTS 8 /* of a transaction that others disturb */
#define TOKEN_LEN 64
#define QDB_ORDER 12  /* spec/qubesdb 1 */
#define REST_MS 10000 /* before a store that did not answer is tried again */

const uint32_t backend_capabilities = 0; /* xenstore's socket and /dev/xen belong to root */

static struct {
	struct loop *loop;
	struct store *store; /* NULL: gone, or not there yet */
	uint64_t rests;	     /* until then (now_ms) */
	uint32_t timer;
	domain_fn *gone, *came;
	struct log_limit nonsense;
} b;

static void
watched_path(char out[STORE_PATH_MAX], const struct domain *d)
{
	snprintf(out, STORE_PATH_MAX, "/local/domain/%u/data/vchan/0", d->domid);
}

static bool
watch(const struct domain *d)
{
	char path[STORE_PATH_MAX], token[16];

	watched_path(path, d);
	snprintf(token, sizeof token, "%u", d->domid);
	return store_watch(b.store, path, token);
}

static void on_store(struct loop *l, int fd, short revents, void *arg);

/* At its first start, and when it was too slow once: one that was killed stays away. */
static void
up(void)
{
	bool good;

	if (b.store || now_ms() < b.rests)
		return;
	b.store = store_open();
	good = b.store != NULL;
	for (const struct domain *d = running_first(); good && d; d = d->next)
		good = watch(d);
	if (good && !loop_add(b.loop, store_fd(b.store), POLLIN, on_store, NULL))
		die("loop");
	if (good)
		return;
	store_close(b.store);
	b.store = NULL;
}

static void
down(void)
{
	logit("xenstore has gone: no new channels");
	loop_del(b.loop, store_fd(b.store));
	store_close(b.store);
	b.store = NULL;
	b.rests = now_ms() + REST_MS;
	if (b.timer == 0)
		b.timer = loop_after(b.loop, 0, on_store, NULL);
}

/* Who waits for a server waits in vain, and is to hear it. */
static void
look_all(void)
{
	for (const struct domain *d = running_first(); d; d = d->next)
		b.came(d);
}

/* Called by a timer, too: during a request of ours events are read and kept. */
static void
on_store(struct loop *l, int fd, short revents, void *arg)
{
	char path[STORE_PATH_MAX], token[TOKEN_LEN];
	const struct domain *d;
	uint32_t domid;
	int r = 0;

	(void)revents, (void)arg;
	if (fd < 0)
		b.timer = 0;
	if (!b.store)
		return look_all();
	for (int i = 0; i < STORE_EVENTS_MAX; i++) {
		r = store_event(b.store, path, token);
		if (r <= 0)
			break;
		d = parse_u32(token, UINT32_MAX, &domid) ? running_find(domid, 0) : NULL;
		if (d)
			b.came(d);
	}
	if (r < 0)
		down();
	else if (r > 0 && b.timer == 0)
		b.timer = loop_after(l, 0, on_store, NULL);
}

/* After our requests. ok: as they went; errno EPIPE: the store has gone. */
static bool
asked(bool ok)
{
	const int e = errno;

	if (!ok && e == EPIPE && b.store)
		down();
	else if (b.timer == 0)
		b.timer = loop_after(b.loop, 0, on_store, NULL);
	errno = e;
	return ok;
}

static bool
reachable(void)
{
	up();
	errno = EPIPE;
	return b.store != NULL;
}

static void
ended(struct domain *d)
{
	char path[STORE_PATH_MAX], token[16];

	b.gone(d);
	watched_path(path, d);
	snprintf(token, sizeof token, "%u", d->domid);
	if (b.store)
		asked(store_unwatch(b.store, path, token));
	/* what was opened for it while its nodes were cleared away */
	snprintf(path, sizeof path, "/local/domain/0/data/vchan/%u", d->domid);
	if (b.store)
		asked(store_rm(b.store, 0, path));
}

static bool
began(struct domain *d)
{
	if (!b.store)
		up(); /* watches all that run */
	else if (!asked(watch(d)))
		logit("%s: xenstore: %s", d->name, strerror(errno));
	return true;
}

void
backend_start(struct loop *l, domain_fn *gone, domain_fn *came)
{
	static const struct running_fns fns = {began, ended};

	b.loop = l;
	b.gone = gone;
	b.came = came;
	running_start(l, &fns);
	up();
	if (!b.store)
		logit("xenstore is not there yet");
}

static void
shown_path(char out[STORE_PATH_MAX], const struct domain *d, uint32_t port, const char *leaf)
{
	snprintf(out, STORE_PATH_MAX, "/local/domain/0/data/vchan/%u/%u%s", d->domid, port, leaf);
}

/* All three nodes, or none: a qube that looks in between sees what was there before. */
static bool
show(const struct domain *d, uint32_t port, uint32_t gref, uint32_t event)
{
	char dir[STORE_PATH_MAX], ref[STORE_PATH_MAX], channel[STORE_PATH_MAX];

	shown_path(dir, d, port, "");
	shown_path(ref, d, port, "/ring-ref");
	shown_path(channel, d, port, "/event-channel");
	for (int i = 0; i < ATTEMPTS; i++) {
		const uint32_t t = store_begin(b.store);
		const bool ok = t != 0 && store_rm(b.store, t, dir) &&
				store_mkdir(b.store, t, dir) &&
				store_write(b.store, t, ref, "%u", gref) &&
				store_write(b.store, t, channel, "%u", event) &&
				store_own(b.store, t, dir, 0, d->domid) &&
				store_own(b.store, t, ref, 0, d->domid) &&
				store_own(b.store, t, channel, 0, d->domid);
		const int e = errno;

		if (t != 0 && store_end(b.store, t, ok) && ok)
			return true;
		if (!ok) {
			errno = e;
			return false;
		}
		if (errno != EAGAIN)
			return false;
	}
	return false;
}

/* Every qube has one for QubesDB, with short messages: 3 pages instead of 33. */
static uint8_t
order_of(uint32_t port)
{
	return port == QDB_PORT ? QDB_ORDER : END_ORDER_MAX;
}

int
backend_listen(const struct domain *d, uint32_t port, int *came)
{
	uint32_t gref, event;
	struct end e;
	int fd;

	*came = -1;
	if (!reachable() || !end_serve(&e, d->domid, order_of(port), &gref, &event))
		return -1;
	if (!asked(show(d, port, gref, event))) {
		const int err = errno;

		end_close(&e);
		errno = err;
		return -1;
	}
	fd = end_pack(&e);
	if (fd < 0)
		backend_unlisten(d, port);
	return fd;
}

void
backend_unlisten(const struct domain *d, uint32_t port)
{
	char dir[STORE_PATH_MAX];
	const int e = errno;

	shown_path(dir, d, port, "");
	if (b.store)
		asked(store_rm(b.store, 0, dir));
	errno = e;
}

/* false: errno EAGAIN when it does not stand there, or not yet, as a number. */
static bool
told(const struct domain *d, uint32_t port, const char *leaf, uint32_t *untrusted)
{
	char path[STORE_PATH_MAX];

	snprintf(path, sizeof path, "/local/domain/%u/data/vchan/0/%u/%s", d->domid, port, leaf);
	if (asked(store_number(b.store, 0, path, UINT32_MAX, untrusted)))
		return true;
	if (errno == EPIPE)
		return false;
	if (errno != ENOENT)
		log_limited(&b.nonsense, "%s: port %u: %s is no number", d->name, port, leaf);
	errno = EAGAIN;
	return false;
}

int
backend_connect(const struct domain *d, uint32_t port)
{
	uint32_t untrusted_gref, untrusted_event;
	struct end e;

	if (!reachable() || !told(d, port, "ring-ref", &untrusted_gref) ||
	    !told(d, port, "event-channel", &untrusted_event))
		return -1;
	if (end_call(&e, d->domid, untrusted_gref, untrusted_event))
		return end_pack(&e);
	/* Numbers that are left over from an earlier server may name anything now: a new one will
	 * write its own. */
	if (errno == EPROTO) {
		log_limited(&b.nonsense, "%s: port %u: its page makes no sense", d->name, port);
		errno = EAGAIN;
	} else if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOSPC) {
		errno = ECONNREFUSED; /* what is not there is refused by Xen for many reasons */
	}
	return -1;
}

int
backend_map(const struct domain *d, const uint32_t *untrusted_refs, size_t n)
{
	return end_map(d->domid, untrusted_refs, n);
}

const char *
backend_why(int error)
{
	switch (error) {
	case EPIPE:
		return "xenstore has gone";
	case ENOSPC:
		return "no pages for channels are left (the limit of module xen_gntalloc)";
	default:
		return strerror(error);
	}
}
