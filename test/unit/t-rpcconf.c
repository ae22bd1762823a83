/* SPDX-License-Identifier: ISC */
/* rpc-config files: each row of spec/qrexec 7. */
#include "tap.h"

#include "rpc/service.h"

static struct svc_config c;
static unsigned line;

static const char *
parse_n(const char *text, size_t n)
{
	/* A copy of exactly that size, so that the sanitizer sees a step beyond. */
	char *p = malloc(n + 1);
	const char *why;

	memcpy(p, text, n);
	p = realloc(p, n > 0 ? n : 1);
	why = svc_config_parse(&c, p, n, &line);
	free(p);
	return why;
}

static const char *
parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static void
accepted(void **state)
{
	static const char *const t[] = {"", "\n", "\r\n", "   \n\t\n", "# comment", "#\n#\r\n",
	    "wait-for-session=true", "wait-for-session = 1", "wait-for-session\t=\t0\r\n",
	    "wait-for-session = true   # why", "wait-for-session = true#why", "force-user='x'#y\n",
	    "unknown = 12345\nother = 'text'\nthird_One-2 = false\n", "a = 0\n", "a = ''\n",
	    "a = '#'\n", "a = '\t\xc3\xa9'\n", "a=1\nb=1\nA=1"};

	for (size_t i = 0; i < NELEM(t); i++)
		if (parse(t[i]) != NULL)
			fail_msg("%zu: %s", i, parse(t[i]));
}

static void
refused(void **state)
{
	static const char *const t[] = {
	    "force-user = \"x\"",
	    "force-user = '''x'''",
	    "a = ''''",
	    "[section]",
	    " a = 1",
	    "\ta = 1",
	    " # comment",
	    "a",
	    "a =",
	    "a = ",
	    "a = \n",
	    "a = # 1",
	    "= 1",
	    "1a = 1",
	    "-a = 1",
	    "_a = 1",
	    "'a' = 1",
	    "a b = 1",
	    "a.b = 1",
	    "a = 01",
	    "a = 00",
	    "a = -1",
	    "a = +1",
	    "a = 1.5",
	    "a = 0x1",
	    "a = 1e3",
	    "a = 1234567890",
	    "a = yes",
	    "a = True",
	    "a = TRUE",
	    "a = truefalse",
	    "a = true false",
	    "a = true;",
	    "a = 1 2",
	    "a = 'x' y",
	    "a = 'x",
	    "a = x'",
	    "a = 'x\ny'",
	    "a = [1]",
	    "a = {}",
	    "a == 1",
	    "a = 1\ra = 2",
	    "a = 1 \r \n",
	    "a = '\x01'",
	    "a = '\x7f'",
	    "a = 1\na = 1",
	    "a = 1\nb = 2\na = 'x'\n",
	    "wait-for-session = 2",
	    "wait-for-session = 'true'",
	    "wait-for-session = 10",
	    "wait-for-session = 1\nwait-for-session = 1",
	    "force-user = true",
	    "force-user = 1",
	    "force-user = x",
	    "force-user = ''",
	    "force-user = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
	    "skip-service-descriptor = 1",
	    "skip-service-descriptor = 'true'",
	    "exit-on-client-eof = 0",
	    "exit-on-service-eof = 1",
	    "exit-on-service-eof",
	    "\xef\xbb\xbf"
	    "a = 1",
	    "force-user = 'x'\nskip-service-descriptor = true",
	    "exit-on-client-eof = true\nforce-user = 'x'",
	    "force-user = 'x'\nexit-on-service-eof = true\n",
	};

	for (size_t i = 0; i < NELEM(t); i++)
		if (parse(t[i]) == NULL)
			fail_msg("%zu: accepted: %s", i, t[i]);
}

static void
nul_bytes(void **state)
{
	assert_non_null(parse_n("a = 1\n\0", 7));
	assert_non_null(parse_n("# \0\n", 4));
	assert_non_null(parse_n("a = '\0'", 7));
	assert_non_null(parse_n("\0", 1));
}

static void
values(void **state)
{
	assert_null(parse(
	    "wait-for-session = 1\r\n\nskip-service-descriptor = true\nexit-on-client-eof=true\n"
	    "exit-on-service-eof =\tfalse"));
	assert_true(c.wait_for_session && c.skip_service_descriptor && c.exit_on_client_eof);
	assert_false(c.exit_on_service_eof);
	assert_string_equal(c.force_user, "");
	assert_null(parse(
	    "force-user = 'a user \"x\" #1'\nexit-on-service-eof = false\nwait-for-session = 0"));
	assert_string_equal(c.force_user, "a user \"x\" #1");
	assert_false(c.wait_for_session);
	assert_null(parse(
	    "force-user = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'"));
	assert_int_equal(strlen(c.force_user), 63);
}

static void
line_numbers(void **state)
{
	assert_non_null(parse("a = 1\n\n# x\r\nb\nc = 1\n"));
	assert_int_equal(line, 4);
	assert_non_null(parse("a = 1\nb = 1\na = 1"));
	assert_int_equal(line, 3);
}

static void
many_keys(void **state)
{
	char text[2048] = "";

	for (int i = 0; i < 65; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "k%d = 1\n", i);
	assert_non_null(parse(text));
	*strstr(text, "k64") = '\0';
	assert_null(parse(text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepted),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(nul_bytes),
	    cmocka_unit_test(values),
	    cmocka_unit_test(line_numbers),
	    cmocka_unit_test(many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
