/* SPDX-License-Identifier: ISC */
/*
 * The wire of QubesDB, the same on its sockets and on its vchan (spec/qubesdb 2, 3): a header of 72
 * bytes, native little endian, then len bytes of value. Padding is zero in what we send and of no
 * meaning in what comes.
 */
#ifndef QDB_H
#define QDB_H

#include <stdint.h>

#define QDB_PORT 111 /* Dom0 is the server */
#define QDB_PATH 64  /* the field; a key has at most 63 bytes */
#define QDB_VALUE_MAX 3071
#define QDB_MESSAGE_MAX (sizeof(struct qdb_hdr) + QDB_VALUE_MAX)

enum qdb_type {
	QDB_READ,
	QDB_WRITE,
	QDB_MULTIREAD,
	QDB_LIST,
	QDB_RM,
	QDB_WATCH,
	QDB_UNWATCH,
	QDB_OK,
	QDB_NOENT, /* never sent on a vchan: a stock peer ends on it */
	QDB_ERROR,
	QDB_R_READ,
	QDB_R_MULTIREAD, /* the last one has an empty path */
	QDB_R_LIST,	 /* the same */
	QDB_R_WATCH,	 /* may come before any answer */
};

struct qdb_hdr {
	uint8_t type;
	char path[QDB_PATH];
	uint8_t pad[3];
	uint32_t len;
};
_Static_assert(sizeof(struct qdb_hdr) == 72, "spec/qubesdb 3");

/*
 * Whose keys, in Dom0: LIST of one of these and a prefix that begins with / ("//dom0/" is all of
 * them, "//dom0/name" those that begin with "/name") lists the keys that Dom0 owns, or those for
 * which the qube has a value of its own (a key may be in both; one that it only removed is in
 * neither for it). Answers are R_LIST with the plain keys, ascending, and the empty path, as of any
 * LIST. No stock client sends it. Where sides are not known (in a qube, in Dom0's own daemon) the
 * answer is ERROR.
 */
#define QDB_OF_DOM0 "//dom0"
#define QDB_OF_QUBE "//qube"

/*
 * Sockets. Dom0: RUN_QDB/NAME/qubesdb (root and group qubes may write) and qubesdb.ro; RUN_DIR/
 * qubesdb.NAME.sock and qubesdb.NAME.ro.sock are links to them, for libqubesdb and scripts. In a
 * qube, and Dom0's own: RUN_DIR/qubesdb.sock, qubesdb.ro.sock.
 */
#define QDB_SOCK "qubesdb"
#define QDB_RO_SOCK "qubesdb.ro"

#endif
