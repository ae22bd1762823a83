/* SPDX-License-Identifier: ISC */
#include "policy/ticket.h"

#include <stdlib.h>
#include <string.h>

#include "policy/policysock.h"

static char *
keep(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *to = *at;

	memcpy(to, s, n);
	*at += n;
	return to;
}

static bool
session_set(char to[HEXID_LEN + 1], const char *session)
{
	size_t n = strlen(session);

	if (n != 0 && n != HEXID_LEN)
		return false;
	memcpy(to, session, n + 1);
	return true;
}

/* A disposable's that names no qube yet. */
static bool
unbound(const struct ticket *t)
{
	return t->f.disposable && t->bound[0] == '\0';
}

static const char *
no_room(const struct tickets *ts, const char *source)
{
	size_t same = 0;

	for (const struct ticket *t = ts->head; t != NULL; t = t->next)
		same += strcmp(t->f.source, source) == 0;
	if (same >= TICKETS_PER_SOURCE)
		return "160 tickets of this qube wait";
	return ts->n >= TICKETS_MAX ? "1024 tickets wait" : NULL;
}

const struct ticket *
ticket_new(struct tickets *ts, const struct ticket_facts *f, uint64_t now, const char **why)
{
	struct ticket *t;
	char *at;

	*why = no_room(ts, f->source);
	if (*why != NULL)
		return NULL;
	t = calloc(1, sizeof(*t) + strlen(f->source) + strlen(f->target) + strlen(f->service) +
			  strlen(f->user) + strlen(f->requested_target) + strlen(f->policy_source) +
			  6);
	if (t == NULL || !session_set(t->source_session, f->source_session) ||
	    !session_set(t->target_session, f->target_session)) {
		*why = t == NULL ? "no memory" : "not a session";
		free(t);
		return NULL;
	}
	at = t->mem;
	t->f = (struct ticket_facts){
	    .source = keep(&at, f->source),
	    .source_session = t->source_session,
	    .source_domid = f->source_domid,
	    .target = keep(&at, f->target),
	    .target_session = t->target_session,
	    .service = keep(&at, f->service),
	    .user = keep(&at, f->user),
	    .requested_target = keep(&at, f->requested_target),
	    .policy_source = keep(&at, f->policy_source),
	    .autostart = f->autostart,
	    .disposable = f->disposable,
	};
	hexid_new(t->id);
	t->deadline = now + TICKET_S * 1000;
	t->next = ts->head;
	ts->head = t;
	ts->n++;
	return t;
}

const struct ticket *
ticket_find(const struct tickets *ts, const char *untrusted_id, uint64_t now)
{
	const struct ticket *t;

	if (!hexid_ok(untrusted_id))
		return NULL;
	for (t = ts->head; t != NULL; t = t->next) {
		if (hexid_equal(t->id, untrusted_id))
			return now < t->deadline ? t : NULL;
	}
	return NULL;
}

const char *
ticket_call(const struct ticket *t, const char *by, const char *session)
{
	if (unbound(t) || strcmp(t->f.target, by) != 0)
		return "a ticket for another qube";
	if (strcmp(by, "dom0") == 0)
		return NULL;
	if (*session == '\0' || strcmp(t->target_session, session) != 0)
		return "a ticket for another session";
	return NULL;
}

/* The table's own, to be changed. */
static struct ticket *
own(struct tickets *ts, const struct ticket *t)
{
	struct ticket *w = ts->head;

	while (w != NULL && w != t)
		w = w->next;
	return w;
}

const char *
ticket_start(struct tickets *ts, const struct ticket *t, const char *session, uint64_t now)
{
	struct ticket *w = own(ts, t);

	if (w == NULL || !w->f.autostart)
		return "a ticket without autostart";
	if (w->started)
		return "its start was used";
	if (w->target_session[0] == '\0' && !session_set(w->target_session, session))
		return "not a session";
	w->started = true;
	w->deadline = now + TICKET_START_S * 1000;
	return NULL;
}

const char *
ticket_bind(struct tickets *ts, const struct ticket *t, const char *name, const char *base,
    const char *session, uint64_t now)
{
	struct ticket *w = own(ts, t);

	if (w == NULL || !w->f.disposable)
		return "not a disposable's ticket";
	if (w->bound[0] != '\0')
		return "it is bound already";
	if (!w->started)
		return "its start was not used";
	if (strcmp(w->f.target + strlen("@dispvm:"), base) != 0)
		return "not a disposable of the ticket's base";
	if (*session == '\0' || strlen(name) >= sizeof(w->bound))
		return "no running qube";
	if (!session_set(w->target_session, session))
		return "not a session";
	memcpy(w->bound, name, strlen(name) + 1);
	w->f.target = w->bound;
	w->deadline = now + TICKET_S * 1000;
	return NULL;
}

void
ticket_drop(struct tickets *ts, const struct ticket *t)
{
	for (struct ticket **at = &ts->head; *at != NULL; at = &(*at)->next) {
		struct ticket *dead = *at;

		if (dead != t)
			continue;
		*at = dead->next;
		ts->n--;
		explicit_bzero(dead->id, sizeof(dead->id));
		free(dead);
		return;
	}
}

/* What a new session of name does to t: false, it dies. */
static bool
survives(struct ticket *t, const char *name, const char *session)
{
	if (strcmp(t->f.source, name) == 0 && strcmp(t->source_session, session) != 0)
		return false;
	if (unbound(t) || strcmp(t->f.target, name) != 0)
		return true;
	if (t->target_session[0] == '\0')
		return session_set(t->target_session, session);
	return strcmp(t->target_session, session) == 0;
}

void
tickets_session(struct tickets *ts, const char *name, const char *session)
{
	struct ticket *next;

	for (struct ticket *t = ts->head; t != NULL; t = next) {
		next = t->next;
		if (!survives(t, name, session))
			ticket_drop(ts, t);
	}
}

uint64_t
tickets_sweep(struct tickets *ts, uint64_t now)
{
	uint64_t first = 0;
	struct ticket *next;

	for (struct ticket *t = ts->head; t != NULL; t = next) {
		next = t->next;
		if (t->deadline <= now)
			ticket_drop(ts, t);
		else if (first == 0 || t->deadline < first)
			first = t->deadline;
	}
	return first;
}
