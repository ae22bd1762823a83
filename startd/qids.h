/* SPDX-License-Identifier: ISC */
/*
 * VAR_DIR/qids: "QID NAME" lines: a qube's number for as long as the machine exists. startd
 * assigns, everybody reads. dom0 is 0 and not in it.
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
/* From the file; 0 if it is not there (errno 0) or cannot be read. */
uint32_t qid_of(const char *name);
/* The same, assigning one (write, fsync, rename, fsync of the directory). 0, errno on failure. */
uint32_t qid_assign(const char *name);

#endif
