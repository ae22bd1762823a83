/* SPDX-License-Identifier: ISC */
/*
 * Messages of key=value lines, ended by an empty line or end of file: the policy socket
 * (spec/qrexec 6) and our own sockets beside it (policysock.h, startsock.h, chansock.h, state.h).
 * Keys are [a-z_]+.
 */
#ifndef KV_H
#define KV_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define KV_MAX 24     /* lines of one message */
#define KV_BYTES 8192 /* of one message */

struct kv {
	size_t n;
	struct {
		const char *key, *val;
	} item[KV_MAX];
	char text[KV_BYTES + 1]; /* what item points into */
};

/* Length of the whole message at the start of p (its empty line included), 0 if it is not there
 * yet. */
size_t kv_whole(const void *p, size_t n);
/* Parses n bytes. NULL, or what is wrong in a few words: "duplicate key", "no =", "not ASCII", ...
 */
const char *kv_parse(struct kv *kv, const void *untrusted, size_t n);
const char *kv_get(const struct kv *kv, const char *key);	      /* NULL if absent */
bool kv_only(const struct kv *kv, const char *const *keys, size_t n); /* no key but these */
/* Adds "key=val\n"; false if it does not fit or val holds a newline or a byte that is not ASCII. */
bool kv_put(struct buf *b, const char *key, const char *val);

/*
 * For commands and tests: one request over a Unix socket, the whole answer within ms. The answer is
 * parsed into out. NULL, or what went wrong. fd_out, if not NULL, takes one passed descriptor or
 * -1.
 */
#define KV_HUNG_UP "hung up" /* the other side ended before it had answered */
const char *kv_call(
    const char *sock, const void *req, size_t n, int ms, struct kv *out, int *fd_out);
/* The same over a connected socket, which stays open. ms -1: for ever. */
const char *kv_ask(int s, const void *req, size_t n, int ms, struct kv *out, int *fd_out);

#endif
