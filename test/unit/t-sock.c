/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sock.h"

static bool
speaks(int l, const char *path)
{
	int c = sock_connect(path), s;
	char b;
	bool ok;

	if (c < 0)
		return false;
	s = sock_accept(l);
	ok = s >= 0 && (fcntl(c, F_GETFL) & O_NONBLOCK) && (fcntl(s, F_GETFL) & O_NONBLOCK) &&
	     (fcntl(c, F_GETFD) & FD_CLOEXEC) && (fcntl(s, F_GETFD) & FD_CLOEXEC) &&
	     write(c, "x", 1) == 1 && read(s, &b, 1) == 1;
	close(c);
	close(s);
	return ok;
}

static void
listen_and_connect(void **state)
{
	struct stat st;
	mode_t old = umask(077);
	int a, b;

	put_file("s.new", "", 0); /* left by one that was killed */
	a = sock_listen(in_dir("s"), 0660);
	assert_true(a >= 0);
	assert_int_equal(stat(in_dir("s"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(access(in_dir("s.new"), F_OK), -1);
	assert_true(speaks(a, in_dir("s")));
	b = sock_listen(in_dir("s"), 0600); /* the next one takes the name over */
	assert_true(speaks(b, in_dir("s")));
	assert_int_equal(sock_accept(b), -1);
	assert_int_equal(errno, EAGAIN);
	close(a);
	close(b);
	assert_int_equal(sock_connect(in_dir("s")), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(sock_connect(in_dir("none")), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(sock_listen(in_dir("none/s"), 0600), -1);
	umask(old);
}

static void
long_paths(void **state)
{
	char dir[300], path[600], name[120];
	int l;

	snprintf(dir, sizeof(dir), "%s/", test_dir());
	memset(dir + strlen(dir), 'd', 150);
	dir[strlen(test_dir()) + 151] = '\0';
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/sock", dir);
	l = sock_listen(path, 0600);
	assert_true(l >= 0);
	assert_true(speaks(l, path));
	close(l);
	memset(name, 'n', sizeof(name));
	snprintf(path, sizeof(path), "%s/%.*s", dir, (int)sizeof(name), name);
	assert_int_equal(sock_listen(path, 0600), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(sock_connect(path), -1);
	assert_int_equal(sock_connect(""), -1);
}

static void
full_backlog_is_waited_for(void **state)
{
	int l = sock_listen(in_dir("q"), 0600), c[8], n = 0, r;

	assert_int_equal(listen(l, 1), 0); /* smaller */
	while (n < 8 && (c[n] = sock_connect(in_dir("q"))) >= 0)
		n++;
	assert_true(n < 8);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(sock_connect_wait(in_dir("q"), 20), -1);
	assert_int_equal(sock_connect_wait(in_dir("q"), 0), -1);
	if (fork() == 0) {
		_exit(sock_accept(l) < 0);
	}
	r = sock_connect_wait(in_dir("q"), 5000);
	assert_true(r >= 0);
	assert_true(fcntl(r, F_GETFL) & O_NONBLOCK);
	close(r);
	wait(NULL);
	while (n > 0)
		close(c[--n]);
	close(l);
}

/* Runs as another user in a child: connects, then waits to be let go. Returns the accepted end. */
static int
visitor(uid_t uid, gid_t gid, const gid_t *groups, size_t n, int l)
{
	pid_t pid = fork();
	char b;
	int s;

	if (pid == 0) {
		if (setgroups(n, groups) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(1);
		s = sock_connect(in_dir("p"));
		if (s < 0)
			_exit(1);
		fd_nonblock(s, false);
		_exit(read(s, &b, 1) != 0);
	}
	assert_int_equal(poll(&(struct pollfd){.fd = l, .events = POLLIN}, 1, 5000), 1);
	return sock_accept(l);
}

static void
peers_are_known(void **state)
{
	const gid_t groups[] = {70001, 70002, 70003};
	uid_t uid;
	pid_t pid;
	int l, s;

	if (geteuid() != 0)
		skip();
	l = sock_listen(in_dir("p"), 0666);
	assert_int_equal(chmod(test_dir(), 0755), 0);
	s = visitor(70000, 70009, groups, 3, l);
	assert_true(sock_peer(s, &uid, &pid));
	assert_int_equal(uid, 70000);
	assert_true(pid > 0);
	assert_true(sock_peer_in_group(s, 70003));
	assert_true(sock_peer_in_group(s, 70009));
	assert_false(sock_peer_in_group(s, 70004));
	assert_true(sock_peer_is_person(s, 70002));
	assert_false(sock_peer_is_person(s, 70004));
	assert_false(sock_peer_is_person(s, (gid_t)-1));
	close(s);
	s = visitor(0, 0, NULL, 0, l);
	assert_true(sock_peer_is_person(s, (gid_t)-1));
	assert_false(sock_peer_in_group(s, 70002));
	close(s);
	while (wait(NULL) > 0)
		;
	close(l);
	people_gid();
}

static void
descriptors_are_passed(void **state)
{
	int s[2], p[2], fd;
	char b[8];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(sock_recv_fd(s[1], b, sizeof(b), &fd), -1);
	assert_int_equal(fd, -1);
	assert_true(sock_send_fd(s[0], "abc", 3, p[1]));
	assert_int_equal(sock_recv_fd(s[1], b, sizeof(b), &fd), 3);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "z", 1), 1);
	assert_int_equal(read(p[0], b, 8), 1);
	close(fd);
	assert_true(sock_send_fd(s[0], "d", 1, -1));
	assert_int_equal(sock_recv_fd(s[1], b, sizeof(b), &fd), 1);
	assert_int_equal(fd, -1);
	close(s[1]);
	assert_false(sock_send_fd(s[0], "d", 1, p[1]));
	close(s[0]);
	close(p[0]);
	close(p[1]);
}

static void
surplus_descriptors_do_not_leak(void **state)
{
	char space[CMSG_SPACE(3 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = "x", .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = space,
	    .msg_controllen = sizeof(space)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int s[2], fd, before, three[3] = {0, 1, 2};
	char b;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(three));
	memcpy(CMSG_DATA(h), three, sizeof(three));
	assert_int_equal(sendmsg(s[0], &m, 0), 1);
	before = dup(0);
	close(before);
	assert_int_equal(sock_recv_fd(s[1], &b, 1, &fd), 1);
	assert_int_equal(fd, before);
	assert_int_equal(fcntl(before + 1, F_GETFD), -1);
	close(fd);
	close(s[0]);
	close(s[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listen_and_connect),
	    cmocka_unit_test(long_paths),
	    cmocka_unit_test(full_backlog_is_waited_for),
	    cmocka_unit_test(peers_are_known),
	    cmocka_unit_test(descriptors_are_passed),
	    cmocka_unit_test(surplus_descriptors_do_not_leak),
	};

	return cmocka_run_group_tests_name("sock", tests, NULL, rm_test_dir);
}
