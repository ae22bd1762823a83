/* SPDX-License-Identifier: ISC */
/* Inside of store.h: one message and its answer. */
#ifndef STORE_WIRE_H
#define STORE_WIRE_H

#include <errno.h>
#include <xen/io/xs_wire.h>

#include "buf.h"
#include "xen/store.h"

#define STORE_HEADER sizeof(struct xsd_sockmsg)
#define STORE_TOKEN_MAX 64
#define STORE_BATCH_MAX 250
/* of one piece: it and its answers fit the socket, nobody waits for the other */
#define STORE_BATCH_BYTES 32768

struct event {
	struct event *next;
	char *token; /* behind the path */
	char path[];
};

struct watch {
	struct watch *next;
	char *token;
	char path[];
};

struct store {
	int fd, poll_fd, wake_fd; /* poll_fd: the other two */
	bool device, gone, rung;
	uint32_t id;
	size_t have; /* of the message that is coming in */
	uint8_t in[STORE_HEADER + XENSTORE_PAYLOAD_MAX + 1];
	uint8_t out[STORE_HEADER + XENSTORE_PAYLOAD_MAX];
	struct wr w; /* over out's payload */
	bool batching;
	uint32_t nbatch; /* requests kept, whose numbers are the last ones before id */
	int batch_err;	 /* of the first that failed */
	struct buf batch;
	uint8_t kinds[STORE_BATCH_MAX];
	struct event *events, **last;
	size_t nevents;
	struct watch *watches;
	struct watch *again; /* events were lost: this one and those behind it still have to fire */
};

/* The request's payload: begins it with a string; a further one; s->w takes anything else. */
void store_say(struct store *s, const char *first);
void store_say_u32(struct store *s, const char *before, uint32_t n);
/* Sends it. The answer's payload is then at s->in + STORE_HEADER, with a NUL behind it. */
bool store_ask(struct store *s, uint32_t type, uint32_t tx, size_t *len);
/* It will never answer again, or not what we asked. Always false, with errno. */
bool store_fail(struct store *s, int err, const char *why);

#endif
