/* SPDX-License-Identifier: ISC */
/* Lines: every row of spec/policy 2 and 4 that is an error, and where it is said to be. */
#include "policy.h"

struct bad {
	const char *text;
	unsigned line, col;
	const char *what; /* part of the message */
};

static void
check_bad(const struct bad *v, size_t n, bool old)
{
	for (size_t i = 0; i < n; i++) {
		struct policy *p;
		const struct policy_error *e;

		if (old) {
			struct policy_dirs d = fresh();

			put_text("etc/30-u.policy", "!include-service t.S * include/x\n");
			put_text("etc/include/x", v[i].text);
			p = policy_load(&d);
		} else {
			p = policy_from(v[i].text);
		}
		e = policy_error(p, 0);
		if (e == NULL || e->line != v[i].line || e->col != v[i].col ||
		    strstr(e->text, v[i].what) == NULL)
			fail_msg("%s: %u:%u %s", v[i].text, e == NULL ? 0 : e->line,
			    e == NULL ? 0 : e->col, e == NULL ? "no error" : e->text);
		assert_false(policy_ok(p));
		policy_free(p);
	}
}

static void
bad_lines(void **state)
{
	static const struct bad v[] = {
	    {"t.S\n", 1, 1, "1 words"},
	    {"t.S * work mail\n", 1, 12, "4 words"},
	    {"\n#x\n  t.S  *  work\n", 3, 11, "3 words"},
	    {"t/S * work mail allow", 1, 1, "service"},
	    {"t.S+a * work mail allow", 1, 1, "service"},
	    {"t.\xc3\xa9 * work mail allow", 1, 1, "service"},
	    {"t.S a work mail allow", 1, 5, "argument"},
	    {"t.S +a/b work mail allow", 1, 5, "argument"},
	    {"t.S ** work mail allow", 1, 5, "argument"},
	    {"* +a work mail allow", 1, 3, "since the service is *"},
	    {"* + work mail allow", 1, 3, "since the service is *"},
	    {"t.S * @default mail allow", 1, 7, "source"},
	    {"t.S * @dispvm mail allow", 1, 7, "source"},
	    {"t.S * @anyvm: mail allow", 1, 7, "source"},
	    {"t.S * @ANYVM mail allow", 1, 7, "source"},
	    {"t.S * @tag: mail allow", 1, 7, "nothing behind"},
	    {"t.S * @type: mail allow", 1, 7, "nothing behind"},
	    {"t.S * @dispvm: mail allow", 1, 7, "nothing behind"},
	    {"t.S * @dispvm:@tag: mail allow", 1, 7, "nothing behind"},
	    {"t.S * @tag:@x mail allow", 1, 7, "source"},
	    {"t.S * work @ allow", 1, 12, "target"},
	    {"t.S * work @dispvm:@ allow", 1, 12, "target"},
	    {"t.S * work @dispvm:@type:AppVM allow", 1, 12, "target"},
	    {"t.S * work @uuid:x allow", 1, 12, "target"},
	    {"t.S * work @tag: allow", 1, 12, "nothing behind"},
	    {"t.S * work mail Allow", 1, 17, "allow, ask or deny"},
	    {"t.S * work mail allow,user=x", 1, 17, "allow, ask or deny"},
	    {"t.S * work @default allow", 1, 12, "target="},
	    {"t.S * work mail allow # why", 1, 23, "no comments"},
	    {"t.S * work mail allow user", 1, 23, "KEY=VALUE"},
	    {"t.S * work mail allow =x", 1, 23, "expected target="},
	    {"t.S * work mail allow users=x", 1, 23, "expected target="},
	    {"t.S * work mail allow default_target=mail", 1, 23, "expected target="},
	    {"t.S * work mail deny user=x", 1, 22, "notify="},
	    {"t.S * work mail deny target=mail", 1, 22, "notify="},
	    {"t.S * work mail deny autostart=no", 1, 22, "notify="},
	    {"t.S * work mail allow notify=", 1, 23, "yes or no"},
	    {"t.S * work mail allow notify=Yes", 1, 23, "yes or no"},
	    {"t.S * work mail ask autostart=1", 1, 21, "yes or no"},
	    {"t.S * work mail allow user=a user=b", 1, 30, "second time"},
	    {"t.S * work mail allow target=", 1, 23, "nothing behind"},
	    {"t.S * work mail allow target=*", 1, 23, "target="},
	    {"t.S * work mail allow target=@default", 1, 23, "target="},
	    {"t.S * work mail allow target=@anyvm", 1, 23, "target="},
	    {"t.S * work mail allow target=@tag:x", 1, 23, "target="},
	    {"t.S * work mail ask default_target=@type:AppVM", 1, 21, "default_target="},
	    {"t.S * work mail ask default_target=", 1, 21, "nothing behind"},
	    {"!", 1, 1, "!include"},
	    {"! include x", 1, 1, "!include"},
	    {"!Include x", 1, 1, "!include"},
	    {"!include", 1, 1, "!include PATH"},
	    {"!include a b", 1, 1, "!include PATH"},
	    {"!include-dir", 1, 1, "!include-dir PATH"},
	    {"!include-service t.S *", 1, 1, "SERVICE ARGUMENT PATH"},
	    {"!include-service t/S * x", 1, 18, "service"},
	    {"!include-service t.S a x", 1, 22, "argument"},
	    {"!include-service * +a x", 1, 20, "since the service is *"},
	    {"!compat-4.0 x", 1, 1, "alone"},
	    {"!compat-4.1", 1, 1, "!include"},
	    {"!include include/none", 1, 10, "No such file"},
	    {"!include include", 1, 10, "expected a file"},
	    {"!include-dir none", 1, 14, "No such file"},
	    {"!include-service t.S * none", 1, 24, "No such file"},
	    {"t.S\xc2\xa0*\xe2\x80\xa8work\x0bmail\x1c"
	     "allow\xe3\x80\x80x",
		1, 23, "KEY=VALUE"},
	    {"\xef\xbb\xbf# byte order mark", 1, 15, "words"},
	    {"# fine\n# \xff\n", 2, 3, "UTF-8"},
	    {"# \xc0\x80\n", 1, 3, "UTF-8"},
	    {"# \xed\xa0\x80\n", 1, 3, "UTF-8"},
	    {"# \xf4\x90\x80\x80\n", 1, 3, "UTF-8"},
	    {"# \xe2\x80\n", 1, 3, "UTF-8"},
	    {"t.S * a b deny c d e f g h i j k l m n o p q r s t u v w x", 1, 54, "words"},
	};

	check_bad(v, NELEM(v), false);
}

static void
bad_old_lines(void **state)
{
	static const struct bad v[] = {
	    {"work mail\n", 1, 6, "3: SOURCE"},
	    {"work\n", 1, 1, "3: SOURCE"},
	    {"@include include/y\n", 1, 10, "3: SOURCE"},
	    {",\n", 1, 1, "3: SOURCE"},
	    {"t.S * work mail allow\n", 1, 7, "allow, ask or deny"},
	    {"$default mail allow", 1, 1, "source"},
	    {"work $default allow", 1, 6, "target="},
	    {"work $tag: allow", 1, 6, "nothing behind"},
	    {"work mail ask,default_target=$anyvm", 1, 15, "default_target="},
	    {"work mail allow,user=a,user=b", 1, 24, "second time"},
	    {"work mail allow,yes", 1, 17, "KEY=VALUE"},
	    {"!compat-4.0", 1, 1, "the only directive"},
	    {"!include-dir d", 1, 1, "the only directive"},
	    {"!include-service t.S * x", 1, 1, "the only directive"},
	    {"$include:none", 1, 10, "No such file"},
	    {"$include:", 1, 1, "!include PATH"},
	};

	check_bad(v, NELEM(v), true);
}

static void
all_errors_are_told(void **state)
{
	struct policy *p =
	    policy_from("x/ y @z @ nope\nt.S * a b deny\nt.S * a @q allow foo bar=1\n");

	assert_int_equal(policy_nerrors(p), 8);
	assert_int_equal(policy_nrules(p), 1);
	assert_int_equal(policy_error(p, 7)->line, 3);
	assert_null(policy_error(p, 8));
	policy_free(p);
}

static void
nul_is_refused(void **state)
{
	static const char text[] = "t.S * wor\0k mail allow\n";
	struct policy *p = policy_of(text, sizeof(text) - 1);

	assert_int_equal(policy_nerrors(p), 1);
	assert_int_equal(policy_error(p, 0)->col, 10);
	policy_free(p);
}

static void
white_space_is_pythons(void **state)
{
	static const char *const ok[] = {" ", "\t", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f",
	    "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x8a", "\xe2\x80\xa8",
	    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
	static const char *const no[] = {
	    "\x01", "\x1b", "\x7f", "\xe2\x80\x8b", "\xe1\xa0\x8e", "\xef\xbb\xbf"};
	char text[128];

	for (size_t i = 0; i < NELEM(ok); i++) {
		snprintf(text, sizeof(text), "%st.S * work%smail allow%s\n", ok[i], ok[i], ok[i]);
		assert_string_equal(says(text, "work", "mail", "t.S"), "allow mail");
	}
	for (size_t i = 0; i < NELEM(no); i++) {
		snprintf(text, sizeof(text), "t.S * work%smail allow\n", no[i]);
		assert_string_equal(says(text, "work", "mail", "t.S"), "error");
	}
	assert_string_equal(
	    says("t.S * work vault deny\rt.S * work mail allow\r\n", "work", "mail", "t.S"),
	    "allow mail");
}

static void
limits(void **state)
{
	char line[9000];
	struct policy *p;

	memset(line, 'a', sizeof(line));
	line[0] = '#';
	p = policy_of(line, 8192);
	assert_true(policy_ok(p));
	policy_free(p);
	p = policy_of(line, 8193);
	assert_int_equal(policy_nerrors(p), 1);
	policy_free(p);
}

static void
keys(void **state)
{
	struct policy *p =
	    policy_from("t.A * work mail allow user=root,notify=yes target=vault autostart=no\n"
			"t.A * work mail ask user= default_target=@dispvm notify=yes\n"
			"t.A * work mail deny notify=no\nt.A +a+b work mail deny\n");
	const struct rule *r = policy_rule(p, 0);

	assert_true(policy_ok(p));
	assert_string_equal(r->user, "root,notify=yes");
	assert_string_equal(r->redirect, "vault");
	assert_false(r->autostart || r->notify);
	r = policy_rule(p, 1);
	assert_null(r->user);
	assert_string_equal(r->default_target, "@dispvm");
	assert_true(r->notify && r->autostart);
	assert_false(policy_rule(p, 2)->notify);
	assert_true(policy_rule(p, 3)->notify);
	assert_string_equal(policy_rule(p, 3)->argument, "+a+b");
	assert_null(policy_rule(p, 4));
	policy_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_lines),
	    cmocka_unit_test(bad_old_lines),
	    cmocka_unit_test(all_errors_are_told),
	    cmocka_unit_test(nul_is_refused),
	    cmocka_unit_test(white_space_is_pythons),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests(tests, NULL, rm_test_dir);
}
