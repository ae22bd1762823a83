/* SPDX-License-Identifier: ISC */
/*
 * What Dom0 tells a qube at its start (spec/qubesdb 8): made of its text file, its qid and what is
 * known of its netvm. The same for a qdbd that starts and for one that was killed, but for what is
 * given once a start (the random seed): again says that.
 */
#ifndef QDB_KEYS_H
#define QDB_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

/* One entry; false ends it: there is no room. value: len bytes, no NUL among them. */
typedef bool qdb_key_fn(void *arg, const char *path, const char *value, size_t len);

/* vm_dir: of vm.d. NULL, or what is wrong with the file (a static text). */
const char *qdb_keys(int vm_dir, const struct vm_state *s, bool again, qdb_key_fn *fn, void *arg);

#endif
