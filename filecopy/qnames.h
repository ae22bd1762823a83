/* SPDX-License-Identifier: ISC */
/*
 * Which names and links a copy may make (spec/filecopy 3, "Names and links"). Used by the receiver,
 * which refuses, and by qubes-fs-tree-check, which says so before anything is sent.
 */
#ifndef QFILE_NAMES_H
#define QFILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The number of components of a relative path; 0: it is none, or one of them is "", "." or "..".
 * So no path that passes leads out of where it starts, whatever its characters.
 */
size_t path_depth(const char *path);

/* Printable ASCII or a character that looks like no other and turns no line around. */
bool path_readable(const char *path);

/*
 * A link at path (which has passed) may point there: below the topmost directory of path, by as
 * many ".." as lead there at most, and all of them in front.
 */
bool link_inside(const char *path, const char *target);

#endif
