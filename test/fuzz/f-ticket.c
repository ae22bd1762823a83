/* SPDX-License-Identifier: ISC */
/* Any order of issue, session, use and time: a ticket is used once, in its own sessions, in its
 * time. */
#include <stdlib.h>
#include <string.h>

#include "policy/policysock.h"
#include "policy/ticket.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char *const names[] = {"work", "vault", "mail", "dom0"};
static const char *const sessions[] = {"", "11111111111111111111111111111111",
    "22222222222222222222222222222222", "33333333333333333333333333333333"};

static void
use(struct tickets *ts, uint8_t b, uint64_t now, const char *const *session_of)
{
	const struct ticket *t = ts->head != NULL ? ticket_find(ts, ts->head->id, now) : NULL;
	const char *by = names[b & 3], *session = session_of[b & 3];
	uint64_t limit = (t != NULL && t->started ? TICKET_START_S : TICKET_S) * 1000;

	if (t == NULL)
		return;
	if (t->deadline - now > limit)
		abort();
	if (b & 4) {
		(void)ticket_start(ts, t, session_of[1], now);
		return;
	}
	if (b & 32) {
		bool was = t->bound[0] != '\0', may = t->f.disposable && t->started && !was;

		if (ticket_bind(ts, t, by, b & 64 ? "vault" : "work", session, now) == NULL) {
			if (!may || *session == '\0' || strcmp(t->f.target, by) != 0 ||
			    t->deadline - now != TICKET_S * 1000)
				abort();
		} else if ((t->bound[0] != '\0') != was) {
			abort();
		}
		return;
	}
	if (ticket_call(t, by, session) != NULL)
		return;
	if (strcmp(t->f.target, by) != 0 ||
	    (strcmp(by, "dom0") != 0 && strcmp(t->target_session, session) != 0) ||
	    (t->f.disposable && t->bound[0] == '\0'))
		abort();
	ticket_drop(ts, t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tickets ts = {0};
	const char *session_of[] = {sessions[1], sessions[2], "", ""}, *why;
	uint64_t now = 1000;
	char id[64] = "";

	for (size_t i = 0; i + 1 < n; i += 2) {
		uint8_t b = p[i + 1];
		struct ticket_facts f = {.source = names[b & 1],
		    .source_session = session_of[b & 1],
		    .target = names[b >> 1 & 3],
		    .target_session = session_of[b >> 1 & 3],
		    .service = "s+",
		    .user = "DEFAULT",
		    .requested_target = "",
		    .policy_source = "",
		    .autostart = b & 8,
		    .disposable = b & 16};

		if (f.disposable) {
			f.target = "@dispvm:vault";
			f.target_session = "";
		}
		switch (p[i] % 5) {
		case 0:
			(void)ticket_new(&ts, &f, now, &why);
			break;
		case 1:
			session_of[b % 3] = sessions[b >> 2 & 3];
			tickets_session(&ts, names[b % 3], session_of[b % 3]);
			break;
		case 2:
			use(&ts, b, now, session_of);
			break;
		case 3:
			now += (uint64_t)b * 100;
			(void)tickets_sweep(&ts, now);
			break;
		default:
			memcpy(id, p + i, n - i < 63 ? n - i : 63);
			(void)ticket_find(&ts, id, now);
		}
	}
	(void)tickets_sweep(&ts, UINT64_MAX);
	if (ts.n != 0 || ts.head != NULL)
		abort();
	return 0;
}
