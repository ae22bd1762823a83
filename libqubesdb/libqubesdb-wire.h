/* SPDX-License-Identifier: ISC */
/* Within libqubesdb: a connection to a daemon and its messages. Failures set errno. */
#ifndef LIBQUBESDB_WIRE_H
#define LIBQUBESDB_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "libqubesdb.h"
#include "qdb/qdb.h"

struct event {
	struct event *next;
	char path[QDB_PATH];
};

struct qdb_handle {
	int fd;	      /* -1: the next call connects */
	bool watches; /* this connection has been given one: it is not replaced silently */
	struct sockaddr_un rw, ro;

	struct event *first, **last; /* came before an answer */
	size_t events;

	/* Once qdb_watch_fd was called: an epoll of the socket and of bell, which rings while there
	 * is something that the socket does not show any more. */
	int poll, bell;
	bool ringing;

	size_t off, len; /* bytes are in[off .. off + len) */
	uint8_t in[8192];
};
_Static_assert(sizeof(((struct qdb_handle *)0)->in) >= QDB_MESSAGE_MAX, "a message fits");

/* If there is none. */
bool qdb_link_connect(struct qdb_handle *h);
/* Ends the connection, with errno e; events that have come stay. Always false. */
bool qdb_link_lost(struct qdb_handle *h, int e);
void qdb_link_drop_events(struct qdb_handle *h);
/* At the end of each call: who polls qdb_watch_fd sees what waits in the handle. */
void qdb_link_settle(struct qdb_handle *h);
bool qdb_link_polled(struct qdb_handle *h);

/* The next message. *value (m->len bytes, no NUL) holds until the next call. intr: a signal may end
 * the wait for its first byte. */
bool qdb_link_get(struct qdb_handle *h, struct qdb_hdr *m, const char **value, bool intr);
/* The next one that is no event; events are kept. */
bool qdb_link_answer(struct qdb_handle *h, struct qdb_hdr *m, const char **value);
/*
 * One request and the first message of its answer. A daemon that was started anew since the last
 * call is asked again, once: every request may be repeated. Not if there were watches, which the
 * caller has to set again and would not know of.
 */
bool qdb_link_ask(struct qdb_handle *h, const struct qdb_hdr *req, const char *data,
    struct qdb_hdr *m, const char **value);
/* An answer that is not the wanted one: says why, in errno. Always false. */
bool qdb_link_refused(struct qdb_handle *h, const struct qdb_hdr *m);

#endif
