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
#include "filecopy/walk.h"

#define OUTPUT_SIZE (256 * 1024)

struct pack {
	int out, in;	   /* to the receiver; its reply, which is looked for while we send */
	bool ignore_links; /* they are left out */
	FILE *sent;	   /* or NULL: what was sent, for moved() */
	void (*progress)(uint64_t bytes); /* of files' contents, so far; or NULL */
	/* Ours. */
	uint32_t crc;
	uint64_t bytes, items, left_out; /* items: in `sent` */
	bool answered; /* the reply is there, or the receiver gone: no use in sending more */
	struct walk walk;
	size_t n;
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
	uint32_t crc;
	size_t last_len; /* 0: an old receiver */
	char untrusted_last[QFILE_PATH_MAX + 1];
};

/* Reads it to its end. */
void reply_read(int in, struct reply *);
/*
 * What it means for a copy whose bytes had that CRC; says it on standard error. True: all is there.
 */
bool reply_ok(const struct reply *, const struct pack *);

/* Removes the items that were sent, unless they have changed since. False: some were kept, said. */
bool moved(FILE *sent, uint64_t items);

/* For moved(): one item; then the directory, and the path in it. */
struct sent {
	dev_t dev;
	ino_t ino;
	mode_t mode;
	bool many; /* names: its ctime changes when another one goes */
	off_t size;
	struct timespec mtime, ctime;
	size_t base_len, path_len;
};

#endif
