/* SPDX-License-Identifier: ISC */
/*
 * What runs, kept up to date from RUN_STATE by inotify, for daemons that act on a qube's start and
 * end. A qube whose state is Dying or Crashed has ended; so has one whose session or domid has
 * changed.
 */
#ifndef RUNNING_H
#define RUNNING_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "names.h"

struct domain {
	struct domain *next;
	char name[NAME_LEN_MAX + 1], session[HEXID_LEN + 1];
	uint32_t domid, qid;
	int dir, wd; /* for who follows; -1 */
};

/* began: false, and it does not count. ended: *d is freed when it returns. Either may be NULL. */
struct running_fns {
	bool (*began)(struct domain *d);
	void (*ended)(struct domain *d);
};

/* Calls began for all that run. Exits 111 on failure. */
void running_start(struct loop *l, const struct running_fns *fns);
void running_look(void); /* what has happened, and was not heard of yet */
struct domain *running_first(void);
/* By qid, or with qid 0 by domid; looks again before it says NULL: not running. */
struct domain *running_find(uint32_t domid, uint32_t qid);

#endif
