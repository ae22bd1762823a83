/* SPDX-License-Identifier: ISC */
/* The sender's half of a copy: files and trees to a stream, the receiver's reply from another. */
#ifndef QFILE_PACK_H
#define QFILE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "filecopy/qfile.h"

#define OUTPUT_SIZE (256 * 1024)

struct pack {
	int out, in;	   /* to the receiver; its reply, which is looked for while we send */
	bool ignore_links; /* they are left out */
	FILE *sent;	   /* or NULL: what was sent, for moved() */
	void (*progress)(uint64_t bytes); /* of files' contents, so far; or NULL */
	/* Ours. */
	uint64_t crc, bytes, items, left_out;
	bool answered; /* the reply is there, or the receiver gone: no use in sending more */
	size_t n;
	const char *base; /* where the argument that is sent stands: "DIR/" or "" */
	char path[QFILE_PATH_MAX + 2];
	uint8_t buffer[OUTPUT_SIZE];
};

/*
 * One argument of the command line and all below it. False: p->answered, or something cannot be
 * read: that was said, and the copy is to be given up.
 */
bool pack_tree(struct pack *, const char *arg);
/* All out. Not whole: without the last header, which tells the receiver; what was whole arrives. */
bool pack_end(struct pack *, bool whole);

struct reply {
	bool there; /* the head of it, at least */
	uint32_t error;
	uint64_t crc;
	size_t last_len; /* 0: an old receiver */
	char untrusted_last[QFILE_PATH_MAX + 1];
};

/* Reads it to its end. */
void reply_read(int in, struct reply *);
/*
 * What it means for a copy whose bytes had that CRC; says it on standard error. True: all is there.
 */
bool reply_ok(const struct reply *, const struct pack *);

/* Removes what the file says was sent, unless it has changed since. False: something was kept,
 * said. */
bool moved(FILE *sent);

/* For moved(): one item, its name in front of the next. */
struct sent {
	dev_t dev;
	ino_t ino;
	mode_t mode;
	bool many; /* names: its ctime changes when another one goes */
	off_t size;
	struct timespec mtime, ctime;
	size_t path_len;
};

#endif
