/* SPDX-License-Identifier: ISC */
/*
 * A client of xenstore (xen/io/xs_wire.h), for Dom0 (its socket) and for a qube (/dev/xen/xenbus).
 * Not libxenstore: that one reads watches in a thread, waits without limit, and cannot be closed
 * away in a sandbox. One request at a time, each within STORE_MS; watch events that come meanwhile
 * are kept in order. A store that is gone (its daemon was killed) answers everything with EPIPE.
 * What is read may have been written by a qube: untrusted.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_MS 5000
#define STORE_PATH_MAX 256    /* of the paths that we use */
#define STORE_VALUE_MAX 4096  /* xs_wire.h XENSTORE_PAYLOAD_MAX */
#define STORE_EVENTS_MAX 1024 /* kept; one more and all watches count as fired: store_lost */

struct store;

/* $XENSTORED_PATH, /run/xenstored/socket, /dev/xen/xenbus: the first that is there. NULL: errno. */
struct store *store_open(void);
void store_close(struct store *s);   /* NULL is fine. Its watches and transactions end. */
int store_fd(const struct store *s); /* readable: call store_event until it says no */

/* tx: 0, or from store_begin. All return false (NULL) with errno: ENOENT, EACCES, EAGAIN, EPIPE...
 */
uint32_t store_begin(struct store *s); /* 0: errno */
/* EAGAIN: somebody else was faster, begin again. */
bool store_end(struct store *s, uint32_t tx, bool commit);
/* The value with a NUL added, into out; its length, or -1 (E2BIG: does not fit). */
int store_read(struct store *s, uint32_t tx, const char *path, char *out, size_t size);
/* A number of digits alone, at most max. EINVAL: something else stands there. */
bool store_number(struct store *s, uint32_t tx, const char *path, uint32_t max, uint32_t *out);
bool store_write(struct store *s, uint32_t tx, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
bool store_mkdir(struct store *s, uint32_t tx, const char *path);
bool store_rm(struct store *s, uint32_t tx, const char *path); /* with all below; ENOENT is fine */
/* Permissions of a node: the owner, and one more who may read it (reader STORE_NOBODY: none). */
#define STORE_NOBODY UINT32_MAX
bool store_own(struct store *s, uint32_t tx, const char *path, uint32_t owner, uint32_t reader);
/* Calls fn with each name below path. Names beyond what one message holds are fetched too. */
bool store_list(struct store *s, uint32_t tx, const char *path,
    void (*fn)(const char *untrusted_name, void *arg), void *arg);

/*
 * A turn through xenstored costs two switches of processes. From store_batch on, write, mkdir, rm
 * and own are kept and answer true; they go out together, in their order, before the next request
 * of another kind and by store_flush, which says how they went: errno of the first that failed.
 */
void store_batch(struct store *s);
bool store_flush(struct store *s);

bool store_watch(struct store *s, const char *path, const char *token);
bool store_unwatch(struct store *s, const char *path, const char *token);
/* 1: an event, its path and token; 0: none now; -1: the store has gone. Never waits. */
int store_event(struct store *s, char path[STORE_PATH_MAX], char token[64]);

/* Dom0 only. */
bool store_introduce(struct store *s, uint32_t domid, uint64_t gfn, uint32_t port);
bool store_release(struct store *s, uint32_t domid);

#endif
