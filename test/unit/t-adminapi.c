/* SPDX-License-Identifier: ISC */
/* Requests of the Admin API, and how answers are written. */
#include "tap.h"

#include "adminapi/ask.h"

#define PARSE(text) request_parse(&rq, text, sizeof(text) - 1)

static void
heads(void **state)
{
	struct request rq;

	assert_null(PARSE("admin.vm.Shutdown+force+wait mgmt name work\0ab"));
	assert_string_equal(rq.method, "admin.vm.Shutdown");
	assert_string_equal(rq.arg, "force+wait");
	assert_string_equal(rq.source, "mgmt");
	assert_string_equal(rq.dest, "work");
	assert_int_equal(rq.payload, 2);
	assert_null(PARSE("admin.vm.List+ work keyword adminvm\0"));
	assert_string_equal(rq.arg, "");
	assert_string_equal(rq.dest, "dom0");
	assert_int_equal(rq.payload, 0);
	assert_non_null(PARSE("admin.vm.List+ work keyword adminvm"));
	assert_non_null(PARSE("admin.vm.List+ work keyword default\0"));
	assert_non_null(PARSE("admin.vm.List+ work name @adminvm\0"));
	assert_non_null(PARSE("admin.vm.List+ $work name dom0\0")); /* QSB-038 */
	assert_non_null(PARSE("admin.vm.List\n+ work name dom0\0"));
	assert_non_null(PARSE(""));
}

static void
answers(void **state)
{
	struct buf out = {.max = 256};
	struct request rq = {.dest = "work"};
	struct call c = {.rq = &rq, .out = &out};

#define IS(text)                                                                                   \
	do {                                                                                       \
		assert_int_equal(out.len, sizeof(text) - 1);                                       \
		assert_memory_equal(buf_bytes(&out), text, sizeof(text) - 1);                      \
		buf_eat(&out, out.len);                                                            \
	} while (0)
	answer_ok(&out);
	IS("0\0");
	answer_exception(&out, "QubesException", "%s is %d", "x", 3);
	IS("2\0QubesException\0\0x is 3\0");
	answer_ok(&out);
	answer_reason(&out, "QubesException", "100%s"); /* in place of what was there; no format */
	IS("2\0QubesException\0\0"
	   "100%%s\0");
	ask_answer(&c, "result=ok\nstate=running\n\n", 25);
	IS("0\0");
	ask_answer(&c, "result=refused\nreason=no memory\ncode=1\n\n", 40);
	IS("2\0QubesVMError\0\0no memory\0");
	ask_answer(&c, "", 0);
	IS("2\0QubesVMError\0\0no answer from startd\0");
	ask_answer(&c, "nonsense", 8);
	IS("2\0QubesVMError\0\0no answer from startd\0");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(heads),
	    cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
