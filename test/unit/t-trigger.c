/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "qrexecd/qrexecd.h"

static struct trigger t;

/* A version 4 trigger: n bytes of service at its end. */
static const char *
parse4(const char *source, const char *target, const void *ident, const void *service, size_t n)
{
	static uint8_t m[TRIGGER4_FIXED + SERVICE_LEN_MAX];

	memset(m, 0, sizeof(m));
	memcpy(m, source, strnlen(source, 64));
	memcpy(m + 64, target, strnlen(target, 64));
	memcpy(m + 128, ident, 32);
	memcpy(m + 160, service, n);
	return trigger_parse(&t, MSG_TRIGGER_SERVICE4, m, 160 + n);
}

static const char ident[32] = "SOCKET5";

static void
foreign_bytes_become_underscores(void **state)
{
	assert_null(parse4("a b", "$x@:/\x80", ident, "a/B c\xff+x\n$y", 12));
	assert_true(t.has_source);
	assert_string_equal(t.source, "a_b");
	assert_string_equal(t.target, "_x@:__");
	assert_string_equal(t.service, "a_B_c_+x__y");
	assert_memory_equal(t.ident, ident, 32);
}

static void
every_byte_of_a_service(void **state)
{
	for (int c = 1; c < 256; c++) {
		char s[3] = {'s', (char)c, '\0'};
		bool plain = service_byte((unsigned char)c) || c == '+';

		assert_null(parse4("", "t", ident, s, 3));
		assert_int_equal((unsigned char)t.service[1], plain ? c : '_');
	}
}

static void
a_field_without_nul_is_cut(void **state)
{
	char long64[65];

	memset(long64, 'x', 64);
	long64[64] = '\0';
	assert_null(parse4(long64, long64, ident, "s", 2));
	assert_int_equal(strlen(t.target), 63);
	assert_int_equal(strlen(t.source), 63);
}

static void
idents(void **state)
{
	char id[32] = "a-Z.0 9_";

	assert_null(parse4("", "t", id, "s", 2));
	memset(id, 'x', 32);
	assert_non_null(parse4("", "t", id, "s", 2));
	assert_memory_equal(t.ident, id, 32); /* echoed raw */
	id[31] = '\0';
	assert_null(parse4("", "t", id, "s", 2));
	id[5] = '\0';
	assert_non_null(parse4("", "t", id, "s", 2)); /* bytes after the NUL */
	memset(id, 0, 32);
	assert_null(parse4("", "t", id, "s", 2)); /* policy decides */
	for (int c = 1; c < 256; c++) {
		id[0] = (char)c;
		if (service_byte((unsigned char)c) || c == ' ')
			assert_null(parse4("", "t", id, "s", 2));
		else
			assert_non_null(parse4("", "t", id, "s", 2));
	}
}

static void
services(void **state)
{
	static char big[5000];

	assert_non_null(parse4("", "t", ident, "", 1));
	assert_non_null(parse4("", "t", ident, "+", 2));
	assert_non_null(parse4("", "t", ident, "+a", 3));
	assert_non_null(parse4("", "t", ident, "a", 1));
	assert_non_null(parse4("", "t", ident, "a\0b", 4));
	assert_non_null(parse4("", "t", ident, "a\0", 3));
	assert_null(parse4("", "t", ident, "a+", 3));
	memset(big, 'a', sizeof(big) - 1);
	assert_non_null(parse4("", "t", ident, big, sizeof(big)));
	assert_null(parse4("", "t", ident, big + sizeof(big) - 4096, 4096));
}

static void
version_2_is_cut_not_refused(void **state)
{
	uint8_t m[128];

	memset(m, 's', sizeof(m));
	memcpy(m + 96, ident, 32);
	assert_null(trigger_parse(&t, MSG_TRIGGER_SERVICE, m, sizeof(m)));
	assert_int_equal(strlen(t.service), 63);
	assert_int_equal(strlen(t.target), 31);
	assert_false(t.has_source);
	m[0] = '+';
	assert_non_null(trigger_parse(&t, MSG_TRIGGER_SERVICE, m, sizeof(m)));
	m[0] = '\0';
	assert_non_null(trigger_parse(&t, MSG_TRIGGER_SERVICE, m, sizeof(m)));
	m[0] = 's';
	m[1] = '\0'; /* what follows is nobody's */
	assert_null(trigger_parse(&t, MSG_TRIGGER_SERVICE, m, sizeof(m)));
	assert_string_equal(t.service, "s");
}

static const char allow[] =
    "user=DEFAULT\nresult=allow\ntarget=vault\nautostart=True\nrequested_target=v\n";

static const char *
answer(struct answer *a, const char *head, const char *tail)
{
	char text[6000];
	struct kv kv;

	snprintf(text, sizeof(text), "%s%s", head, tail);
	return answer_parse(a, &kv, text, strlen(text));
}

static void
answers(void **state)
{
	static const char *const bad[] = {"user=u\n", "ticket=1\nticket=2\n", "junk\n",
	    "result=deny\n", "target_domid=x\n",
	    "policy_source="
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"};
	struct answer a;
	struct kv kv;

	assert_null(answer(&a, allow, "stock=readers skip it\ntarget_state=Halted"));
	assert_true(a.allow && a.autostart && !a.running);
	assert_string_equal(a.target, "vault");
	assert_string_equal(a.ticket, "");
	assert_null(answer(&a, allow,
	    "ticket=00000000000000000000000000000001\ntarget_state=Running\ntarget_domid=7\n"));
	assert_int_equal(a.target_domid, 7);
	assert_true(a.running);
	assert_string_equal(a.ticket, "00000000000000000000000000000001");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(answer(&a, allow, bad[i]));
	assert_null(answer(&a, "result=deny", ""));
	assert_false(a.allow);
	assert_non_null(answer(&a, "result=deny\nautostart=True", ""));
	assert_non_null(answer(&a, "result=yes", ""));
	assert_non_null(answer(&a, "", ""));
	assert_non_null(answer_parse(&a, &kv, "result=deny\0", 12));
	for (const char *line = allow; *line != '\0'; line = strchr(line, '\n') + 1) {
		char less[200] = "";

		for (const char *l = allow; *l != '\0'; l = strchr(l, '\n') + 1)
			if (l != line)
				strncat(less, l, (size_t)(strchr(l, '\n') + 1 - l));
		assert_non_null(answer(&a, less, ""));
	}
}

static void
commands(void **state)
{
	char out[40];

	assert_int_equal(route_command(out, sizeof(out), "user", "svc", "work"), 24);
	assert_string_equal(out, "user:QUBESRPC svc+ work");
	route_command(out, sizeof(out), "", "svc+a", "work");
	assert_string_equal(out, "QUBESRPC svc+a work");
	assert_int_equal(route_command(out, 23, "user", "svc", "work"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(foreign_bytes_become_underscores),
	    cmocka_unit_test(every_byte_of_a_service),
	    cmocka_unit_test(a_field_without_nul_is_cut),
	    cmocka_unit_test(idents),
	    cmocka_unit_test(services),
	    cmocka_unit_test(version_2_is_cut_not_refused),
	    cmocka_unit_test(answers),
	    cmocka_unit_test(commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
