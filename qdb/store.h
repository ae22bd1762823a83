/* SPDX-License-Identifier: ISC */
/*
 * The store of one qube, as either of its two daemons holds it: a crit-bit tree, and a list in
 * strcmp order through its leaves. Each key has two layers, Dom0's value and the qube's; which of
 * them is read depends on who looks (store_view). What the other daemon is still to hear of stands
 * in a list, each key at most once; what it has heard and not answered in a second one, so that the
 * two daemons agree after writes that cross: Dom0's wins. Nothing here does I/O.
 */
#ifndef QDB_STORE_H
#define QDB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qdb.h"

enum side { DOM0, QUBE };

/* Of the qube's layer; Dom0's is counted apart, so a flood never stops Dom0. Bytes: keys and
 * values. */
#define QUBE_ENTRIES_MAX 16384u
#define QUBE_BYTES_MAX (4u << 20)
#define DOM0_ENTRIES_MAX 65536u
#define DOM0_BYTES_MAX (32u << 20)

struct entry;

/* A path whose bytes are checked; zero from its end on. */
struct key {
	uint8_t len;
	char s[QDB_PATH];
};
/* false: a byte that no path has, or - at its begin (spec/qubesdb 2). Byte 64 counts as NUL. */
bool key_take(struct key *k, const char untrusted[QDB_PATH]);
bool key_writable(const struct key *k); /* / at its begin, none at its end */
void key_of(struct key *k, const struct entry *e);
bool key_is_dir(const struct key *k); /* / at its end: stands for all below it */

struct value {
	uint16_t len, cap;
	char p[];
};

struct entry {
	struct entry *next, *prev;   /* ascending */
	struct entry *later, *older; /* in the list that it is in, if any */
	struct value *v[2];
	uint64_t born; /* which of all entries that there ever were */
	uint32_t sent; /* number of the last message about it, in this connection */
	uint8_t flags, len;
	char key[]; /* with its NUL */
};
enum {
	REMOVED = 1,   /* by the qube, while Dom0 has it */
	PEER_HAS = 2,  /* the other daemon is known to have it */
	DIRTY = 4,     /* it is to hear of it */
	IN_FLIGHT = 8, /* it has not answered yet */
};

struct entries {
	struct entry *first, *last;
};

struct store {
	void *root;
	struct entry *first, *last;
	uint64_t born;
	struct entries dirty, in_flight;
	struct usage {
		uint32_t n;
		size_t bytes;
	} used[2];
};

struct entry *store_find(const struct store *s, const struct key *k);
struct entry *store_from(const struct store *s, const struct key *k); /* the first not before k */
/* It is k, or below it. Such entries follow store_from(k) without a gap. */
bool key_covers(const struct key *k, const struct entry *e);
/* What that side reads; NULL: nothing. */
const struct value *store_view(const struct entry *e, enum side side);

/* NULL: over that side's limit, or no memory. */
struct entry *store_put(
    struct store *s, enum side by, const struct key *k, const void *value, size_t len);
/* That side no longer sees it. The entry may be freed by store_settle only. */
void store_remove(struct store *s, enum side by, struct entry *e);
/* To the end of the list, or out of both. */
void store_mark(struct store *s, struct entry *e, uint8_t list);
/* Freed if nobody has anything to remember of it. */
void store_settle(struct store *s, struct entry *e);
/* The connection to the other daemon has ended; keep: what it has not heard of waits for the next.
 */
void store_unlinked(struct store *s, bool keep);
void store_free(struct store *s);

/* A walk that can be left and taken up, whatever has changed meanwhile. Entries that were made
 * after its begin are not in it: who makes new ones ahead of a slow reader could keep it for ever.
 */
struct cursor {
	bool on, down, begun;
	int layer; /* -1: what side sees, else keys with a value of that layer */
	enum side side;
	struct key prefix, at;
	uint64_t born; /* the last one of its begin */
};
/* false: there was no room, the same entry comes again. */
typedef bool cursor_fn(void *arg, struct entry *e, const struct value *v);
/* true: all are given, and it is off. */
bool cursor_run(const struct store *s, struct cursor *c, cursor_fn *fn, void *arg);

#endif
