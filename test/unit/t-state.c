/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "state.h"

#define SESSION "0123456789abcdef0123456789abcdef"
#define GOOD "name=work\nsession=" SESSION "\ndomid=3\nqid=2\nstate=Running\n"

static void
what_is_written_is_read(void **state)
{
	struct vm_state s = {.name = "work",
	    .session = SESSION,
	    .domid = UINT32_MAX,
	    .qid = 9999,
	    .state = "Halting",
	    .uuid = "c00f50c5-da14-8361-a3b6-ca2b1992f03a",
	    .pid = 77,
	    .init_pid = 78,
	    .init_born = UINT64_MAX};
	struct vm_state t;
	int d = open_test_dir();

	assert_true(state_write(d, &s));
	assert_true(state_read(d, "work", &t));
	assert_string_equal(t.name, s.name);
	assert_string_equal(t.session, s.session);
	assert_string_equal(t.state, s.state);
	assert_string_equal(t.uuid, s.uuid);
	assert_true(t.domid == s.domid && t.qid == s.qid && t.pid == s.pid);
	assert_true(t.init_pid == s.init_pid && t.init_born == s.init_born);
	assert_int_equal(access(in_dir(".work"), F_OK), -1);
	assert_false(state_read(d, "mail", &t));
	assert_int_equal(errno, ENOENT);
	s.name[0] = '.';
	assert_false(state_write(d, &s));
	close(d);
}

static void
malformed_files_are_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "rubbish",
	    GOOD "extra=1\n",
	    GOOD "domid=4\n",
	    GOOD "uuid=x\n",
	    GOOD "pid=-1\n",
	    GOOD "\nx=y\n",
	    "name=mail\nsession=" SESSION "\ndomid=3\nqid=2\nstate=Running\n",
	    "name=work\nsession=" SESSION "\ndomid=3\nqid=2\nstate=Asleep\n",
	    "name=work\nsession=" SESSION "\ndomid=3\nqid=2\nstate=RunningRunningRunning\n",
	    "name=work\nsession=0123\ndomid=3\nqid=2\nstate=Running\n",
	    "name=work\nsession=" SESSION "0\ndomid=3\nqid=2\nstate=Running\n",
	    "name=work\nsession=" SESSION "\ndomid=4294967296\nqid=2\nstate=Running\n",
	    "name=work\nsession=" SESSION "\nqid=2\nstate=Running\n",
	    "name=work\nsession=" SESSION "\ndomid=3\nstate=Running\n",
	};
	struct vm_state t;
	int d = open_test_dir();

	put_file("work", GOOD, strlen(GOOD));
	assert_true(state_read(d, "work", &t));
	for (size_t i = 0; i < NELEM(bad); i++) {
		put_file("work", bad[i], strlen(bad[i]));
		errno = 0;
		assert_false(state_read(d, "work", &t));
		assert_int_equal(errno, EINVAL);
	}
	assert_false(state_read(d, "../work", &t));
	assert_false(state_read(d, ".work", &t));
	assert_int_equal(errno, EINVAL);
	close(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_is_read),
	    cmocka_unit_test(malformed_files_are_refused),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, rm_test_dir);
}
