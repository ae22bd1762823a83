/* SPDX-License-Identifier: ISC */
/*
 * policyd's table of tickets: what was allowed and is not yet used (policysock.h). No I/O; the
 * clock is the caller's. A ticket names sessions; who may redeem it is decided here, from facts the
 * caller proved.
 */
#ifndef TICKET_H
#define TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

#define TICKETS_MAX 1024
#define TICKETS_PER_SOURCE 160

struct ticket_facts {
	const char *source, *source_session;
	uint32_t source_domid;
	const char *target,
	    *target_session; /* session "": not running (dom0 has none and needs none) */
	const char *service, *user, *requested_target, *policy_source; /* "" if none */
	bool autostart;
	bool disposable; /* target is @dispvm:BASE until the ticket is bound */
};

struct ticket {
	struct ticket *next;
	char id[HEXID_LEN + 1];
	char source_session[HEXID_LEN + 1], target_session[HEXID_LEN + 1];
	uint64_t deadline; /* ms */
	bool started;	   /* use=start has been made of it */
	char
	    bound[NAME_LEN_MAX + 1]; /* a disposable's: the qube it is for; then f.target is that */
	struct ticket_facts f;	     /* its strings lie behind the struct, the sessions above */
	char mem[];
};

struct tickets {
	struct ticket *head;
	size_t n;
};

/* NULL and *why: too many, or no memory. Owned by the table. */
const struct ticket *ticket_new(
    struct tickets *ts, const struct ticket_facts *f, uint64_t now, const char **why);
const struct ticket *ticket_find(const struct tickets *ts, const char *untrusted_id, uint64_t now);
/*
 * use=call by the running qube `by` in its session, or by root for dom0 (by = "dom0"); NULL if it
 * may: ticket_drop it when the answer is made. Else the reason, and the ticket stays.
 */
const char *ticket_call(const struct ticket *t, const char *by, const char *session);
/* use=start by root; session: the target's now, "" if it does not run. NULL if it may. */
const char *ticket_start(
    struct tickets *ts, const struct ticket *t, const char *session, uint64_t now);
/*
 * By root, once: name, a running disposable of base in its session, was made for a disposable's
 * ticket whose start was used. NULL if it is so; else the reason, and the ticket stays as it was.
 */
const char *ticket_bind(struct tickets *ts, const struct ticket *t, const char *name,
    const char *base, const char *session, uint64_t now);
void ticket_drop(struct tickets *ts, const struct ticket *t);
/* name has this session now ("": none): others' tickets die; a halted target's tickets get it. */
void tickets_session(struct tickets *ts, const char *name, const char *session);
/* Drops what is overdue; the next deadline, or 0. */
uint64_t tickets_sweep(struct tickets *ts, uint64_t now);

#endif
