/* SPDX-License-Identifier: ISC */
/*
 * The receiver's half of a copy: reads a stream, makes what it says below one directory, says how
 * it went. Nothing outside of that directory is reached by whatever the stream says, nothing that
 * was there is changed, and no file is seen before it is whole. The memory it takes does not depend
 * on what comes.
 */
#ifndef QFILE_UNPACK_H
#define QFILE_UNPACK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filecopy/qfile.h"

struct unpack_rules {
	bool any_name;	    /* --allow-all-names: any bytes in a name */
	bool any_link;	    /* --allow-unsafe-symlinks */
	bool no_merge;	    /* a directory that exists is refused */
	bool wait;	    /* for disk space: until what a file needs and `spare` are free */
	uint64_t spare;	    /* bytes */
	uint64_t bytes_max; /* of all files together; 0: no limit */
	uint64_t files_max; /* and directories and links; 0: no limit */
	uint64_t depth_max; /* components of a path; 0: no limit */
	void (*said)(const char *untrusted_path); /* -v; or NULL */
};

struct unpack_result {
	uint32_t error; /* as in qfile_reply */
	uint32_t crc;
	uint64_t files, bytes;	       /* what is there now */
	char last[QFILE_PATH_MAX + 1]; /* as the sender named it: untrusted */
};

/*
 * in: the stream, read to its end or to the first thing that is wrong. root: the directory, open
 * for reading. proc: /proc/self/fd, O_PATH (a sandbox has no other way to give a file its name).
 * The data is on the disk when error is 0.
 */
void unpack(int in, int root, int proc, const struct unpack_rules *, struct unpack_result *);

/* To the sender. False: it has gone. */
bool unpack_reply(int out, const struct unpack_result *);

#endif
