/* SPDX-License-Identifier: ISC */
/* A tree as a copy sees it: each item by its name from the argument's last component on. */
#ifndef QFILE_WALK_H
#define QFILE_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "filecopy/qfile.h"

struct walk {
	/* dir and name are what to open; path is what it is called over there. False ends the walk.
	 */
	bool (*file)(struct walk *, int dir, const char *name);
	bool (*link)(struct walk *, int dir, const char *name);
	bool (*directory)(struct walk *, const struct stat *, bool again); /* before, and after */
	bool (*other)(struct walk *, mode_t);		/* a socket, a fifo, a device */
	bool (*failed)(struct walk *, const char *why); /* returns false */
	void *arg;
	/* The walk's. */
	const char *base; /* the directory that the argument is in: "DIR/", or "" */
	char path[QFILE_PATH_MAX];
};

/* "." and ".." are walked by the name that they have in the directory above. */
bool walk_tree(struct walk *, const char *arg);

/* For a person: DIR/path, printable, its end if it is long. */
#define WALK_TEXT_MAX 400
const char *walk_text(const struct walk *, char text[WALK_TEXT_MAX]);
const char *path_text(const char *base, const char *path, char text[WALK_TEXT_MAX]);

#endif
