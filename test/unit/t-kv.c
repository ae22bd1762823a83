/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "kv.h"
#include "loop.h"
#include "sock.h"

static void
whole_message_is_found(void **state)
{
	assert_int_equal(kv_whole("", 0), 0);
	assert_int_equal(kv_whole("a=b\n", 4), 0);
	assert_int_equal(kv_whole("a=b\n\n", 5), 5);
	assert_int_equal(kv_whole("a=b\n\nc=d\n\n", 10), 5);
	assert_int_equal(kv_whole("\nc=d\n\n", 6), 1);
}

static void
good_messages(void **state)
{
	static const char *const keys[] = {"a", "b_c"};
	struct kv kv;

	assert_null(kv_parse(&kv, "a=1\nb_c=x=y \n\n", 14));
	assert_int_equal(kv.n, 2);
	assert_string_equal(kv_get(&kv, "a"), "1");
	assert_string_equal(kv_get(&kv, "b_c"), "x=y ");
	assert_null(kv_get(&kv, "b"));
	assert_true(kv_only(&kv, keys, 2));
	assert_false(kv_only(&kv, keys, 1));
	assert_null(kv_parse(&kv, "a=", 2)); /* end of file ends it too */
	assert_string_equal(kv_get(&kv, "a"), "");
	assert_null(kv_parse(&kv, "", 0));
	assert_int_equal(kv.n, 0);
	assert_null(kv_parse(&kv, "\n", 1));
}

static void
bad_messages_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *why;
	} bad[] = {
	    {"a=1\na=1\n", 8, "duplicate key"},
	    {"a\n", 2, "no ="},
	    {"=x\n", 3, "bad key"},
	    {"A=x\n", 4, "bad key"},
	    {"a b=x\n", 6, "bad key"},
	    {"a=\xc3\xa4\n", 5, "not ASCII"},
	    {"a=x\0y\n", 6, "not ASCII"},
	    {"a=1\n\nb=2\n", 9, "bytes after the end"},
	    {"\n\n", 2, "bytes after the end"},
	};
	struct kv kv;
	struct buf b = {.max = 20000};

	for (size_t i = 0; i < NELEM(bad); i++)
		assert_string_equal(kv_parse(&kv, bad[i].text, bad[i].n), bad[i].why);
	for (int i = 0; i <= KV_MAX; i++) {
		if (i == KV_MAX)
			assert_null(kv_parse(&kv, buf_bytes(&b), b.len));
		assert_true(buf_printf(&b, "k%s%c=\n", i > 12 ? "x" : "", 'a' + i % 13));
	}
	assert_string_equal(kv_parse(&kv, buf_bytes(&b), b.len), "too many lines");
	buf_free(&b);
	assert_true(buf_printf(&b, "a=%0*d", KV_BYTES - 2, 0));
	assert_null(kv_parse(&kv, buf_bytes(&b), b.len));
	assert_true(buf_put(&b, "x", 1));
	assert_string_equal(kv_parse(&kv, buf_bytes(&b), b.len), "too long");
	buf_free(&b);
}

static void
put_cannot_forge_a_line(void **state)
{
	struct buf b = {.max = 100};

	assert_true(kv_put(&b, "a", "b"));
	assert_false(kv_put(&b, "a", "b\nc=d"));
	assert_false(kv_put(&b, "a", "\xff"));
	b.max = 8;
	assert_false(kv_put(&b, "a", "bcd"));
	assert_int_equal(b.len, 4);
	assert_memory_equal(buf_bytes(&b), "a=b\n", 4);
	buf_free(&b);
}

/* A server that answers one connection with these bytes and fd (or -1), then waits for its end. */
static pid_t
serve(const char *answer, size_t n, int fd, bool hold)
{
	int l = sock_listen(in_dir("s"), 0600), s;
	char c;
	pid_t pid;

	assert_true(l >= 0);
	pid = fork();
	if (pid != 0) {
		close(l);
		return pid;
	}
	fd_nonblock(l, false);
	s = sock_accept(l);
	fd_nonblock(s, false);
	while (read(s, &c, 1) == 1 && c != '\n')
		;
	if (n > 0)
		sock_send_fd(s, answer, n, fd);
	while (hold && read(s, &c, 1) == 1)
		;
	_exit(0);
}

static void
call_takes_an_answer_and_a_descriptor(void **state)
{
	struct kv kv;
	int fd, p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	serve("result=ok\n\n", 11, p[0], true);
	close(p[0]);
	assert_null(kv_call(in_dir("s"), "q=1\n", 4, 5000, &kv, &fd));
	assert_string_equal(kv_get(&kv, "result"), "ok");
	assert_true(fd >= 0);
	assert_int_equal(write(p[1], "y", 1), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	close(fd);
	close(p[1]);
	wait(NULL);
	serve("result=deny", 11, -1, false); /* ended by end of file */
	assert_null(kv_call(in_dir("s"), "q=1\n", 4, 5000, &kv, NULL));
	assert_string_equal(kv_get(&kv, "result"), "deny");
	wait(NULL);
}

static void
call_says_what_failed(void **state)
{
	struct kv kv;
	uint64_t t = now_ms();
	int fd;

	assert_string_equal(kv_call(in_dir("none"), "q\n", 2, 100, &kv, &fd), "cannot connect");
	assert_int_equal(fd, -1);
	serve("", 0, -1, false);
	assert_string_equal(kv_call(in_dir("s"), "q=1\n", 4, 5000, &kv, &fd), "hung up");
	wait(NULL);
	serve("rubbish\n\n", 9, 0, true);
	assert_string_equal(kv_call(in_dir("s"), "q=1\n", 4, 5000, &kv, &fd), "no =");
	assert_int_equal(fd, -1); /* nothing leaks from a bad answer */
	wait(NULL);
	serve("a=b\n", 4, -1, true);
	assert_string_equal(kv_call(in_dir("s"), "q=1\n", 4, 50, &kv, &fd), "no answer in time");
	wait(NULL);
	assert_true(now_ms() - t < 4000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_message_is_found),
	    cmocka_unit_test(good_messages),
	    cmocka_unit_test(bad_messages_are_refused),
	    cmocka_unit_test(put_cannot_forge_a_line),
	    cmocka_unit_test(call_takes_an_answer_and_a_descriptor),
	    cmocka_unit_test(call_says_what_failed),
	};

	return cmocka_run_group_tests_name("kv", tests, NULL, rm_test_dir);
}
