/* SPDX-License-Identifier: ISC */
/* Command grammar, lookup, TCP and socket services, a program's environment: spec/qrexec 7. */
#include "tap.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "rpc/service.h"
#include "sock.h"

static struct svc_cmd c;
static struct svc s;
static const char *why;

static void
good(const char *cmd, bool dom0)
{
	svc_free(&c);
	why = svc_parse(&c, cmd, dom0);
	if (why != NULL)
		fail_msg("%s: %s", cmd, why);
}

static void
bad(const char *cmd, bool dom0)
{
	svc_free(&c);
	if (svc_parse(&c, cmd, dom0) == NULL)
		fail_msg("accepted: %s", cmd);
}

static void
grammar(void **state)
{
	good("user:QUBESRPC a.B+x+y work", false);
	assert_true(c.rpc && c.words_ok && !c.nogui);
	assert_string_equal(c.user, "user");
	assert_string_equal(c.name, "a.B");
	assert_string_equal(c.full, "a.B+x+y");
	assert_string_equal(c.arg, "x+y");
	assert_string_equal(c.source, "work");
	assert_string_equal(c.descriptor, "a.B+x+y work");
	good("u:nogui:QUBESRPC a+ b", false);
	assert_true(c.nogui);
	assert_string_equal(c.arg, "");
	good("QUBESRPC a work keyword dispvm:x", true);
	assert_string_equal(c.user, "");
	assert_null(c.arg);
	assert_string_equal(c.type, "keyword");
	assert_string_equal(c.what, "dispvm:x");
	good("nogui:QUBESRPC a work name vault", true);
	assert_true(c.nogui && c.words_ok);
	good("u:v:w x", false);
	assert_false(c.rpc);
	assert_string_equal(c.shell, "v:w x");
	good("u:nogui:", false);
	assert_string_equal(c.shell, "");
}

static void
grammar_errors(void **state)
{
	static const char *const vm[] = {"", "x", ":x", "QUBESRPC a b", "u:QUBESRPC",
	    "u:QUBESRPCa b", "u:QUBESRPC\ta b", "u:QUBESRPC  a b", "u:QUBESRPC a", "u:QUBESRPC a ",
	    "u:QUBESRPC a  b", "u:QUBESRPC +x b", "u:QUBESRPC a/b c", "u:QUBESRPC ../a c",
	    "u:nogui:QUBESRPC "};
	static const char *const dom0[] = {"", "ls", "user:QUBESRPC a b", "QUBESRPC a", "nogui:ls"};
	char text[70000];

	for (size_t i = 0; i < NELEM(vm); i++)
		bad(vm[i], false);
	for (size_t i = 0; i < NELEM(dom0); i++)
		bad(dom0[i], true);
	snprintf(text, sizeof text, "%064d:x", 0);
	bad(text, false);
	bad(text + 1, true); /* no QUBESRPC for dom0 */
	good(text + 1, false);
	snprintf(text, sizeof text, "QUBESRPC %0256d s", 0);
	bad(text, true);
	snprintf(text, sizeof text, "QUBESRPC %0255d s", 0);
	good(text, true);
	snprintf(text, sizeof text, "QUBESRPC a %064d", 0);
	bad(text, true);
	snprintf(text, sizeof text, "QUBESRPC a+%064990d source", 0);
	good(text, true);
	snprintf(text, sizeof text, "QUBESRPC a+%064999d s", 0);
	bad(text, true);
}

static void
words(void **state)
{
	static const char *const no[] = {"a s ", "a s name", "a s name ", "a s name x ",
	    "a s name x y", "a s  x", "a s other x", "a s names x", "a s name  x"};
	char cmd[64];

	for (size_t i = 0; i < NELEM(no); i++) {
		snprintf(cmd, sizeof cmd, "QUBESRPC %s", no[i]);
		good(cmd, true); /* a socket service may have them */
		if (c.words_ok)
			fail_msg("two or four words: '%s'", no[i]);
	}
}

static int
look(const char *cmd)
{
	good(cmd, true);
	return svc_lookup(&c, &s, &why);
}

static void
file(const char *name, const char *text, mode_t mode)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", test_dir(), name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void
links(const char *text, const char *name)
{
	unlink(in_dir(name));
	assert_int_equal(symlink(text, in_dir(name)), 0);
}

static int
dirs(void **state)
{
	char list[300], conf[100];

	mkdir(in_dir("a"), 0755);
	mkdir(in_dir("b"), 0755);
	mkdir(in_dir("conf"), 0755);
	snprintf(list, sizeof list, "%s/missing:%s/a::%s/b", test_dir(), test_dir(), test_dir());
	snprintf(conf, sizeof conf, "%s/conf", test_dir());
	setenv("QREXEC_SERVICE_PATH", list, 1);
	setenv("QUBES_RPC_CONFIG_PATH", conf, 1);
	return 0;
}

static void
lookup(void **state)
{
	char cmd[400];

	file("a/s", "#!/bin/sh\n", 0755);
	file("b/s+x", "#!/bin/sh\n", 0755);
	file("b/s+", "#!/bin/sh\n", 0755);
	file("a/no", "", 0644);
	file("b/no", "", 0755);
	assert_int_equal(look("QUBESRPC s+y q"), 0);
	assert_string_equal(s.path, in_dir("a/s"));
	assert_int_equal(s.kind, SVC_PROGRAM);
	assert_int_equal(look("QUBESRPC s+x q"), 0);
	assert_string_equal(s.path, in_dir("b/s+x"));
	assert_int_equal(look("QUBESRPC s q"), 0);
	assert_string_equal(s.path, in_dir("b/s+"));
	assert_int_equal(
	    look("QUBESRPC s+a/../x q"), 0); /* a slash in the argument: not looked up */
	assert_string_equal(s.path, in_dir("a/s"));
	snprintf(cmd, sizeof cmd, "QUBESRPC s+%0300d q", 0);
	assert_int_equal(look(cmd), 0);
	assert_int_equal(look("QUBESRPC no q"), 125);
	assert_int_equal(look("QUBESRPC none q"), 127);
	assert_int_equal(look("QUBESRPC s a b"), 125);
	links("nowhere", "a/dangling");
	file("b/dangling", "", 0755);
	assert_int_equal(look("QUBESRPC dangling q"), 0);
	assert_string_equal(s.path, in_dir("b/dangling"));
	links("loop", "a/loop");
	assert_int_equal(look("QUBESRPC loop q"), 125);
	links("s/x", "a/notdir");
	assert_int_equal(look("QUBESRPC notdir q"), 125);
	assert_int_equal(look("QUBESRPC . q"), 125);
	assert_int_equal(look("QUBESRPC .. q"), 125);
	links("/dev/tcpx", "a/tcpx"); /* no TCP service, and dangling */
	assert_int_equal(look("QUBESRPC tcpx q"), 127);
	links("/dev/null", "a/null");
	assert_int_equal(look("QUBESRPC null q"), 125);
}

static void
tcp_addresses(void **state)
{
	static const struct {
		const char *link, *arg, *host;
		uint16_t port; /* 0: refused */
	} t[] = {
	    {"/dev/tcp/127.0.0.1/80", "", "127.0.0.1", 80},
	    {"/dev/tcp/127.0.0.1/80", "+", "127.0.0.1", 80},
	    {"/dev/tcp/::1/65535", "", "::1", 65535},
	    {"/dev/tcp/127.0.0.1", "+1", "127.0.0.1", 1},
	    {"/dev/tcp", "+10.0.0.1+22", "10.0.0.1", 22},
	    {"/dev/tcp", "+fe80++1+22", "fe80::1", 22},
	    {"/dev/tcp", "+++1+22", "::1", 22},
	    {"/dev/tcp/127.0.0.1/80", "+80", NULL, 0},
	    {"/dev/tcp/127.0.0.1/080", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1/0", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1/65536", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1/99999999999", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1/", "+80", NULL, 0},
	    {"/dev/tcp/127.0.0.1/80/", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1/80x", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1", "", NULL, 0},
	    {"/dev/tcp/127.0.0.1", "+", NULL, 0},
	    {"/dev/tcp/127.0.0.1", "+1+2", NULL, 0},
	    {"/dev/tcp/127.0.0.1", "+-1", NULL, 0},
	    {"/dev/tcp/", "", NULL, 0},
	    {"/dev/tcp/", "+127.0.0.1+80", NULL, 0},
	    {"/dev/tcp//80", "", NULL, 0},
	    {"/dev/tcp/localhost/80", "", NULL, 0},
	    {"/dev/tcp/127.1/80", "", NULL, 0},
	    {"/dev/tcp", "", NULL, 0},
	    {"/dev/tcp", "+80", NULL, 0},
	    {"/dev/tcp", "++80", NULL, 0},
	    {"/dev/tcp", "+__1+80", NULL, 0},
	    {"/dev/tcp", "+127.0.0.1+", NULL, 0},
	    {"/dev/tcp", "+127.0.0.1+080", NULL, 0},
	};
	char cmd[64];

	for (size_t i = 0; i < NELEM(t); i++) {
		int rc;
		links(t[i].link, "a/tcp");
		snprintf(cmd, sizeof cmd, "QUBESRPC tcp%s q", t[i].arg);
		rc = look(cmd);
		if (rc != (t[i].port != 0 ? 0 : 125))
			fail_msg("%s %s: %d", t[i].link, t[i].arg, rc);
		if (rc != 0)
			continue;
		assert_int_equal(s.kind, SVC_TCP);
		assert_string_equal(s.host, t[i].host);
		assert_int_equal(s.port, t[i].port);
	}
}

static void
configuration(void **state)
{
	file("a/k", "#!/bin/sh\n", 0755);
	file("conf/k", "wait-for-session = true\nexit-on-client-eof = true\n", 0644);
	assert_int_equal(look("QUBESRPC k q"), 0);
	assert_true(s.conf.wait_for_session);
	assert_false(s.conf.exit_on_client_eof); /* a program */
	assert_int_equal(look("nogui:QUBESRPC k q"), 0);
	assert_false(s.conf.wait_for_session);
	file("conf/k+one", "force-user = 'one'\n", 0644);
	assert_int_equal(look("QUBESRPC k+one q"), 0);
	assert_string_equal(s.conf.force_user, "one");
	assert_int_equal(look("QUBESRPC k+two q"), 0);
	assert_string_equal(s.conf.force_user, "");
	file("conf/k", "broken\n", 0644);
	assert_int_equal(look("QUBESRPC k+two q"), 125);
	assert_int_equal(look("QUBESRPC k+one q"), 0);
	unlink(in_dir("conf/k"));
	mkdir(in_dir("conf/k"), 0755);
	assert_int_equal(look("QUBESRPC k+two q"), 125);
	rmdir(in_dir("conf/k"));
	assert_int_equal(look("QUBESRPC k+two q"), 0);
}

static void
taken(int l, const char *want, size_t n)
{
	char b[256];
	int fd = svc_connect(&c, &s, &why), p;

	assert_true(fd >= 0);
	p = sock_accept(l);
	fd_nonblock(p, false);
	close(fd);
	assert_int_equal(read(p, b, sizeof b), n);
	assert_memory_equal(b, want, n);
	close(p);
}

static void
sockets(void **state)
{
	char name[256], cmd[400], path[4096];
	int l = sock_listen(in_dir("a/sock"), 0600);

	assert_true(l >= 0);
	assert_int_equal(look("QUBESRPC sock+x q many words here"), 0);
	assert_int_equal(s.kind, SVC_SOCKET);
	taken(l, "sock+x q many words here", 25);
	file("conf/sock", "skip-service-descriptor = true\n", 0644);
	assert_int_equal(look("QUBESRPC sock q"), 0);
	taken(l, "", 0);
	links("../a/sock", "b/through");
	assert_int_equal(look("QUBESRPC through q"), 0);
	taken(l, "through q", 10);
	memset(name, 'n', 200);
	name[200] = '\0';
	snprintf(path, sizeof path, "%s/a/%s", test_dir(), name);
	assert_int_equal(rename(in_dir("a/sock"), path), 0);
	snprintf(cmd, sizeof cmd, "QUBESRPC %s q", name);
	assert_int_equal(look(cmd), 0);
	snprintf(cmd, sizeof cmd, "%s q", name);
	taken(l, cmd, 203);
	close(l);
	assert_int_equal(svc_connect(&c, &s, &why), -1);
	assert_non_null(why);
}

static void
tcp_connects(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);
	char cmd[64];

	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
	links("/dev/tcp/127.0.0.1", "a/t");
	snprintf(cmd, sizeof cmd, "QUBESRPC t+%d q", ntohs(a.sin_port));
	assert_int_equal(look(cmd), 0);
	taken(l, cmd + 9, strlen(cmd + 9) + 1);
	close(l);
	assert_int_equal(svc_connect(&c, &s, &why), -1);
}

/* What the program prints. */
static const char *
output(const char *cmd, int *status)
{
	static char b[8192];
	size_t n = 0;
	ssize_t k;
	int p[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(look(cmd), 0);
	pid = fork();
	if (pid == 0) {
		dup2(p[1], 1);
		_exit(svc_exec(&c, &s));
	}
	close(p[1]);
	while ((k = read(p[0], b + n, sizeof b - 1 - n)) > 0)
		n += (size_t)k;
	b[n] = '\0';
	close(p[0]);
	waitpid(pid, status, 0);
	return b;
}

static void
environment(void **state)
{
	const char *b;
	int st;

	setenv("QREXEC_OLD", "x", 1);
	setenv("QREXEC", "x", 1);
	setenv("QREXECX", "x", 1);
	setenv("QREXEC_REMOTE_DOMAIN", "liar", 1);
	setenv("QREXEC_REQUESTED_TARGET", "liar", 1);
	setenv("QREXEC_SERVICE_ARGUMENT", "liar", 1);
	setenv("QREXEC_AGENT_PID", "77", 1);
	file("a/env",
	    "#!/bin/sh\necho \"$# $1\"\nenv | grep ^QREXEC | grep -v _PATH | sort\nexit 3\n", 0755);
	b = output("QUBESRPC env+a+b q name t", &st);
	assert_string_equal(b,
	    "1 a+b\nQREXEC_AGENT_PID=77\nQREXEC_REMOTE_DOMAIN=q\nQREXEC_REQUESTED_TARGET=t\n"
	    "QREXEC_REQUESTED_TARGET_TYPE=name\nQREXEC_SERVICE_ARGUMENT=a+b\nQREXEC_SERVICE_FULL_"
	    "NAME=env+a+b\n");
	assert_int_equal(WEXITSTATUS(st), 3);
	b = output("QUBESRPC env+ q keyword default", &st);
	assert_string_equal(b, "0 "
			       "\nQREXEC_AGENT_PID=77\nQREXEC_REMOTE_DOMAIN=q\nQREXEC_REQUESTED_"
			       "TARGET_KEYWORD=default\n"
			       "QREXEC_REQUESTED_TARGET_TYPE=keyword\nQREXEC_SERVICE_ARGUMENT="
			       "\nQREXEC_SERVICE_FULL_NAME=env+\n");
	b = output("QUBESRPC env q", &st);
	assert_string_equal(b,
	    "0 \nQREXEC_AGENT_PID=77\nQREXEC_REMOTE_DOMAIN=q\nQREXEC_REQUESTED_TARGET_TYPE=\n"
	    "QREXEC_SERVICE_FULL_NAME=env\n");
	file("a/nointerp", "#!/no/such/thing\n", 0755);
	output("QUBESRPC nointerp q", &st);
	assert_int_equal(WEXITSTATUS(st), 127);
	file("a/noformat", "no program\n", 0755);
	output("QUBESRPC noformat q", &st);
	assert_int_equal(WEXITSTATUS(st), 125);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grammar),
	    cmocka_unit_test(grammar_errors),
	    cmocka_unit_test(words),
	    cmocka_unit_test(lookup),
	    cmocka_unit_test(tcp_addresses),
	    cmocka_unit_test(configuration),
	    cmocka_unit_test(sockets),
	    cmocka_unit_test(tcp_connects),
	    cmocka_unit_test(environment),
	};
	int rc = cmocka_run_group_tests(tests, dirs, rm_test_dir);

	svc_free(&c);
	return rc;
}
