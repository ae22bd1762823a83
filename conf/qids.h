/* SPDX-License-Identifier: ISC */
/*
 * VAR_DIR/qids: "QID NAME" lines: a qube's number for as long as it exists. startd assigns,
 * everybody reads. dom0 is 0 and not in it. A number that came free is given again when all higher
 * ones have been: "QID -" is who had the last one, where that is not the highest that is there.
 */
#ifndef QIDS_H
#define QIDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define QIDS_FILE "qids"
#define QIDS_BYTES (512 * 1024)

/* The qid of name in a table's bytes; 0: not there. *bad: a line that is none (its number). */
uint32_t qids_find(const char *p, size_t n, const char *name, uint32_t *highest, unsigned *bad);
/* The one that a new name would get; 0: all are used up. */
uint32_t qids_next(const char *p, size_t n);
/* From the file; 0 if it is not there (errno 0) or cannot be read. */
uint32_t qid_of(const char *name);
/* The same, assigning one (write, fsync, rename, fsync of the directory). 0, errno on failure. */
uint32_t qid_assign(const char *name);
bool qid_free(const char *name); /* true too if it has none. false, errno */
void qids_each(void (*fn)(void *arg, const char *name), void *arg);

#endif
