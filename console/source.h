/* SPDX-License-Identifier: ISC */
/*
 * Where a guest's console comes from: source-local.c (a fifo), source-xen.c (a ring in a page of
 * the guest's). In the console process only.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmstart/domain.h"

struct source; /* one in the process */

/* Before the sandbox. NULL: errno. */
struct source *source_open(const struct console_end *e);
int source_fd(const struct source *s); /* readable: call source_take */
/*
 * What the guest has printed, at most size bytes. 0: nothing now, or no more of its allowance for
 * now (a clock in ms). -1: the source is broken, and nothing will come any more.
 */
ssize_t source_take(struct source *s, uint64_t now, void *out, size_t size);
/* After the last of source_take, with the same now: wait for more. False: look again after *ms. */
bool source_rearm(struct source *s, uint64_t now, uint32_t *ms);
/* What people type. How much of it was taken; -1: this source takes none. */
ssize_t source_put(struct source *s, const void *p, size_t n);

#endif
