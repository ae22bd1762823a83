/* SPDX-License-Identifier: ISC */
/*
 * The other daemon: spec/qubesdb 4. It is told what has changed, not each change: of a key the
 * present value, in the order of the last changes. A stock peer ends on NOENT and on the removal of
 * what it has not: it gets neither.
 */
#include <poll.h>
#include <string.h>

#include "qdbd.h"

#define ROOM (2 * QDB_MESSAGE_MAX)
#define WRITES_A_TURN 4
#define READS_A_TURN 4

static const struct key all;

static enum side
theirs(const struct qdbd *d)
{
	return d->side == DOM0 ? QUBE : DOM0;
}

static void
bad(struct qdbd *d, const char *what, const struct qdb_hdr *h)
{
	if (!d->peer.over)
		logit("peer: %s (message %u with %u bytes of value); its connection is closed",
		    what, h->type, h->len);
	d->peer.over = true;
}

/* ---- what it is told ---- */

static void
write_turn(struct qdbd *d)
{
	struct peer *p = &d->peer;
	struct outgoing *o = &d->out;
	const ssize_t n = o->len > 0 && p->out.len == 0 ? vchan_write(p->v, o->data, o->len) : 0;

	/* -1: it has gone, which reading finds out, after what it had sent */
	if (n >= 0 && !buf_put(&p->out, o->data + n, o->len - (size_t)n))
		p->over = true;
	o->len = 0;
	p->writes++;
}

static void
write_waiting(struct peer *p)
{
	ssize_t n = 1;

	while (p->out.len > 0 && (n = vchan_write(p->v, buf_bytes(&p->out), p->out.len)) > 0)
		buf_eat(&p->out, (size_t)n);
	if (p->out.len == 0 || n < 0) {
		buf_free(&p->out);
		p->stuck = false;
	}
}

static void
say(struct qdbd *d, enum qdb_type type, const struct key *k, const struct value *v)
{
	struct outgoing *o = &d->out;

	o->len +=
	    message_put(o->data + o->len, type, k, v != NULL ? v->p : NULL, v != NULL ? v->len : 0);
	if (WRITE_SIZE - o->len < ROOM)
		write_turn(d);
}

/* The channel is full, or others have their turn. */
static bool
enough(const struct peer *p)
{
	return p->out.len > 0 || p->over || p->writes >= WRITES_A_TURN;
}

static bool
on_given(void *arg, struct entry *e, const struct value *v)
{
	struct qdbd *d = arg;
	struct key k;

	if (enough(&d->peer))
		return false;
	key_of(&k, e);
	say(d, QDB_R_MULTIREAD, &k, v);
	e->flags |= PEER_HAS;
	return true;
}

/* Its present value, or that it is gone. */
static void
send_entry(struct qdbd *d, struct entry *e)
{
	const struct value *v = store_view(e, d->side);
	struct key k;

	if (v == NULL && !(e->flags & PEER_HAS)) {
		store_mark(&d->store, e, 0);
		store_settle(&d->store, e);
		return;
	}
	key_of(&k, e);
	say(d, v != NULL ? QDB_WRITE : QDB_RM, &k, v);
	e->flags &= (uint8_t)~PEER_HAS;
	if (v != NULL)
		e->flags |= PEER_HAS;
	e->sent = ++d->peer.sent;
	store_mark(&d->store, e, IN_FLIGHT);
}

static bool
has_more(const struct qdbd *d)
{
	const struct peer *p = &d->peer;

	if (!p->up || p->over)
		return false;
	return p->give.on || (p->synced && (p->ask || (d->store.dirty.first != NULL &&
							  p->sent - p->acked < IN_FLIGHT_MAX)));
}

static void
say_more(struct qdbd *d)
{
	struct peer *p = &d->peer;

	if (p->give.on) {
		if (!cursor_run(&d->store, &p->give, on_given, d))
			return;
		say(d, QDB_R_MULTIREAD, &all, NULL);
		p->synced = true;
		synced(d);
	} else if (p->ask) {
		p->ask = false;
		p->taking = true;
		say(d, QDB_MULTIREAD, &all, NULL);
	} else {
		send_entry(d, d->store.dirty.first);
	}
}

static void on_peer(struct loop *l, int fd, short revents, void *arg);

static void
peer_watch(struct qdbd *d)
{
	struct peer *p = &d->peer;
	struct pollfd f;
	short want = POLLIN;

	if (p->v == NULL)
		return;
	if (p->out.len > ANSWERS_MAX) {
		want = 0;
		if (!p->stuck)
			log_limited(&d->flood,
			    "peer: it does not read: %zu bytes wait for it (limit %u), and it is "
			    "not read from meanwhile",
			    p->out.len, ANSWERS_MAX);
		p->stuck = true;
	}
	if (p->out.len > 0 || has_more(d))
		want |= POLLOUT;
	vchan_poll(p->v, want, &f);
	if (f.fd == p->fd) {
		loop_set(d->loop, f.fd, f.events);
		return;
	}
	if (p->fd >= 0)
		loop_del(d->loop, p->fd);
	p->fd = f.fd;
	if (f.fd >= 0 && !loop_add(d->loop, f.fd, f.events, on_peer, d))
		die("no memory");
}

void
peer_push(struct qdbd *d)
{
	struct peer *p = &d->peer;

	if (!has_more(d) && d->out.len == 0)
		return;
	while (has_more(d) && !enough(p))
		say_more(d);
	if (d->out.len > 0)
		write_turn(d);
	p->writes = 0;
	peer_watch(d);
}

void
peer_changed(struct qdbd *d, struct entry *e)
{
	const struct peer *p = &d->peer;
	const bool gone = store_view(e, d->side) == NULL;
	/* Dom0: before the qube asks for all there is nothing to tell it. The qube: what it changes
	 * without a connection waits for one. */
	const bool track = d->has_peer && (d->side == QUBE || p->asked_us);
	const bool known = d->side == DOM0 || p->synced;

	if (track && !(gone && known && !(e->flags & PEER_HAS)))
		store_mark(&d->store, e, DIRTY);
	else
		store_mark(&d->store, e, 0);
	store_settle(&d->store, e);
}

/* ---- what it says: each is given a whole message with a good path ---- */

static bool
good(const struct key *k, const uint8_t *value, size_t len)
{
	return key_writable(k) && memchr(value, '\0', len) == NULL;
}

static void
full(struct qdbd *d, const struct key *k)
{
	const struct usage *u = &d->store.used[QUBE];

	if (!d->peer.full_told)
		log_limited(&d->flood,
		    "peer: its limit is reached: %u entries of %u, %zu bytes of %u: %s and what "
		    "comes after it is refused",
		    u->n, QUBE_ENTRIES_MAX, u->bytes, QUBE_BYTES_MAX, k->s);
	d->peer.full_told = true;
}

/* What it has of this then depends on what we have sent, and not on what it says meanwhile. */
static bool
under_way(const struct qdbd *d, const struct entry *e)
{
	const struct peer *p = &d->peer;

	return e->sent - p->acked - 1 < p->sent - p->acked;
}

/* Its value is taken, unless ours is on its way to it: then that is what it ends with. */
static bool
take_value(struct qdbd *d, const struct key *k, const uint8_t *value, size_t len)
{
	struct entry *e = store_find(&d->store, k);

	if (d->side == QUBE || e == NULL || !(e->flags & (DIRTY | IN_FLIGHT)))
		e = store_put(&d->store, theirs(d), k, value, len);
	if (e == NULL)
		return false;
	if (d->side == QUBE && (e->flags & DIRTY))
		store_mark(&d->store, e, 0);
	if (d->side == QUBE || !under_way(d, e))
		e->flags |= PEER_HAS;
	return true;
}

static void
on_write(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	if (!good(k, value, h->len)) {
		say(d, QDB_ERROR, k, NULL);
	} else if (!take_value(d, k, value, h->len)) {
		full(d, k);
		say(d, QDB_ERROR, k, NULL);
	} else {
		clients_tell(d, k);
		say(d, QDB_OK, k, NULL);
	}
}

/* What crosses with a removal of ours is gone on both sides, and must not be removed again. */
static void
remove_one(struct qdbd *d, struct entry *e)
{
	const bool ours = d->side == DOM0 && (e->flags & (DIRTY | IN_FLIGHT));

	if (!under_way(d, e))
		e->flags &= (uint8_t)~PEER_HAS;
	if (!ours)
		store_remove(&d->store, theirs(d), e);
	if ((e->flags & DIRTY) &&
	    (d->side == QUBE || (store_view(e, DOM0) == NULL && !(e->flags & PEER_HAS))))
		store_mark(&d->store, e, 0);
	store_settle(&d->store, e);
}

static void
on_rm(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	struct entry *e = store_from(&d->store, k), *next;
	struct usage *u = &d->store.used[QUBE];
	bool any = false;

	(void)h, (void)value;
	for (; e != NULL && key_covers(k, e); e = next) {
		next = e->next;
		any = any || store_view(e, QUBE) != NULL;
		remove_one(d, e);
	}
	if (u->n < QUBE_ENTRIES_MAX / 4 * 3 && u->bytes < QUBE_BYTES_MAX / 4 * 3)
		d->peer.full_told = false;
	if (any)
		clients_tell(d, k);
	say(d, QDB_OK, k, NULL);
}

static void
on_multiread(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	struct peer *p = &d->peer;

	(void)value;
	if (p->asked_us) {
		bad(d, "a second multiread", h);
		return;
	}
	p->asked_us = true;
	/* Either way: what the qube is to see, or sees. */
	p->give = (struct cursor){
	    .on = true, .down = k->len == 0, .layer = -1, .side = QUBE, .prefix = *k};
}

static void
on_answer(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	struct peer *p = &d->peer;
	struct entry *e = d->store.in_flight.first;

	(void)k, (void)value;
	if (p->acked == p->sent)
		return;
	p->acked++;
	if (e == NULL || e->sent != p->acked)
		return;
	if (h->type == QDB_ERROR)
		e->flags &= (uint8_t)~PEER_HAS;
	store_mark(&d->store, e, 0);
	store_settle(&d->store, e);
}

static bool
same(const struct value *v, const uint8_t *value, size_t len)
{
	return v != NULL && v->len == len && memcmp(v->p, value, len) == 0;
}

/* In the qube: what waits to be sent is newer, and what it has already is as it is. */
static void
take_given(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	struct entry *e = store_find(&d->store, k);

	if (d->side == QUBE && e != NULL &&
	    ((e->flags & DIRTY) || same(store_view(e, QUBE), value, h->len)))
		e->flags |= PEER_HAS;
	else if (!take_value(d, k, value, h->len))
		full(d, k);
	clients_tell(d, k);
}

static void
on_given_us(struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value)
{
	struct peer *p = &d->peer;

	if (!p->taking) {
		bad(d, "an answer that nobody asked for", h);
	} else if (k->len > 0 && good(k, value, h->len)) {
		take_given(d, h, k, value);
	} else if (k->len > 0 || h->len > 0) {
		bad(d, "no key or no value", h);
	} else {
		p->taking = false;
		/* What Dom0 has not named stays: a daemon that was killed there asks for it now. */
		if (d->side == DOM0)
			return;
		p->synced = true;
		ready(d);
	}
}

/* All that it may say, with how long a value (spec/qubesdb 3). */
static const struct message {
	void (*take)(
	    struct qdbd *d, const struct qdb_hdr *h, const struct key *k, const uint8_t *value);
	uint32_t max;
} messages[] = {
    [QDB_WRITE] = {on_write, QDB_VALUE_MAX},
    [QDB_MULTIREAD] = {on_multiread, 0},
    [QDB_RM] = {on_rm, 0},
    [QDB_OK] = {on_answer, 0},
    [QDB_ERROR] = {on_answer, 0},
    [QDB_R_MULTIREAD] = {on_given_us, QDB_VALUE_MAX},
};

/* The first message if it is whole: its length, or 0. */
static size_t
take_one(struct qdbd *d, const uint8_t *untrusted, size_t n)
{
	const struct message *m;
	struct qdb_hdr h;
	struct key k;

	if (n < sizeof(h))
		return 0;
	memcpy(&h, untrusted, sizeof(h));
	m = h.type < sizeof(messages) / sizeof(messages[0]) ? &messages[h.type] : NULL;
	if (m == NULL || m->take == NULL)
		bad(d, "not for this connection", &h);
	else if (h.len > m->max)
		bad(d, m->max > 0 ? "the limit is 3071" : "the limit is 0", &h);
	else if (!key_take(&k, h.path))
		bad(d, "a path with other bytes than A-Z a-z 0-9 _ / . : @ -", &h);
	if (d->peer.over || n < sizeof(h) + h.len)
		return 0;
	m->take(d, &h, &k, untrusted + sizeof(h));
	return sizeof(h) + h.len;
}

/* ---- the channel ---- */

/* false: it has ended. */
static bool
peer_read(struct qdbd *d)
{
	struct peer *p = &d->peer;
	size_t n = p->in.len, at, one;
	ssize_t r;

	memcpy(d->in, buf_bytes(&p->in), n);
	r = vchan_read(p->v, d->in + n, READ_SIZE);
	if (r <= 0)
		return r == 0;
	n += (size_t)r;
	buf_free(&p->in);
	for (at = 0; (one = take_one(d, d->in + at, n - at)) > 0 && !p->over; at += one)
		;
	if (!p->over && at < n && !buf_put(&p->in, d->in + at, n - at))
		p->over = true;
	if (d->out.len > 0)
		write_turn(d);
	return true;
}

static void
came(struct qdbd *d)
{
	struct peer *p = &d->peer;

	p->up = true;
	link_up(d);
	if (d->side == DOM0)
		return;
	p->taking = true;
	say(d, QDB_MULTIREAD, &all, NULL);
	write_turn(d);
}

static void
on_peer(struct loop *l, int fd, short revents, void *arg)
{
	struct qdbd *d = arg;
	struct peer *p = &d->peer;
	bool open = true;

	(void)l, (void)fd, (void)revents;
	vchan_turn(p->v);
	if (!p->up && vchan_state(p->v) != VCHAN_WAITING)
		came(d);
	if (p->up) {
		write_waiting(p);
		for (int i = 0; open && !p->over && i < READS_A_TURN; i++)
			open = p->out.len > ANSWERS_MAX || peer_read(d);
		p->writes = 0;
	}
	if (open && !p->over) {
		peer_push(d);
		peer_watch(d);
	}
	if (!open || p->over)
		peer_close(d);
	clients_flush(d);
}

void
peer_take(struct qdbd *d, struct vchan *v)
{
	d->peer.v = v;
	d->peer.in.max = sizeof(d->in);
	d->peer.out.max = ANSWERS_MAX + 4 * WRITE_SIZE;
	on_peer(d->loop, -1, 0, d);
}

void
peer_close(struct qdbd *d)
{
	struct peer *p = &d->peer;
	const bool was_synced = p->asked_us, over = p->over,
		   ask = p->ask || (p->taking && d->side == DOM0);

	if (p->fd >= 0)
		loop_del(d->loop, p->fd);
	vchan_close(p->v);
	buf_free(&p->in);
	buf_free(&p->out);
	*p = (struct peer){.fd = -1, .ask = ask};
	store_unlinked(&d->store, d->side == QUBE);
	link_lost(d, was_synced, over);
}
