/* SPDX-License-Identifier: ISC */
#include "engine/sysread.h"
#include "policy.h"

static void
good(void **state)
{
	static const char text[] =
	    " {\"x\": [1, -2.5e3, {\"y\": null}], \"domains\": {\n"
	    "\"dom0\": {\"type\": \"AdminVM\", \"uuid\": "
	    "\"00000000-0000-0000-0000-000000000000\"},\n"
	    "\"work\": {\"tags\": [\"a\", \"b\\u002dc\"], \"type\": \"AppVM\", "
	    "\"template_for_dispvms\": true,\n"
	    " \"default_dispvm\": null, \"power_state\": \"Running\", \"internal\": null, "
	    "\"label\": \"r\\u00e9d\",\n"
	    " \"uuid\": \"" U(00000001) "\", \"guivm\": \"dom0\"}, \"mail\": {}}} ";
	const char *why = NULL;
	struct sysinfo *si = sysinfo_json(text, sizeof(text) - 1, &why);
	const struct sys_vm *vm;

	assert_non_null(si);
	vm = sysinfo_find(si, "uuid:" U(00000001));
	assert_string_equal(vm->name, "work");
	assert_true(vm->running && vm->template_for_dispvms && !vm->internal);
	assert_int_equal(vm->ntags, 2);
	assert_string_equal(vm->tags[1], "b-c");
	assert_null(vm->default_dispvm);
	assert_string_equal(vm->guivm, "dom0");
	assert_string_equal(sysinfo_at(si, 2)->name, "mail");
	assert_null(sysinfo_at(si, 3));
	sysinfo_free(si);
}

static void
bad(void **state)
{
	static const char *const v[] = {"", "{", "[]", "null", "{} x", "{\"domains\": []}",
	    "{\"domains\": {\"a\": 1}}", "{\"domains\": {\"a\": {}, \"a\": {}}}",
	    "{\"domains\": {\"a\": {\"type\": 1}}}",
	    "{\"domains\": {\"a\": {\"type\": \"x\", \"type\": \"x\"}}}",
	    "{\"domains\": {\"a\": {\"tags\": \"x\"}}}", "{\"domains\": {\"a\": {\"tags\": [1]}}}",
	    "{\"domains\": {\"a\": {\"internal\": \"yes\"}}}",
	    "{\"domains\": {\"a\": {\"power_state\": null}}}", "{\"a\": tru}", "{\"a\": }",
	    "{\"a\" 1}", "{a: 1}", "{\"a\": 1,}", "{\"a\": \"x}", "{\"a\": \"\\x\"}",
	    "{\"a\": \"\\u12\"}", "{\"a\": \"\n\"}", "{\"a\": \"\\", "{\"a\": [1, 2}",
	    "{\"a\": [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]}"};
	const char *why;

	for (size_t i = 0; i < NELEM(v); i++) {
		why = NULL;
		if (sysinfo_json(v[i], strlen(v[i]), &why) != NULL)
			fail_msg("%s", v[i]);
		assert_non_null(why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
