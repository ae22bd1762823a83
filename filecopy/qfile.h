/* SPDX-License-Identifier: ISC */
/*
 * The wire of a file copy (spec/filecopy 1, 2), native byte order. To the receiver: a header, a
 * name, a body, and so on; a header of zeroes ends it. A directory's header comes before and again
 * after what is in it. From the receiver: one reply, which ends the transfer.
 */
#ifndef QFILE_H
#define QFILE_H

#include <stdint.h>

#define QFILE_PATH_MAX                                                                             \
	16383 /* bytes of a name, its NUL counted if it has one; of a link's target */
#define QFILE_NSEC_MAX 999999999

struct qfile_header {
	uint32_t namelen; /* stock senders count a NUL, others need not; 0: the end */
	uint32_t mode;	  /* st_mode: type and 07777 */
	uint64_t filelen; /* bytes that follow the name: a file's, a link's target; directory: 0 */
	uint32_t atime, atime_nsec, mtime, mtime_nsec;
};
_Static_assert(sizeof(struct qfile_header) == 32, "spec/filecopy 1");

/* Then the last name's length (uint32) and its bytes, unless the receiver is an old one. */
struct qfile_reply {
	uint32_t error; /* 0, an errno of Linux, or QFILE_CUT */
	uint32_t zero;
	uint64_t crc; /* zip's CRC-32 of all bytes received, the end's header too */
};
_Static_assert(sizeof(struct qfile_reply) == 16, "spec/filecopy 2");

#define QFILE_CUT 31415926 /* the input ended inside of an item */

/* Where a receiver's quotas come from: keys of /etc/qubes/rpc-config/qubes.Filecopy. */
#define QFILE_SERVICE "qubes.Filecopy"

/* For a person: what an error of a reply means, and what to do. */
const char *qfile_strerror(uint32_t error);

#endif
