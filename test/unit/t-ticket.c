/* SPDX-License-Identifier: ISC */
/* The table of tickets, with a clock of our own. */
#include "tap.h"

#include "policy/policysock.h"
#include "policy/ticket.h"

#define W "11111111111111111111111111111111"
#define V "22222222222222222222222222222222"
#define V2 "33333333333333333333333333333333"

static struct ticket_facts
facts(void)
{
	return (struct ticket_facts){.source = "work",
	    .source_session = W,
	    .source_domid = 7,
	    .target = "vault",
	    .target_session = V,
	    .service = "a.B+c",
	    .user = "DEFAULT",
	    .requested_target = "vault",
	    .policy_source = "",
	    .autostart = true};
}

static const struct ticket *
issue(struct tickets *ts, struct ticket_facts f, uint64_t now)
{
	const char *why;
	const struct ticket *t = ticket_new(ts, &f, now, &why);

	assert_non_null(t);
	assert_null(why);
	return t;
}

static void
clear(struct tickets *ts)
{
	assert_int_equal(tickets_sweep(ts, UINT64_MAX), 0);
	assert_int_equal(ts->n, 0);
	assert_null(ts->head);
}

static void
test_facts_are_copied(void **state)
{
	struct tickets ts = {0};
	char service[] = "a.B+c", session[] = W;
	struct ticket_facts f = facts();
	const struct ticket *t;

	f.service = service;
	f.source_session = session;
	t = issue(&ts, f, 0);
	memset(service, 'x', 5);
	memset(session, 'x', 32);
	assert_string_equal(t->f.service, "a.B+c");
	assert_string_equal(t->f.source_session, W);
	assert_int_equal(t->f.source_domid, 7);
	assert_true(hexid_ok(t->id));
	clear(&ts);
}

static void
test_find(void **state)
{
	struct tickets ts = {0};
	const struct ticket *a = issue(&ts, facts(), 1000), *b = issue(&ts, facts(), 1000);

	assert_string_not_equal(a->id, b->id);
	assert_ptr_equal(ticket_find(&ts, a->id, 1000), a);
	assert_ptr_equal(ticket_find(&ts, b->id, 1000 + TICKET_S * 1000 - 1), b);
	assert_null(ticket_find(&ts, b->id, 1000 + TICKET_S * 1000));
	assert_null(ticket_find(&ts, "", 1000));
	assert_null(ticket_find(&ts, "00000000000000000000000000000000", 1000));
	assert_null(ticket_find(&ts, "0000000000000000000000000000000", 1000));
	clear(&ts);
}

static void
test_call(void **state)
{
	struct tickets ts = {0};
	struct ticket_facts f = facts();
	const struct ticket *t = issue(&ts, f, 0);

	assert_null(ticket_call(t, "vault", V));
	assert_non_null(ticket_call(t, "vault", V2));
	assert_non_null(ticket_call(t, "vault", ""));
	assert_non_null(ticket_call(t, "work", W));
	assert_non_null(ticket_call(t, "dom0", ""));
	f.target_session = "";
	assert_non_null(ticket_call(issue(&ts, f, 0), "vault", ""));
	f.target = "dom0";
	assert_null(ticket_call(issue(&ts, f, 0), "dom0", ""));
	f.target = "@dispvm:vault";
	f.disposable = true;
	assert_non_null(ticket_call(issue(&ts, f, 0), "@dispvm:vault", ""));
	clear(&ts);
}

static void
test_start(void **state)
{
	struct tickets ts = {0};
	struct ticket_facts f = facts();
	const struct ticket *t;

	f.target_session = "";
	t = issue(&ts, f, 0);
	assert_null(ticket_start(&ts, t, "", 4000));
	assert_non_null(ticket_start(&ts, t, "", 4000));
	assert_ptr_equal(ticket_find(&ts, t->id, 4000 + TICKET_START_S * 1000 - 1), t);
	tickets_session(&ts, "vault", V);
	assert_null(ticket_call(t, "vault", V));
	tickets_session(&ts, "vault", V2); /* the next start is another session */
	assert_int_equal(ts.n, 0);
	f.autostart = false;
	t = issue(&ts, f, 0);
	assert_non_null(ticket_start(&ts, t, "", 0));
	clear(&ts);
}

static const struct ticket *
disposable(struct tickets *ts, uint64_t now)
{
	struct ticket_facts f = facts();

	f.target = "@dispvm:dvm";
	f.target_session = "";
	f.disposable = true;
	return issue(ts, f, now);
}

static void
test_bind(void **state)
{
	struct tickets ts = {0};
	const struct ticket *t = disposable(&ts, 0), *plain = issue(&ts, facts(), 0);

	assert_string_equal(
	    ticket_bind(&ts, plain, "vault", "dvm", V, 0), "not a disposable's ticket");
	assert_string_equal(ticket_bind(&ts, t, "disp1", "dvm", V, 0), "its start was not used");
	assert_null(ticket_start(&ts, t, "", 0));
	assert_string_equal(
	    ticket_bind(&ts, t, "disp1", "other", V, 0), "not a disposable of the ticket's base");
	assert_string_equal(ticket_bind(&ts, t, "disp1", "dvm", "", 0), "no running qube");
	assert_string_equal(ticket_bind(&ts, t, "disp1", "dvm", "1", 0), "not a session");
	assert_string_equal(ticket_bind(&ts, t, "a2345678901234567890123456789012", "dvm", V, 0),
	    "no running qube");
	tickets_session(&ts, "disp1", V2); /* nothing to it yet */
	assert_non_null(ticket_call(t, "disp1", V2));
	assert_null(ticket_bind(&ts, t, "disp1", "dvm", V, 80000));
	assert_string_equal(ticket_bind(&ts, t, "disp1", "dvm", V, 80000), "it is bound already");
	assert_string_equal(ticket_bind(&ts, t, "disp2", "dvm", V2, 80000), "it is bound already");
	assert_non_null(ticket_start(&ts, t, V, 80000));
	assert_ptr_equal(ticket_find(&ts, t->id, 80000 + TICKET_S * 1000 - 1), t);
	assert_null(ticket_find(&ts, t->id, 80000 + TICKET_S * 1000));
	assert_string_equal(t->f.target, "disp1");
	assert_true(t->f.disposable);
	assert_null(ticket_call(t, "disp1", V));
	assert_non_null(ticket_call(t, "disp1", V2));
	assert_non_null(ticket_call(t, "disp2", V));
	assert_non_null(ticket_call(t, "dvm", V));
	clear(&ts);
}

/* A bound one dies with its qube, one that waits with its source alone. */
static void
test_bound_sessions(void **state)
{
	struct tickets ts = {0};
	const struct ticket *t = disposable(&ts, 0);

	assert_null(ticket_start(&ts, t, "", 0));
	tickets_session(&ts, "dvm", V2);
	assert_int_equal(ts.n, 1);
	assert_null(ticket_bind(&ts, t, "disp1", "dvm", V, 0));
	tickets_session(&ts, "disp1", V);
	assert_int_equal(ts.n, 1);
	tickets_session(&ts, "disp1", "");
	assert_int_equal(ts.n, 0);
	disposable(&ts, 0);
	tickets_session(&ts, "work", V2);
	assert_int_equal(ts.n, 0);
}

static void
test_sessions(void **state)
{
	struct tickets ts = {0};

	issue(&ts, facts(), 0);
	tickets_session(&ts, "vault", V);
	tickets_session(&ts, "work", W);
	tickets_session(&ts, "mail", V2);
	assert_int_equal(ts.n, 1);
	tickets_session(&ts, "vault", "");
	assert_int_equal(ts.n, 0);
	issue(&ts, facts(), 0);
	tickets_session(&ts, "work", V2);
	assert_int_equal(ts.n, 0);
	issue(&ts, facts(), 0);
	tickets_session(&ts, "work", "");
	assert_int_equal(ts.n, 0);
}

static void
test_limits(void **state)
{
	struct tickets ts = {0};
	struct ticket_facts f = facts();
	char name[16];
	const char *why;

	for (int i = 0; i < TICKETS_MAX; i++) {
		snprintf(name, sizeof(name), "q%d", i / TICKETS_PER_SOURCE);
		f.source = name;
		issue(&ts, f, 0);
	}
	f.source = "q0";
	assert_null(ticket_new(&ts, &f, 0, &why));
	assert_string_equal(why, "160 tickets of this qube wait");
	f.source = "new";
	assert_null(ticket_new(&ts, &f, 0, &why));
	assert_string_equal(why, "1024 tickets wait");
	clear(&ts);
}

static void
test_sweep(void **state)
{
	struct tickets ts = {0};

	issue(&ts, facts(), 0);
	issue(&ts, facts(), 1000);
	assert_int_equal(tickets_sweep(&ts, 10), TICKET_S * 1000);
	assert_int_equal(tickets_sweep(&ts, TICKET_S * 1000), TICKET_S * 1000 + 1000);
	assert_int_equal(ts.n, 1);
	clear(&ts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_facts_are_copied),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_call),
	    cmocka_unit_test(test_start),
	    cmocka_unit_test(test_bind),
	    cmocka_unit_test(test_bound_sessions),
	    cmocka_unit_test(test_sessions),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
