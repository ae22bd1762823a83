/* SPDX-License-Identifier: ISC */
/* libqubesdb's own, for the commands and for tests: not installed, not exported by the library. */
#ifndef LIBQUBESDB_H
#define LIBQUBESDB_H

#include <stdbool.h>

/* Only qubesdb.h is for others: this is what the library exports. */
#pragma GCC visibility push(default)
#include "qubesdb.h"
#pragma GCC visibility pop

#define QDB_EVENTS_MAX 1024 /* watch events that nobody has read yet */
#define QDB_LIST_MAX 65536  /* of an answer: entries, */
#define QDB_LIST_BYTES (64u << 20)

/* qdb_open with the sockets in another directory. */
qdb_handle_t qdb_open_dir(const char *dir, const char *vmname);
/* 1 to 63 bytes of the characters of a key, not beginning with -. */
bool qdb_path_ok(const char *path);
/* The same, and what may be written: begins with / and does not end in it. */
bool qdb_key_ok(const char *path);
/* qdb_list of the keys of one side (QDB_OF_DOM0, QDB_OF_QUBE), ascending; path begins with /. */
char **qdb_list_of(qdb_handle_t h, const char *side, const char *path, unsigned int *list_len);

#endif
