/* SPDX-License-Identifier: ISC */
/* The table of qids, requests to startd, exit mapping, the console's lines. */
#include "tap.h"

#include <signal.h>
#include <sys/syscall.h>

#include "console/console.h"
#include "ids.h"
#include "kv.h"
#include "qids.h"
#include "startd/startd-req.h"
#include "vmstart/domain.h"

static void
qid_table(void **state)
{
	uint32_t high;
	unsigned bad;
#define FIND(text, name) qids_find(text, sizeof text - 1, name, &high, &bad)

	assert_int_equal(FIND("1 work\n7 vault\n", "vault"), 7);
	assert_int_equal(high, 7);
	assert_int_equal(FIND("1 work\n7 vault\n", "vaul"), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(FIND("", "work"), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(FIND("1 work\n2 vault", "work"), 0);
	assert_int_equal(bad, 2); /* a line cut short: the table is not used */
	assert_int_equal(FIND("0 work\n", "work"), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(FIND("10001 work\n", "work"), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(FIND("1 work\n2 no/name\n", "work"), 0);
	assert_int_equal(bad, 2);
	assert_int_equal(FIND("1 work\n9 -\n", "work"), 1);
	assert_int_equal(high, 9);
}

/* A number that came free comes again when all higher ones have been used. */
static void
qid_next(void **state)
{
#define NEXT(text) qids_next(text, sizeof text - 1)

	assert_int_equal(NEXT(""), 1);
	assert_int_equal(NEXT("1 work\n7 vault\n"), 8);
	assert_int_equal(NEXT("1 work\n9 -\n"), 10);
	assert_int_equal(NEXT("1 work\n10000 vault\n"), 2);
	assert_int_equal(NEXT("1 work\n10000 -\n"), 2);
	assert_int_equal(NEXT("1 work\n2 mail\n4 vault\n3 -\n"), 5);
	assert_int_equal(NEXT("1 work\n2 mail\n10000 vault\n3 -\n"), 4);
}

static const char *
request(const char *text, struct start_request *r)
{
	static struct kv kv;
	const char *bad = kv_parse(&kv, text, strlen(text));

	return bad ? bad : request_parse(&kv, r);
}

static void
requests(void **state)
{
	static const char *const wrong[] = {"op=start\n\n", "op=start\nname=dom0\n\n",
	    "op=start\nname=a/b\n\n", "op=nosuch\nname=work\n\n",
	    "op=start\nname=work\nticket=0123456789abcdef0123456789abcdef\n\n",
	    "op=kill\nticket=0123456789abcdef0123456789abcdef\n\n", "op=start\nticket=xyz\n\n",
	    "op=start\nname=work\ntimeout=3\n\n", "op=shutdown\nname=work\ntimeout=x\n\n",
	    "op=shutdown\nname=work\nforce=no\n\n", "op=start\nname=work\nother=1\n\n",
	    "op=start\nname=work\ncode=3\n\n", "name=work\n\n", "op=store\nname=dom0\n\n",
	    "op=store\nticket=0123456789abcdef0123456789abcdef\n\n", "op=kill\ndisp=work\n\n",
	    "op=start\nname=work\ndisp=work\n\n", "op=start\ndisp=dom0\n\n",
	    "op=kill\nname=work\norder=yes\n\n", "op=shutdown\nname=work\norder=1\n\n"};
	struct start_request r;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_non_null(request(wrong[i], &r));
	assert_null(request("op=shutdown\nname=work\ntimeout=3\nforce=yes\n\n", &r));
	assert_int_equal(r.op, OP_SHUTDOWN);
	assert_int_equal(r.timeout_s, 3);
	assert_true(r.force);
	assert_string_equal(r.name, "work");
	assert_null(request("op=shutdown\nname=work\norder=yes\n\n", &r));
	assert_true(r.ordered && !r.force && !r.disp);
	assert_null(request("op=start\ndisp=work\n\n", &r));
	assert_true(r.disp);
	assert_string_equal(r.name, "work");
}

static uint32_t
three(const char *name)
{
	return strcmp(name, "work") == 0 ? 3 : 0;
}

static void
who_may(void **state)
{
	struct start_request start, store, up, ticket, disp, pause, dispose;

	assert_null(request("op=start\nname=work\n\n", &start));
	assert_null(request("op=store\nname=work\n\n", &store));
	assert_int_equal(store.op, OP_STORE);
	assert_non_null(request_allowed(&store, 1000, true, three));
	assert_non_null(request_allowed(&store, prog_uid(3, PROG_QDB), false, three));
	assert_null(request_allowed(&store, 0, true, three));
	assert_null(request("op=up\nname=work\n\n", &up));
	assert_null(request("op=start\nticket=0123456789abcdef0123456789abcdef\n\n", &ticket));
	assert_null(request_allowed(&start, 1000, true, three));
	assert_non_null(request_allowed(&start, 1000, false, three));
	assert_non_null(request_allowed(&start, prog_uid(3, PROG_QREXECD), false, three));
	assert_null(request_allowed(&ticket, prog_uid(3, PROG_QREXECD), false, three));
	assert_non_null(request_allowed(&ticket, prog_uid(3, PROG_CONSOLE), false, three));
	assert_non_null(request_allowed(&ticket, 1000, false, three));
	assert_non_null(request_allowed(&up, 1000, true, three));
	assert_null(request_allowed(&up, 0, true, three));
	assert_null(request("op=start\ndisp=work\n\n", &disp));
	assert_null(request("op=pause\nname=work\n\n", &pause));
	assert_null(request("op=dispose\nname=work\n\n", &dispose));
	assert_null(request_allowed(&disp, 1000, true, three));
	assert_null(request_allowed(&dispose, 1000, true, three));
	assert_null(request_allowed(&dispose, prog_uid(3, PROG_QREXECD), false, three));
	assert_non_null(request_allowed(&dispose, prog_uid(4, PROG_QREXECD), false, three));
	assert_non_null(request_allowed(&disp, prog_uid(3, PROG_QREXECD), false, three));
	/* adminapid manages qubes, and makes no disposables */
	assert_null(request_allowed(&start, prog_uid(0, PROG_ADMINAPI), false, three));
	assert_null(request_allowed(&pause, prog_uid(0, PROG_ADMINAPI), false, three));
	assert_non_null(request_allowed(&disp, prog_uid(0, PROG_ADMINAPI), false, three));
	assert_non_null(request_allowed(&dispose, prog_uid(0, PROG_ADMINAPI), false, three));
	assert_non_null(request_allowed(&up, prog_uid(0, PROG_ADMINAPI), false, three));
}

static const char *
answer(const char *text, int64_t qid)
{
	static struct kv kv;
	const char *target;
	bool disp;

	assert_null(kv_parse(&kv, text, strlen(text)));
	return ticket_answer(&kv, qid, three, &target, &disp);
}

static void
tickets(void **state)
{
	assert_null(answer("result=ok\nsource=work\ntarget=vault\n\n", 3));
	assert_null(answer("result=ok\nsource=work\ntarget=vault\n\n", -1));
	assert_non_null(answer("result=ok\nsource=work\ntarget=vault\n\n", 4)); /* another qube's */
	assert_non_null(answer("result=ok\nsource=mail\ntarget=vault\n\n", 3));
	assert_non_null(answer("result=refused\nreason=used\n\n", 3));
	assert_non_null(answer("result=ok\nsource=work\ntarget=dom0\n\n", 3));
	assert_non_null(answer("result=ok\nsource=work\n\n", 3));
	assert_null(answer("result=ok\nsource=work\ntarget=@dispvm:vault\n\n", 3));
	assert_non_null(answer("result=ok\nsource=work\ntarget=@dispvm\n\n", 3));
	assert_non_null(answer("result=ok\nsource=work\ntarget=@dispvm:dom0\n\n", 3));
}

static int
end_of(int how, bool by_signal)
{
	struct vmconf conf = {0};
	struct vm_state st = {.name = "no-such-qube-here"};
	struct domain d = {
	    .conf = &conf, .state = &st, .end_fd = -1, .console_fd = -1, .word_fd = -1};
	const pid_t pid = fork();
	int code;

	if (pid == 0) {
		if (!by_signal)
			_exit(how);
		signal(how, SIG_DFL);
		kill(getpid(), how);
		pause();
	}
	d.end_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(d.end_fd >= 0);
	code = domain_end(&d);
	close(d.end_fd);
	return code;
}

static void
ends(void **state)
{
	assert_int_equal(end_of(0, false), END_POWEROFF);
	assert_int_equal(end_of(10, false), END_REBOOT);
	assert_int_equal(end_of(1, false), END_CRASH);
	assert_int_equal(end_of(30, false), END_CRASH); /* not a guest's to say */
	assert_int_equal(end_of(SIGHUP, true), END_REBOOT);
	assert_int_equal(end_of(SIGINT, true), END_POWEROFF);
	assert_int_equal(end_of(SIGKILL, true), END_CRASH);
	assert_int_equal(end_of(SIGTERM, true), END_CRASH);
}

static char got[65536];
static int lines;

static void
keep(const char *line)
{
	snprintf(got, sizeof got, "%s", line);
	lines++;
}

static void
console_lines(void **state)
{
	struct console c = {0};
	static char big[10000];

	lines = 0;
	console_take(&c, "abc", 3, 1, keep);
	assert_int_equal(lines, 0);
	console_take(&c, "\x1b[1m%\xff\r\n\n\n", 9, 1, keep);
	assert_int_equal(lines, 1);
	assert_string_equal(got, "abc%1B[1m%25%FF");
	memset(big, 0x1b, sizeof big);
	console_take(&c, big, sizeof big, 1, keep);
	assert_int_equal(strlen(got), 3 * CONSOLE_LINE);
}

static void
console_flood(void **state)
{
	struct console c = {0};

	lines = 0;
	for (int i = 0; i < 100000; i++)
		console_take(&c, "x\n", 2, 1000, keep);
	assert_int_equal(lines, CONSOLE_BURST);
	for (unsigned ms = 1020; ms < 2000; ms += 20)
		console_take(&c, "x\n", 2, ms, keep);
	assert_int_equal(lines, CONSOLE_BURST); /* no notice for each of them */
	console_take(&c, "y\n", 2, 2000, keep);
	assert_int_equal(lines, CONSOLE_BURST + 2); /* how many were dropped, and the line */
	assert_string_equal(got, "y");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(qid_table),
	    cmocka_unit_test(qid_next),
	    cmocka_unit_test(requests),
	    cmocka_unit_test(who_may),
	    cmocka_unit_test(tickets),
	    cmocka_unit_test(ends),
	    cmocka_unit_test(console_lines),
	    cmocka_unit_test(console_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
