/* SPDX-License-Identifier: ISC */
/* Which files count, in which order, and what happens when they do not (spec/policy 1, 2, 5, 6). */
#include "policy.h"

#define ALLOW "t.S * work mail allow\n"
#define DENY "t.S * work mail deny\n"

static struct policy_dirs dirs;

static enum verdict
loaded(size_t nerrors)
{
	struct policy *p = policy_load(&dirs);
	struct decision d = decide(p, "work", "mail", "t.S+a");
	enum verdict v = d.verdict;

	if (policy_nerrors(p) != nerrors)
		fail_msg("%zu errors: %s", policy_nerrors(p),
		    policy_ok(p) ? "" : policy_error(p, 0)->text);
	decision_free(&d);
	policy_free(p);
	return v;
}

/* Files of one tree, then what a call says; nerrors if the policy must not load. */
struct tree {
	const char *name;
	const char *file[8]; /* path, text, ... ; a text NULL makes a directory */
	enum verdict v;
	size_t nerrors;
};

static void
trees(void **state)
{
	static const struct tree t[] = {
	    {"in order of bytes", {"etc/3-a.policy", DENY, "etc/29-b.policy", ALLOW}, V_ALLOW, 0},
	    {"both directories are one list", {"run/31-a.policy", DENY, "etc/30-b.policy", ALLOW},
		V_ALLOW, 0},
	    {"run hides etc, not even parsed", {"run/30-u.policy", ALLOW, "etc/30-u.policy", "x"},
		V_ALLOW, 0},
	    {"other names do not count",
		{"etc/.29-x.policy", "x", "etc/29-x.policy~", "x", "etc/.policy", "x",
		    "etc/30-u.policy", ALLOW},
		V_ALLOW, 0},
	    {"a directory does not count", {"etc/10-d.policy", NULL, "etc/30-u.policy", ALLOW},
		V_ALLOW, 0},
	    {"upper case refuses", {"etc/30-U.policy", ALLOW}, V_ERROR, 1},
	    {"so does a blank", {"etc/30 u.policy", "", "etc/30-u.policy", ALLOW}, V_ERROR, 1},
	    {"and all are told", {"etc/30+.policy", "", "run/X.policy", ""}, V_ERROR, 2},
	    {"a broken line of another service refuses", {"etc/90-x.policy", "x.Y * work\n" ALLOW},
		V_ERROR, 1},
	    {"include", {"etc/3.policy", "!include include/x\n" DENY, "etc/include/x", ALLOW},
		V_ALLOW, 0},
	    {"include of .. and below", {"etc/3.policy", "!include ../other/x\n", "other/x", ALLOW},
		V_ALLOW, 0},
	    {"relative to the first file, not to this one",
		{"etc/3.policy", "!include include/x", "etc/include/x", "!include y",
		    "etc/include/y", ALLOW},
		V_ERROR, 1},
	    {"nested",
		{"etc/3.policy", "!include include/x", "etc/include/x", "!include include/y",
		    "etc/include/y", ALLOW},
		V_ALLOW, 0},
	    {"a file includes itself", {"etc/3.policy", ALLOW "!include 3.policy\n"}, V_ERROR, 1},
	    {"two include each other",
		{"etc/3.policy", "!include d/x", "etc/d/x", "!include d/y", "etc/d/y",
		    "!include d/x"},
		V_ERROR, 1},
	    {"include-dir",
		{"etc/3.policy", "!include-dir d\n", "etc/d/b.policy", DENY, "etc/d/a.policy",
		    ALLOW, "etc/d/c", "x"},
		V_ALLOW, 0},
	    {"include-dir, wrong name",
		{"etc/3.policy", "!include-dir d\n" ALLOW, "etc/d/B.policy", ""}, V_ERROR, 1},
	    {"include-dir, empty", {"etc/3.policy", "!include-dir d\n" ALLOW}, V_ALLOW, 0},
	    {"include-dir in a circle",
		{"etc/d/3.policy", "!include-dir d", "etc/3.policy", "!include-dir d"}, V_ERROR, 1},
	    {"include-service",
		{"etc/3.policy", "!include-service t.S +a d/x", "etc/d/x", "work mail allow"},
		V_ALLOW, 0},
	    {"for its argument only",
		{"etc/3.policy", "!include-service t.S +b d/x", "etc/d/x", "work mail allow"},
		V_DENY, 0},
	    {"three columns include three columns",
		{"etc/3.policy", "!include-service t.S * d/x", "etc/d/x", "$include:d/y", "etc/d/y",
		    "$anyvm mail allow,user=u"},
		V_ALLOW, 0},
	    {"an error is told once",
		{"etc/3.policy", "!include d/x\n!include d/x\n", "etc/d/x", "x"}, V_ERROR, 1},
	    {"legacy only through compat", {"legacy/t.S", "work mail allow"}, V_DENY, 0},
	    {"legacy", {"etc/35.policy", "!compat-4.0", "legacy/t.S", "work mail allow"}, V_ALLOW,
		0},
	    {"the argument's file first",
		{"etc/35.policy", "!compat-4.0", "legacy/t.S", "work mail deny", "legacy/t.S+a",
		    "work mail allow"},
		V_ALLOW, 0},
	    {"and behind it all is denied",
		{"etc/35.policy", "!compat-4.0", "legacy/t.S", "work mail allow", "legacy/t.S+a",
		    "vault mail allow"},
		V_DENY, 0},
	    {"behind a plain one the next file goes on",
		{"etc/35.policy", "!compat-4.0", "legacy/t.S", "vault mail deny", "etc/90.policy",
		    ALLOW},
		V_ALLOW, 0},
	    {"names that do not count",
		{"etc/35.policy", "!compat-4.0\n" ALLOW, "legacy/t.S.rpmsave", "x", "legacy/t.S~",
		    "x", "legacy/.x", "x"},
		V_ALLOW, 0},
	    {"more of them",
		{"etc/35.policy", "!compat-4.0\n" ALLOW, "legacy/t.S.rpmnew", "x", "legacy/x.swp",
		    "x", "legacy/d", NULL},
		V_ALLOW, 0},
	    {"legacy, another service broken",
		{"etc/35.policy", "!compat-4.0", "legacy/t.S", "work mail allow", "legacy/zz", "x"},
		V_ERROR, 1},
	    {"legacy without service",
		{"etc/35.policy", "!compat-4.0", "legacy/+a", "work mail allow"}, V_ERROR, 1},
	    {"compat within", {"etc/35.policy", "!compat-4.0", "legacy/t.S", "!compat-4.0"},
		V_ERROR, 1},
	    {"nothing at all", {NULL}, V_DENY, 0},
	};

	for (size_t i = 0; i < NELEM(t); i++) {
		enum verdict v;

		dirs = fresh();
		for (size_t k = 0; k + 1 < NELEM(t[i].file) && t[i].file[k] != NULL; k += 2) {
			if (t[i].file[k + 1] == NULL)
				mkdir(in_dir(t[i].file[k]), 0755);
			else
				put_text(t[i].file[k], t[i].file[k + 1]);
		}
		print_message("# %s\n", t[i].name);
		v = loaded(t[i].nerrors);
		if (v != t[i].v)
			fail_msg("%s: verdict %d", t[i].name, v);
	}
}

static void
missing_directories(void **state)
{
	dirs = fresh();
	put_text("etc/3.policy", ALLOW);
	rmdir(in_dir("run"));
	assert_int_equal(loaded(1), V_ERROR);
	dirs = fresh();
	put_text("etc/3.policy", ALLOW);
	dirs.etc = "/nonexistent";
	assert_int_equal(loaded(1), V_ERROR);
	dirs = fresh();
	put_text("etc/3.policy", ALLOW "!compat-4.0\n");
	rmdir(in_dir("legacy"));
	assert_int_equal(loaded(1), V_ERROR);
	put_text("etc/3.policy", ALLOW);
	assert_int_equal(loaded(0), V_ALLOW);
}

static void
odd_files(void **state)
{
	dirs = fresh();
	put_text("other/x", ALLOW);
	assert_int_equal(symlink("../other/x", in_dir("etc/3.policy")), 0);
	assert_int_equal(symlink("nowhere", in_dir("etc/2.policy")), 0);
	assert_int_equal(mkfifo(in_dir("etc/1.policy"), 0644), 0);
	assert_int_equal(loaded(0), V_ALLOW);
	put_text("etc/0.policy", "!include 1.policy\n");
	assert_int_equal(loaded(1), V_ERROR);
}

static void
deep_includes(void **state)
{
	char name[32], text[64];

	dirs = fresh();
	put_text("etc/3.policy", "!include d/0\n");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "etc/d/%d", i);
		snprintf(text, sizeof(text), i == 15 ? ALLOW : "!include d/%d\n", i + 1);
		put_text(name, text);
	}
	assert_int_equal(loaded(0), V_ALLOW);
	put_text("etc/d/15", "!include d/16\n");
	put_text("etc/d/16", ALLOW);
	assert_int_equal(loaded(1), V_ERROR);
}

/* Ten includes in each of ten files behind one another would be 10^10. */
static void
too_many_includes(void **state)
{
	char name[32], text[256];

	dirs = fresh();
	put_text("etc/3.policy", ALLOW "!include d/0\n");
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "etc/d/%d", i);
		text[0] = '\0';
		for (int k = 0; i < 9 && k < 10; k++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
			    "!include d/%d\n", i + 1);
		put_text(name, text);
	}
	assert_int_equal(loaded(1), V_ERROR);
}

static bool
dep(const struct policy *p, const char *dir)
{
	for (size_t i = 0; policy_dep(p, i) != NULL; i++)
		if (strcmp(policy_dep(p, i), in_dir(dir)) == 0)
			return true;
	return false;
}

static void
directories_to_watch(void **state)
{
	struct policy *p;

	dirs = fresh();
	put_text("other/x", "");
	assert_int_equal(symlink("../../other/x", in_dir("etc/include/l")), 0);
	put_text("etc/3.policy",
	    "!include include/l\n!include-dir d\n!compat-4.0\n!include ../missing/x\n");
	p = policy_load(&dirs);
	assert_int_equal(policy_nerrors(p), 1);
	assert_true(dep(p, "run") && dep(p, "etc") && dep(p, "etc/include") && dep(p, "etc/d"));
	assert_true(dep(p, "legacy") && dep(p, "other") && dep(p, "etc/../missing"));
	policy_free(p);
}

/* Where a rule says it stands. */
static void
file_and_line(void **state)
{
	struct policy *p;

	dirs = fresh();
	put_text("etc/35.policy", "# x\r\n\r!compat-4.0\n");
	put_text("legacy/t.S+a", "\nvault mail allow\n");
	p = policy_load(&dirs);
	assert_int_equal(policy_nrules(p), 3);
	assert_string_equal(policy_rule(p, 0)->file, in_dir("legacy/t.S+a"));
	assert_int_equal(policy_rule(p, 0)->line, 2);
	assert_int_equal(policy_rule(p, 2)->line, 0);
	assert_string_equal(policy_rule(p, 2)->target, "@adminvm");
	policy_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(trees),
	    cmocka_unit_test(missing_directories),
	    cmocka_unit_test(odd_files),
	    cmocka_unit_test(deep_includes),
	    cmocka_unit_test(too_many_includes),
	    cmocka_unit_test(directories_to_watch),
	    cmocka_unit_test(file_and_line),
	};

	return cmocka_run_group_tests(tests, NULL, rm_test_dir);
}
