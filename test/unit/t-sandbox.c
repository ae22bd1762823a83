/* SPDX-License-Identifier: ISC */
/*
 * Takes over live sandboxed programs, built against either libc, entered as root with a uid of its
 * own, as root by hand and without root by hand, and makes them try what they must not.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/sock.h"

#define OWN_UID 1900000011u
#define PLAIN_UID 12345u
#define OUTSIDE_FD 9 /* /etc, open before the sandbox */
#define WITHIN_FD 8  /* DIR/in, likewise */

static char dir[64], bin[PATH_MAX];

struct way {
	const char *program;
	enum { OWN, ROOT_BY_HAND, PLAIN_BY_HAND, NO_NAMESPACES } as;
};
static const struct way ways[] = {
    {"sandboxed", OWN},
    {"sandboxed", ROOT_BY_HAND},
    {"sandboxed", PLAIN_BY_HAND},
    {"sandboxed-host", OWN},
    {"sandboxed-host", ROOT_BY_HAND},
    {"sandboxed-host", PLAIN_BY_HAND},
};
#define WAYS (sizeof ways / sizeof *ways)

struct box {
	pid_t pid;
	int in, out;
};

static const char *
at(const char *format, const char *arg)
{
	static char text[8][256];
	static unsigned i;
	char *t = text[i++ % 8];
	snprintf(t, 256, format, arg);
	return t;
}

/* For this process only, by being in a namespace that may have no others in it. */
static void
forbid_namespaces(void)
{
	int fd = -1;

	if (unshare(CLONE_NEWUSER) == 0)
		fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(97);
	close(fd);
	dup2(1, 2); /* the line that says so */
}

static _Noreturn void
child(const struct way *w, bool open_filter, int in, int out)
{
	char uid[32];
	const char *argv[16];
	size_t n = 0;

	dup2(in, 0);
	dup2(out, 1);
	dup2(open("/etc", O_RDONLY | O_DIRECTORY), OUTSIDE_FD);
	dup2(open(at("%s/in", dir), O_RDONLY | O_DIRECTORY), WITHIN_FD);
	snprintf(uid, sizeof uid, "%u", OWN_UID);
	/* Opened as who we are: the checkout may stand where the other user cannot look. */
	const int self = open(at(at("%s/%%s", bin), w->program), O_RDONLY | O_CLOEXEC);

	argv[n++] = w->program;
	if (open_filter)
		argv[n++] = "-o";
	if (w->as == OWN)
		argv[n++] = "-u", argv[n++] = uid;
	if (w->as == PLAIN_BY_HAND &&
	    (setgroups(0, NULL) || setresgid(PLAIN_UID, PLAIN_UID, PLAIN_UID) ||
		setresuid(PLAIN_UID, PLAIN_UID, PLAIN_UID)))
		_exit(99);
	if (w->as == NO_NAMESPACES)
		forbid_namespaces();
	argv[n++] = at("%s/in=1", dir);
	argv[n++] = at("%s/file=1", dir);
	argv[n++] = at("%s/in/below=2", dir);
	argv[n++] = at("%s/sock=4", dir);
	argv[n++] = at("%s/rw=3", dir);
	argv[n++] = at("%s/absent=9", dir);
	argv[n] = NULL;
	fexecve(self, (char **)(uintptr_t)argv, environ);
	_exit(98);
}

/* Reads until it has said so. */
static const char *
say(const struct box *b, const char *expect)
{
	struct pollfd p = {.fd = b->out, .events = POLLIN};
	static char buf[512];
	ssize_t n = 0;

	for (size_t len = 0; len == 0 || !strstr(buf, expect); len += (size_t)n) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		n = read(b->out, buf + len, sizeof buf - 1 - len);
		assert_true(n > 0);
		buf[len + (size_t)n] = '\0';
	}
	return buf;
}

static struct box
start(const struct way *w, bool open_filter)
{
	int in[2], out[2];
	struct box b;

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	b.pid = fork();
	assert_true(b.pid >= 0);
	if (b.pid == 0)
		child(w, open_filter, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	b.in = in[1];
	b.out = out[0];
	const bool told = strstr(say(&b, "ready "), "no namespaces for us here");
	assert_int_equal(told, w->as == NO_NAMESPACES);
	return b;
}

static int
stop(const struct box *b)
{
	int status;

	close(b->in);
	close(b->out);
	assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
	return status;
}

/* What inject prints. */
static const char *
inject(pid_t pid, const char *deed, const char *arg)
{
	static char text[128];
	char num[16];
	int out[2], status;
	ssize_t n;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	snprintf(num, sizeof num, "%d", pid);
	const pid_t p = fork();
	if (p == 0) {
		dup2(out[1], 1);
		execl(at("%s/inject", bin), "inject", num, deed, arg, NULL);
		_exit(98);
	}
	close(out[1]);
	n = read(out[0], text, sizeof text - 1);
	close(out[0]);
	waitpid(p, &status, 0);
	assert_true(n > 0 && status == 0);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void
one(const struct way *w, bool open_filter, const char *deed, const char *arg, const char *expect)
{
	struct box b = start(w, open_filter);
	const bool dies = strncmp(expect, "refused SIG", 11) == 0;
	const char *got = inject(b.pid, deed, arg);

	if (strcmp(got, expect) != 0)
		fail_msg("%s as %d: %s %s: %s, not %s", w->program, w->as, deed, arg ? arg : "",
		    got, expect);
	if (strcmp(deed, "create") == 0 && strstr(arg, "/new"))
		unlink(arg);
	if (!dies) { /* and works on as if nothing had been */
		assert_int_equal(write(b.in, "still here", 10), 10);
		say(&b, "still here");
	}
	const int status = stop(&b);
	if (dies)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	else
		assert_int_equal(status, 0);
}

static void
each(bool open_filter, const char *deed, const char *arg, const char *expect)
{
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < WAYS; i++)
		one(&ways[i], open_filter, deed, arg, expect);
}

static char *
status_line(pid_t pid, const char *key)
{
	static char line[256];
	FILE *f;

	snprintf(line, sizeof line, "/proc/%d/status", pid);
	f = fopen(line, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			break;
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return line + strlen(key) + 1;
}

static void
test_status(void **state)
{
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < WAYS; i++) {
		const unsigned uid = ways[i].as == OWN		  ? OWN_UID
				     : ways[i].as == ROOT_BY_HAND ? 0
								  : PLAIN_UID;
		struct box b = start(&ways[i], false);
		static const char *const none[] = {
		    "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
		char uids[64];

		snprintf(uids, sizeof uids, "%u\t%u\t%u\t%u", uid, uid, uid, uid);
		assert_string_equal(status_line(b.pid, "Uid:"), uids);
		assert_string_equal(status_line(b.pid, "Gid:"), uids);
		for (size_t c = 0; c < 5; c++)
			assert_string_equal(status_line(b.pid, none[c]), "0000000000000000");
		assert_string_equal(status_line(b.pid, "NoNewPrivs:"), "1");
		assert_string_equal(status_line(b.pid, "Seccomp:"), "2");
		if (ways[i].as == OWN)
			assert_string_equal(status_line(b.pid, "Groups:"), " ");
		assert_int_equal(stop(&b), 0);
	}
}

/* Nothing of the old root is there, not even under it. */
static void
test_root_holds_only_the_list(void **state)
{
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < WAYS; i++) {
		struct box b = start(&ways[i], false);
		char line[512], path[64];
		struct stat st;
		size_t lines = 0;

		snprintf(path, sizeof path, "/proc/%d/mountinfo", b.pid);
		FILE *f = fopen(path, "re");
		assert_non_null(f);
		for (; fgets(line, sizeof line, f); lines++)
			assert_non_null(strstr(line, "nosuid"));
		fclose(f);
		assert_int_equal(lines, 6); /* the root and five */
		static const char *const gone[] = {"proc", "etc", "usr", "dev", "sys", "run"};
		for (size_t g = 0; g < 6; g++) {
			snprintf(line, sizeof line, "/proc/%d/root/%s", b.pid, gone[g]);
			assert_int_equal(stat(line, &st), -1);
		}
		assert_int_equal(stop(&b), 0);
	}
}

static void
test_files(void **state)
{
	each(false, "open", "/etc/passwd", "refused ENOENT");
	each(false, "open", at("%s/outside", dir), "refused ENOENT");
	each(false, "open", at("%s/in/../outside", dir), "refused ENOENT");
	each(false, "open", at("%s/in/f", dir), "done");
	each(false, "open", at("%s/in", dir), "done");
	each(false, "open", at("%s/file", dir), "done");
	each(false, "create", at("%s/in/new", dir), "refused EROFS");
	each(false, "create", at("%s/file", dir), "refused EROFS");
	each(false, "create", "/new", "refused EROFS");
	each(false, "create", at("%s/rw/new", dir), "done");
	each(false, "create", at("%s/in/below/new", dir), "done");
}

/* Landlock alone: the mount namespace has no say about what was open before, nor about a directory
 * of sockets. */
static void
test_files_by_an_old_descriptor(void **state)
{
	if (syscall(444, NULL, 0, 1) <= 0)
		skip();
	each(false, "openat", "9:passwd", "refused EACCES");
	each(false, "openat", "9:../etc/passwd", "refused EACCES");
	each(false, "openat", "8:../outside", "refused EACCES");
	each(false, "openat", "8:f", "done");
	each(false, "create", at("%s/sock/new", dir), "refused EROFS");
	each(false, "open", at("%s/sock", dir), "refused EACCES");
}

static void
test_sockets(void **state)
{
	each(false, "connect", at("%s/sock/s", dir), "done");
	each(false, "connect", at("%s/outside.sock", dir), "refused ENOENT");
	each(false, "socket-inet", NULL, "refused SIGSYS");
	each(false, "tcp", "22", "refused SIGSYS");
}

static void
test_sockets_without_a_file(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					(size_t)snprintf(a.sun_path + 1, sizeof a.sun_path - 1,
					    "cubicle-test-%d", getpid()));
	const bool scoped = syscall(444, NULL, 0, 1) >= 6;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 100), 0);
	each(false, "connect", at("@%s", a.sun_path + 1),
	    scoped ? "refused EPERM" : "refused ECONNREFUSED");
	each(true, "tcp", "22", scoped ? "refused EACCES" : "refused ENETUNREACH");
	close(fd);
}

static void
test_calls(void **state)
{
	each(false, "exec", "/bin/true", "refused SIGSYS");
	each(false, "ptrace", "1", "refused SIGSYS");
	each(false, "kill", "1", "refused SIGSYS");
	each(false, "mprotect-exec", NULL, "refused SIGSYS");
}

/* Where the filter would let it through. */
static void
test_calls_below_the_filter(void **state)
{
	char self[16];

	snprintf(self, sizeof self, "%d", getpid());
	each(true, "ptrace", self, "refused EPERM");
	each(true, "kill", self, "refused EPERM");
	each(true, "exec", "/bin/true", "refused ENOENT");
	each(true, "exec", at("%s/rw/program", dir), "refused EACCES");
}

static void
test_without_namespaces_the_rest_holds(void **state)
{
	const struct way w = {"sandboxed", NO_NAMESPACES};

	if (geteuid() != 0 || syscall(444, NULL, 0, 1) <= 0)
		skip();
	one(&w, false, "open", "/etc/passwd", "refused EACCES");
	one(&w, false, "open", at("%s/outside", dir), "refused EACCES");
	one(&w, false, "open", at("%s/in/f", dir), "done");
	one(&w, false, "create", at("%s/file", dir), "refused EACCES");
	one(&w, false, "create", at("%s/rw/by-plain", dir), "done");
	one(&w, false, "socket-inet", NULL, "refused SIGSYS");
	one(&w, true, "exec", "/bin/true", "refused EACCES");
}

static int
set_up(void **state)
{
	static const char *const dirs[] = {"in", "in/below", "sock", "rw"};
	static const char *const files[] = {"in/f", "file", "outside", "rw/program"};

	bin[readlink("/proc/self/exe", bin, sizeof bin - 1)] = '\0';
	dirname(bin);
	snprintf(dir, sizeof dir, "/tmp/t-sandbox-XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755))
		return -1;
	for (size_t i = 0; i < 4; i++)
		if (mkdir(at(at("%s/%%s", dir), dirs[i]), 0777) ||
		    chmod(at(at("%s/%%s", dir), dirs[i]), 0777))
			return -1;
	for (size_t i = 0; i < 4; i++) {
		const int fd =
		    open(at(at("%s/%%s", dir), files[i]), O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
		if (fd < 0 || fchmod(fd, 0777) || close(fd))
			return -1;
	}
	return sock_listen(at("%s/sock/s", dir), 0666) < 0 ||
	       sock_listen(at("%s/outside.sock", dir), 0666) < 0;
}

static int
tear_down(void **state)
{
	const char *argv[] = {"rm", "-rf", dir, NULL};
	const pid_t p = fork();

	if (p == 0) {
		execvp("rm", (char **)(uintptr_t)argv);
		_exit(1);
	}
	waitpid(p, NULL, 0);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_status),
	    cmocka_unit_test(test_root_holds_only_the_list),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_files_by_an_old_descriptor),
	    cmocka_unit_test(test_sockets),
	    cmocka_unit_test(test_sockets_without_a_file),
	    cmocka_unit_test(test_calls),
	    cmocka_unit_test(test_calls_below_the_filter),
	    cmocka_unit_test(test_without_namespaces_the_rest_holds),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
