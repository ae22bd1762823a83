/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <sys/wait.h>

#include "log.h"

static int saved, out;
static char text[8192];

static void
catch_begin(void)
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	saved = dup(2);
	dup2(p[1], 2);
	close(p[1]);
	out = p[0];
}

static const char *
catch_end(void)
{
	ssize_t n;
	size_t len = 0;

	dup2(saved, 2);
	close(saved);
	while ((n = read(out, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(out);
	text[len] = '\0';
	return text;
}

static void
lines_are_whole_and_cannot_be_forged(void **state)
{
	char big[3000];
	const char *s;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	catch_begin();
	log_open("prog", NULL);
	errno = ENOENT;
	logit("one %d", 1);
	assert_int_equal(errno, ENOENT);
	log_open("prog", "work");
	logit("two\nthree\033[2J\xff");
	logit("%s", big);
	s = catch_end();
	assert_memory_equal(s, "prog: one 1\nprog[work]: two?three?[2J?\nprog[work]: xxx", 52);
	assert_int_equal(strlen(strchr(strchr(s, '\n') + 1, '\n') + 1), 1001);
	assert_int_equal(s[strlen(s) - 1], '\n');
}

static void
escape(void **state)
{
	char o[16], e[LOG_ESC_MAX];

	assert_string_equal(log_escs(e, sizeof(e), "aZ9_.+@:-"), "aZ9_.+@:-");
	assert_string_equal(log_esc(e, sizeof(e), "a b\0\xff%/\n", 8), "a%20b%00%FF%25%2F%0A");
	assert_string_equal(log_escs(o, sizeof(o), "123456789012345"), "123456789012345");
	assert_string_equal(log_escs(o, sizeof(o), "1234567890123456"), "123456789012...");
	assert_string_equal(log_escs(o, sizeof(o), "12345678901 3456"), "12345678901...");
	assert_string_equal(log_escs(o, 3, "abc"), "..");
	assert_string_equal(log_escs(o, 1, "abc"), "");
	assert_string_equal(log_escs(o, 1, ""), "");
	assert_string_equal(log_esc(o, sizeof(o), NULL, 0), "");
}

static void
floods_are_coalesced(void **state)
{
	struct log_limit lim = {0};

	log_open("p", NULL);
	catch_begin();
	log_limited(&lim, "flood %d", 1);
	for (int i = 0; i < 37; i++)
		log_limited(&lim, "flood");
	lim.last_ms -= 1000; /* a second later */
	log_limited(&lim, "flood %d", 2);
	log_limited(&lim, "flood");
	log_flush(&lim, "end");
	log_flush(&lim, "end");
	assert_string_equal(catch_end(), "p: flood 1\np: flood 2 (37 more)\np: end (1 more)\n");
}

static int
status_of(int what)
{
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		errno = what == 1 ? ENOENT : 0;
		if (what < 2)
			die("dead");
		usage_die("how");
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return WEXITSTATUS(st);
}

static void
exit_codes(void **state)
{
	int a, b, c;

	log_open("p", NULL);
	catch_begin();
	a = status_of(0);
	b = status_of(1);
	c = status_of(2);
	assert_string_equal(catch_end(), "p: dead\np: dead: No such file or directory\np: how\n");
	assert_int_equal(a, 111);
	assert_int_equal(b, 111);
	assert_int_equal(c, 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_whole_and_cannot_be_forged),
	    cmocka_unit_test(escape),
	    cmocka_unit_test(floods_are_coalesced),
	    cmocka_unit_test(exit_codes),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
