/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "store.h"

/* Children are entries, or nodes with the lowest bit of their address set. at: the first bit in
 * which the two sides differ, counted from the highest bit of the key's first byte. */
struct node {
	void *child[2];
	uint16_t at;
};

static const struct usage limits[2] = {
    [DOM0] = {DOM0_ENTRIES_MAX, DOM0_BYTES_MAX},
    [QUBE] = {QUBE_ENTRIES_MAX, QUBE_BYTES_MAX},
};

/* ---- keys ---- */

static bool
key_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '-' && c <= ':') || (c >= '@' && c <= 'Z') ||
	       c == '_';
}

bool
key_take(struct key *k, const char untrusted[QDB_PATH])
{
	size_t n = 0;

	while (n < QDB_PATH - 1 && untrusted[n] != '\0') {
		if (!key_byte((unsigned char)untrusted[n]))
			return false;
		k->s[n] = untrusted[n];
		n++;
	}
	memset(k->s + n, 0, QDB_PATH - n);
	k->len = (uint8_t)n;
	return k->s[0] != '-';
}

bool
key_is_dir(const struct key *k)
{
	return k->len > 0 && k->s[k->len - 1] == '/';
}

bool
key_writable(const struct key *k)
{
	return k->s[0] == '/' && !key_is_dir(k);
}

bool
key_covers(const struct key *k, const struct entry *e)
{
	return (e->len == k->len || (e->len > k->len && key_is_dir(k))) &&
	       memcmp(e->key, k->s, k->len) == 0;
}

void
key_of(struct key *k, const struct entry *e)
{
	*k = (struct key){.len = e->len};
	memcpy(k->s, e->key, e->len);
}

/* ---- the tree ---- */

static struct node *
as_node(void *p)
{
	return ((uintptr_t)p & 1) != 0 ? (struct node *)((char *)p - 1) : NULL;
}

/* Of a key with zeros behind it, or of one that is in the tree below a node with that bit. */
static unsigned
bit(const char *s, unsigned at)
{
	return (unsigned char)s[at >> 3] >> (7 - (at & 7)) & 1u;
}

static struct entry *
closest(const struct store *s, const char *key)
{
	void *p = s->root;
	struct node *n;

	while ((n = as_node(p)) != NULL)
		p = n->child[bit(key, n->at)];
	return p;
}

/* false: they are the same. */
static bool
differ(const struct key *k, const struct entry *e, unsigned *at)
{
	unsigned i = 0, diff;

	while (k->s[i] == e->key[i])
		if (k->s[i++] == '\0')
			return false;
	diff = (unsigned char)k->s[i] ^ (unsigned char)e->key[i];
	*at = i * 8 + (unsigned)__builtin_clz(diff) - 24;
	return true;
}

/* The place of all that agree with key in the bits before at. */
static void **
place(void **p, const char *key, unsigned at)
{
	struct node *n;

	while ((n = as_node(*p)) != NULL && n->at < at)
		p = &n->child[bit(key, n->at)];
	return p;
}

static struct entry *
outermost(void *p, unsigned side)
{
	struct node *n;

	while ((n = as_node(p)) != NULL)
		p = n->child[side];
	return p;
}

struct entry *
store_find(const struct store *s, const struct key *k)
{
	struct entry *e = s->root != NULL ? closest(s, k->s) : NULL;

	return e != NULL && e->len == k->len && memcmp(e->key, k->s, k->len) == 0 ? e : NULL;
}

struct entry *
store_from(const struct store *s, const struct key *k)
{
	struct entry *e = s->root != NULL ? closest(s, k->s) : NULL;
	void *root = s->root, *below;
	unsigned at;

	if (e == NULL || !differ(k, e, &at))
		return e;
	below = *place(&root, k->s, at);
	return bit(k->s, at) != 0 ? outermost(below, 1)->next : outermost(below, 0);
}

static void
enlist(struct store *s, struct entry *e, struct entry *prev, struct entry *next)
{
	e->prev = prev;
	e->next = next;
	*(prev != NULL ? &prev->next : &s->first) = e;
	*(next != NULL ? &next->prev : &s->last) = e;
}

static struct entry *
insert(struct store *s, const struct key *k)
{
	struct entry *e = calloc(1, sizeof(*e) + k->len + 1), *other;
	struct node *n = s->root != NULL ? malloc(sizeof(*n)) : NULL;
	void **p = &s->root;
	unsigned at = 0, side;

	if (e == NULL || (s->root != NULL && n == NULL)) {
		free(e);
		free(n);
		return NULL;
	}
	e->born = ++s->born;
	e->len = k->len;
	memcpy(e->key, k->s, k->len);
	if (n == NULL) {
		enlist(s, e, NULL, NULL);
		*p = e;
		return e;
	}
	differ(k, closest(s, k->s), &at);
	p = place(p, k->s, at);
	side = bit(k->s, at);
	other = outermost(*p, side);
	if (side != 0)
		enlist(s, e, other, other->next);
	else
		enlist(s, e, other->prev, other);
	*n = (struct node){.at = (uint16_t)at};
	n->child[side] = e;
	n->child[1 - side] = *p;
	*p = (char *)n + 1;
	return e;
}

static void
take_out(struct store *s, struct entry *e)
{
	void **p = &s->root, **above = NULL;
	struct node *n, *parent = NULL;

	while ((n = as_node(*p)) != NULL) {
		above = p;
		parent = n;
		p = &n->child[bit(e->key, n->at)];
	}
	if (parent == NULL)
		s->root = NULL;
	else
		*above = parent->child[p == &parent->child[0]];
	free(parent);
	*(e->prev != NULL ? &e->prev->next : &s->first) = e->next;
	*(e->next != NULL ? &e->next->prev : &s->last) = e->prev;
}

/* ---- layers ---- */

const struct value *
store_view(const struct entry *e, enum side side)
{
	if (side == DOM0)
		return e->v[DOM0] != NULL ? e->v[DOM0] : e->v[QUBE];
	if (e->flags & REMOVED)
		return NULL;
	return e->v[QUBE] != NULL ? e->v[QUBE] : e->v[DOM0];
}

static void
charge(struct usage *u, const struct entry *e, const struct value *v, int sign)
{
	const size_t bytes = e->len + (v != NULL ? v->len : 0u);

	u->n += (uint32_t)sign;
	u->bytes = sign > 0 ? u->bytes + bytes : u->bytes - bytes;
}

/* What an entry costs each side: sign 1 adds, -1 takes away. One that is remembered for the other
 * daemon alone is the qube's. */
static void
account(struct store *s, const struct entry *e, int sign)
{
	if (e->v[DOM0] != NULL)
		charge(&s->used[DOM0], e, e->v[DOM0], sign);
	if (e->v[QUBE] != NULL || e->v[DOM0] == NULL || (e->flags & REMOVED))
		charge(&s->used[QUBE], e, e->v[QUBE], sign);
}

static bool
fits(const struct store *s, enum side by, const struct entry *e, size_t len)
{
	return s->used[by].n < limits[by].n && s->used[by].bytes + e->len + len <= limits[by].bytes;
}

static bool
put(struct entry *e, enum side layer, const void *value, size_t len)
{
	struct value *v = e->v[layer];

	if (v == NULL || v->cap < len || v->cap > 2 * len + 64) {
		v = malloc(sizeof(*v) + len);
		if (v == NULL)
			return false;
		v->cap = (uint16_t)len;
		free(e->v[layer]);
		e->v[layer] = v;
	}
	v->len = (uint16_t)len;
	memcpy(v->p, value, len);
	return true;
}

static void
clear(struct entry *e, enum side layer)
{
	free(e->v[layer]);
	e->v[layer] = NULL;
}

static bool
same(const struct value *v, const void *value, size_t len)
{
	return v != NULL && v->len == len && memcmp(v->p, value, len) == 0;
}

struct entry *
store_put(struct store *s, enum side by, const struct key *k, const void *value, size_t len)
{
	struct entry *e = store_find(s, k);
	bool ok = true;

	if (e == NULL) {
		e = insert(s, k);
		if (e == NULL)
			return NULL;
	} else {
		account(s, e, -1);
	}
	if (by == QUBE && same(e->v[DOM0], value, len))
		clear(e, QUBE);
	else
		ok = fits(s, by, e, len) && put(e, by, value, len);
	if (ok) {
		e->flags &= (uint8_t)~REMOVED;
		if (by == DOM0)
			clear(e, QUBE);
	}
	account(s, e, 1);
	if (!ok)
		store_settle(s, e);
	return ok ? e : NULL;
}

void
store_remove(struct store *s, enum side by, struct entry *e)
{
	account(s, e, -1);
	clear(e, QUBE);
	if (by == DOM0)
		clear(e, DOM0);
	if (e->v[DOM0] != NULL)
		e->flags |= REMOVED;
	else
		e->flags &= (uint8_t)~REMOVED;
	account(s, e, 1);
}

/* ---- what the other daemon is to hear ---- */

static struct entries *
list_of(struct store *s, const struct entry *e)
{
	return e->flags & DIRTY ? &s->dirty : e->flags & IN_FLIGHT ? &s->in_flight : NULL;
}

void
store_mark(struct store *s, struct entry *e, uint8_t list)
{
	struct entries *l = list_of(s, e);

	if (l != NULL) {
		*(e->older != NULL ? &e->older->later : &l->first) = e->later;
		*(e->later != NULL ? &e->later->older : &l->last) = e->older;
	}
	e->flags &= (uint8_t) ~(DIRTY | IN_FLIGHT);
	e->flags |= list;
	l = list_of(s, e);
	if (l == NULL)
		return;
	e->older = l->last;
	e->later = NULL;
	*(l->last != NULL ? &l->last->later : &l->first) = e;
	l->last = e;
}

void
store_settle(struct store *s, struct entry *e)
{
	if (e->v[DOM0] != NULL || e->v[QUBE] != NULL || list_of(s, e) != NULL)
		return;
	account(s, e, -1);
	take_out(s, e);
	free(e);
}

void
store_unlinked(struct store *s, bool keep)
{
	struct entry *e, *next;

	/* What was sent and not answered goes first. */
	for (e = s->in_flight.first; keep && e != NULL; e = e->later)
		e->flags = (uint8_t)((e->flags & ~IN_FLIGHT) | DIRTY);
	if (keep && s->in_flight.first != NULL) {
		s->in_flight.last->later = s->dirty.first;
		*(s->dirty.first != NULL ? &s->dirty.first->older : &s->dirty.last) =
		    s->in_flight.last;
		s->dirty.first = s->in_flight.first;
		s->in_flight = (struct entries){0};
	}
	for (e = s->first; e != NULL; e = next) {
		next = e->next;
		e->flags &= (uint8_t)~PEER_HAS;
		e->sent = 0;
		if (!keep)
			store_mark(s, e, 0);
		store_settle(s, e);
	}
}

void
store_free(struct store *s)
{
	struct entry *e, *next;

	for (e = s->first; e != NULL; e = next) {
		next = e->next;
		clear(e, DOM0);
		clear(e, QUBE);
		store_mark(s, e, 0);
		store_settle(s, e);
	}
	*s = (struct store){0};
}

/* ---- walking ---- */

static struct entry *
begin(const struct store *s, const struct cursor *c)
{
	struct entry *e;

	if (!c->begun)
		return c->down ? s->last : store_from(s, &c->prefix);
	e = store_from(s, &c->at);
	if (!c->down || (e != NULL && strcmp(e->key, c->at.s) == 0))
		return e;
	return e != NULL ? e->prev : s->last;
}

bool
cursor_run(const struct store *s, struct cursor *c, cursor_fn *fn, void *arg)
{
	const struct value *v;

	if (!c->begun)
		c->born = s->born;
	for (struct entry *e = begin(s, c); e != NULL; e = c->down ? e->prev : e->next) {
		if (strncmp(e->key, c->prefix.s, c->prefix.len) != 0)
			break;
		v = c->layer >= 0 ? e->v[c->layer] : store_view(e, c->side);
		if (v == NULL || e->born > c->born || fn(arg, e, v))
			continue;
		c->begun = true;
		key_of(&c->at, e);
		return false;
	}
	c->on = c->begun = false;
	return true;
}
