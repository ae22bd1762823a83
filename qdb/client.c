/* SPDX-License-Identifier: ISC */
/*
 * Local programs: spec/qubesdb 3, 4. A turn reads once, acts on all whole messages and writes once.
 * Who does not take its answers is not read from; long answers are made as they are taken.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qdbd.h"

#define WRITES_A_TURN 4 /* of a long answer; then others have their turn */
/* Room for whatever one message makes, an event for each of its own watches included. */
#define ROOM (2 * QDB_MESSAGE_MAX + WATCHES_MAX * sizeof(struct qdb_hdr))
#define EVENT sizeof(struct qdb_hdr)

struct watch {
	struct watch *next, **at; /* of all */
	struct client *c;
	struct key key;
};

struct client {
	struct client *next, **at;
	struct client *flush; /* next of those with something to write */
	struct qdbd *d;
	int fd;
	uid_t uid;
	bool ro, gone, to_flush;
	bool blocked; /* it does not read: out is not empty */
	bool stalled; /* the beginning of in could be acted on */
	unsigned watches, events, writes;
	struct buf in;	    /* what is not understood yet, or has to wait */
	struct buf out;	    /* what it has not taken */
	struct cursor give; /* its list or multiread, as */
	enum qdb_type many;
	uint32_t skip;	    /* bytes of a message that is refused */
	struct key refused; /* its path, */
	bool refuse;	    /* to be said then */
};

static void
watch_free(struct watch *w)
{
	*w->at = w->next;
	if (w->next != NULL)
		w->next->at = w->at;
	w->c->watches--;
	free(w);
}

static void
client_free(struct client *c)
{
	struct qdbd *d = c->d;

	for (struct watch *w = d->watches, *next; c->watches > 0 && w != NULL; w = next) {
		next = w->next;
		if (w->c == c)
			watch_free(w);
	}
	for (struct client **p = &d->flush; c->to_flush && *p != NULL; p = &(*p)->flush)
		if (*p == c) {
			*p = c->flush;
			break;
		}
	loop_del(d->loop, c->fd);
	close(c->fd);
	*c->at = c->next;
	if (c->next != NULL)
		c->next->at = c->at;
	d->nclients--;
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

/* ---- what it is told ---- */

size_t
message_put(uint8_t *to, enum qdb_type type, const struct key *k, const void *value, size_t len)
{
	struct qdb_hdr h = {.type = (uint8_t)type, .len = (uint32_t)len};

	memcpy(h.path, k->s, sizeof(h.path));
	memcpy(to, &h, sizeof(h));
	if (len > 0)
		memcpy(to + sizeof(h), value, len);
	return sizeof(h) + len;
}

/* write(2) as far as it goes: how much, or -1. */
static ssize_t
give(const struct client *c, const uint8_t *p, size_t n)
{
	ssize_t r;

	do
		r = write(c->fd, p, n);
	while (r < 0 && errno == EINTR);
	return r < 0 && errno == EAGAIN ? 0 : r;
}

/* false: it is gone. */
static bool
write_waiting(struct client *c)
{
	const ssize_t n = give(c, buf_bytes(&c->out), c->out.len);

	if (n < 0)
		return false;
	buf_eat(&c->out, (size_t)n);
	/* what is left of an event that has gone in part cannot be compared any more */
	if (c->events > c->out.len / EVENT)
		c->events = (unsigned)(c->out.len / EVENT);
	c->blocked = c->out.len > 0;
	if (!c->blocked)
		buf_free(&c->out);
	return true;
}

/* What this turn has made; the rest waits in out. */
static void
write_turn(struct client *c)
{
	struct outgoing *o = &c->d->out;
	ssize_t n = o->len > 0 ? give(c, o->data, o->len) : 0;

	if (n < 0 || !buf_put(&c->out, o->data + n, o->len - (size_t)n))
		c->gone = true;
	c->blocked = c->out.len > 0;
	o->len = 0;
	c->events = 0;
	c->writes++;
}

static void
answer(struct client *c, enum qdb_type type, const struct key *k, const struct value *v)
{
	struct outgoing *o = &c->d->out;

	o->len +=
	    message_put(o->data + o->len, type, k, v != NULL ? v->p : NULL, v != NULL ? v->len : 0);
}

/* One that waits already is enough: who does not read cannot make us keep more than each once. */
static bool
waits_already(const struct client *c, const struct key *k)
{
	const uint8_t *end = buf_bytes(&c->out) + c->out.len;

	for (unsigned i = 1; i <= c->events; i++)
		if (memcmp(end - i * EVENT + offsetof(struct qdb_hdr, path), k->s, QDB_PATH) == 0)
			return true;
	return false;
}

static void
tell(struct client *c, const struct key *k)
{
	uint8_t m[EVENT];

	if (c->gone)
		return;
	if (c == c->d->turn) {
		answer(c, QDB_R_WATCH, k, NULL);
		return;
	}
	if (!c->blocked && c->events == EVENTS_TRY && !write_waiting(c)) {
		c->gone = true;
		return;
	}
	if (c->blocked && waits_already(c, k))
		return;
	if (c->events == EVENTS_MAX && !write_waiting(c)) {
		c->gone = true;
	} else if (c->events == EVENTS_MAX ||
		   !buf_put(&c->out, m, message_put(m, QDB_R_WATCH, k, NULL, 0))) {
		logit("client of uid %u: it does not read: %u events wait; closed", c->uid,
		    EVENTS_MAX);
		c->gone = true;
	} else {
		c->events++;
	}
	if (!c->to_flush) {
		c->to_flush = true;
		c->flush = c->d->flush;
		c->d->flush = c;
	}
}

void
clients_tell(struct qdbd *d, const struct key *k)
{
	for (struct watch *w = d->watches; w != NULL; w = w->next) {
		const struct key *p = &w->key;

		if (p->len == k->len
			? memcmp(p->s, k->s, k->len) == 0
			: p->len < k->len && key_is_dir(p) && memcmp(p->s, k->s, p->len) == 0)
			tell(w->c, k);
	}
}

/* ---- what it says: each is given a whole message with a good path ---- */

static void
on_read(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	const struct entry *e = store_find(&c->d->store, k);
	const struct value *v = e != NULL ? store_view(e, c->d->side) : NULL;

	(void)value, (void)len;
	answer(c, v != NULL ? QDB_R_READ : QDB_NOENT, k, v);
}

static void
on_write(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	struct qdbd *d = c->d;
	struct entry *e = NULL;

	if (!c->ro && key_writable(k) && memchr(value, '\0', len) == NULL)
		e = store_put(&d->store, d->side, k, value, len);
	if (e != NULL) {
		peer_changed(d, e);
		clients_tell(d, k);
	}
	answer(c, e != NULL ? QDB_OK : QDB_ERROR, k, NULL);
}

static void
on_rm(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	struct qdbd *d = c->d;
	struct entry *e, *next;
	bool any = false;

	(void)value, (void)len;
	e = c->ro ? NULL : store_from(&d->store, k);
	for (; e != NULL && key_covers(k, e); e = next) {
		next = e->next;
		if (store_view(e, d->side) == NULL)
			continue;
		store_remove(&d->store, d->side, e);
		peer_changed(d, e);
		any = true;
	}
	if (any)
		clients_tell(d, k);
	answer(c, c->ro ? QDB_ERROR : any ? QDB_OK : QDB_NOENT, k, NULL);
}

/* Whose keys (qdb.h): the layer, -1 for what is seen, -2 where sides are not known. */
static int
owner(const struct qdbd *d, struct key *k)
{
	static const char *const names[2] = {[DOM0] = QDB_OF_DOM0, [QUBE] = QDB_OF_QUBE};

	for (int i = 0; i < 2; i++) {
		const size_t n = strlen(names[i]);

		if (strncmp(k->s, names[i], n) != 0 || k->s[n] != '/')
			continue;
		memmove(k->s, k->s + n, QDB_PATH - n);
		memset(k->s + QDB_PATH - n, 0, n);
		k->len = (uint8_t)(k->len - n);
		return d->side == DOM0 && d->has_peer ? i : -2;
	}
	return -1;
}

static bool
on_given(void *arg, struct entry *e, const struct value *v)
{
	struct client *c = arg;
	struct key k;

	if (WRITE_SIZE - c->d->out.len < ROOM)
		write_turn(c);
	if (c->gone || c->out.len > 0 || c->writes >= WRITES_A_TURN)
		return false;
	key_of(&k, e);
	answer(c, c->many, &k, c->many == QDB_R_MULTIREAD ? v : NULL);
	return true;
}

static void
go_on(struct client *c)
{
	static const struct key end;

	if (c->give.on && cursor_run(&c->d->store, &c->give, on_given, c))
		answer(c, c->many, &end, NULL);
}

static void
on_multiread(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	(void)value, (void)len;
	c->many = QDB_R_MULTIREAD;
	c->give = (struct cursor){
	    .on = true, .down = k->len == 0, .layer = -1, .side = c->d->side, .prefix = *k};
	go_on(c);
}

static void
on_list(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	struct key prefix = *k;
	const int layer = owner(c->d, &prefix);

	(void)value, (void)len;
	if (layer == -2) {
		answer(c, QDB_ERROR, k, NULL);
		return;
	}
	c->many = QDB_R_LIST;
	c->give = (struct cursor){.on = true, .layer = layer, .side = c->d->side, .prefix = prefix};
	go_on(c);
}

static void
on_watch(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	struct qdbd *d = c->d;
	struct watch *w = c->watches < WATCHES_MAX ? malloc(sizeof(*w)) : NULL;

	(void)value, (void)len;
	if (w != NULL) {
		*w = (struct watch){.next = d->watches, .at = &d->watches, .c = c, .key = *k};
		if (w->next != NULL)
			w->next->at = &w->next;
		d->watches = w;
		c->watches++;
	} else {
		log_limited(&d->refused, "client of uid %u: a watch is refused (limit %u)", c->uid,
		    WATCHES_MAX);
	}
	answer(c, w != NULL ? QDB_OK : QDB_ERROR, k, NULL);
}

static void
on_unwatch(struct client *c, const struct key *k, const uint8_t *value, size_t len)
{
	struct watch *w = c->d->watches;

	(void)value, (void)len;
	while (w != NULL && (w->c != c || memcmp(w->key.s, k->s, QDB_PATH) != 0))
		w = w->next;
	if (w != NULL)
		watch_free(w);
	answer(c, w != NULL ? QDB_OK : QDB_NOENT, k, NULL);
}

/* ---- taking messages apart ---- */

/* All that a client may say, with how long a value. closes: if it is longer (spec/qubesdb 3). */
static const struct message {
	void (*take)(struct client *c, const struct key *k, const uint8_t *value, size_t len);
	uint32_t max;
	bool closes;
} messages[] = {
    [QDB_READ] = {on_read, 0, true},
    [QDB_WRITE] = {on_write, QDB_VALUE_MAX, false},
    [QDB_MULTIREAD] = {on_multiread, 0, false},
    [QDB_LIST] = {on_list, 0, false},
    [QDB_RM] = {on_rm, 0, false},
    [QDB_WATCH] = {on_watch, 0, false},
    [QDB_UNWATCH] = {on_unwatch, 0, false},
};

/* What it sends is read over first; its path comes back as it was. */
static void
refuse(struct client *c, const struct qdb_hdr *untrusted)
{
	memset(&c->refused, 0, sizeof(c->refused));
	memcpy(c->refused.s, untrusted->path, strnlen(untrusted->path, QDB_PATH - 1));
	c->refuse = true;
	c->skip = untrusted->len;
}

static size_t
take_refused(struct client *c, size_t n)
{
	const size_t part = n < c->skip ? n : c->skip;

	c->skip -= (uint32_t)part;
	if (c->skip == 0) {
		c->refuse = false;
		answer(c, QDB_ERROR, &c->refused, NULL);
	}
	return part;
}

/* The first message if it is whole: its length, or 0. */
static size_t
take_one(struct client *c, const uint8_t *untrusted, size_t n)
{
	struct qdb_hdr h;
	const struct message *m;
	struct key k;

	if (n < sizeof(h))
		return 0;
	memcpy(&h, untrusted, sizeof(h));
	m = h.type < sizeof(messages) / sizeof(messages[0]) ? &messages[h.type] : NULL;
	if (m == NULL || (m->closes && h.len > m->max)) {
		log_limited(&c->d->bad, "client of uid %u: message %u with %u bytes; closed",
		    c->uid, h.type, h.len);
		c->gone = true;
		return 0;
	}
	if (h.len > m->max || !key_take(&k, h.path)) {
		refuse(c, &h);
		return sizeof(h);
	}
	if (n < sizeof(h) + h.len)
		return 0;
	m->take(c, &k, untrusted + sizeof(h), h.len);
	return sizeof(h) + h.len;
}

/* How much of n bytes is done with. */
static size_t
take_all(struct client *c, const uint8_t *untrusted, size_t n)
{
	size_t at = 0, one;

	bool work, wait;

	for (;;) {
		if (WRITE_SIZE - c->d->out.len < ROOM)
			write_turn(c);
		work = at < n || (c->refuse && c->skip == 0);
		wait = c->give.on || c->out.len > 0 || c->writes >= WRITES_A_TURN;
		c->stalled = work && wait;
		if (c->gone || wait || !work)
			return at;
		if (c->refuse) {
			at += take_refused(c, n - at);
			continue;
		}
		one = take_one(c, untrusted + at, n - at);
		if (one == 0)
			return at;
		at += one;
	}
}

/* ---- its descriptor ---- */

static void
client_read(struct client *c)
{
	struct qdbd *d = c->d;
	size_t n = c->in.len, done;
	const bool full = c->stalled;
	ssize_t r = 0;

	c->writes = 0;
	c->stalled = false;
	go_on(c);
	if (c->gone || c->give.on || c->out.len > 0) {
		c->stalled = full;
		return;
	}
	memcpy(d->in, buf_bytes(&c->in), n);
	if (!full) {
		do
			r = read(c->fd, d->in + n, sizeof(d->in) - n);
		while (r < 0 && errno == EINTR);
		if (r == 0 || (r < 0 && errno != EAGAIN)) {
			/* what this turn has made first: the end of file stays */
			c->gone = r < 0 || d->out.len == 0;
			return;
		}
		n += r > 0 ? (size_t)r : 0;
	}
	buf_free(&c->in);
	done = take_all(c, d->in, n);
	if (done < n && !buf_put(&c->in, d->in + done, n - done))
		c->gone = true;
}

static void
set_events(struct client *c)
{
	loop_set(c->d->loop, c->fd, c->out.len > 0 || c->give.on || c->stalled ? POLLOUT : POLLIN);
}

static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	struct qdbd *d = c->d;

	(void)l, (void)fd;
	if (c->out.len > 0 && !write_waiting(c))
		c->gone = true;
	if (!c->gone && c->out.len == 0) {
		d->turn = c;
		client_read(c);
		if (!c->gone)
			write_turn(c);
		d->turn = NULL;
		d->out.len = 0;
	} else if (revents & (POLLERR | POLLHUP)) {
		c->gone = true;
	}
	if (c->gone)
		client_free(c);
	else
		set_events(c);
	clients_flush(d);
	peer_push(d);
}

void
clients_flush(struct qdbd *d)
{
	struct client *c;

	while ((c = d->flush) != NULL) {
		d->flush = c->flush;
		c->to_flush = false;
		if (c->gone || !write_waiting(c))
			client_free(c);
		else
			set_events(c);
	}
}

void
clients_came(struct qdbd *d, int fd, uid_t uid, bool ro)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL || !loop_add(d->loop, fd, POLLIN, on_client, c)) {
		close(fd);
		free(c);
		return;
	}
	c->d = d;
	c->fd = fd;
	c->uid = uid;
	c->ro = ro;
	c->in.max = sizeof(d->in);
	c->out.max = WRITE_SIZE + EVENTS_MAX * EVENT;
	c->next = d->clients;
	c->at = &d->clients;
	if (c->next != NULL)
		c->next->at = &c->next;
	d->clients = c;
	d->nclients++;
}

unsigned
clients_of(const struct qdbd *d, uid_t uid)
{
	unsigned n = 0;

	for (const struct client *c = d->clients; c != NULL; c = c->next)
		n += c->uid == uid;
	return n;
}
