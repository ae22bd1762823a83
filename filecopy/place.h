/* SPDX-License-Identifier: ISC */
/* Paths below a directory that somebody else may change meanwhile: never through a link, never out.
 */
#ifndef QFILE_PLACE_H
#define QFILE_PLACE_H

#include <stdint.h>
#include <sys/types.h>

/* openat2(2). path: at most 4000 bytes. */
int beneath(int dir, const char *path, uint64_t flags, mode_t mode);

/*
 * The directory that a path's last component is in, O_PATH; paths may be longer than the kernel
 * takes. Ask for it anew each time: what a person has moved away meanwhile is not reached any more
 * (QSB-014). -1: errno.
 */
int place_parent(int root, const char *path);

const char *place_name(const char *path); /* the last component */

#endif
