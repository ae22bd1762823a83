/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "pump.h"
#include "sock.h"

#define LAST_READS 8 /* of what is in the pipe when nobody wants more */

/* Once: how much, 0 if nothing is there now, -1 at the end of either side. */
static ssize_t
pass(void)
{
	char untrusted[16384];
	ssize_t n = read(STDIN_FILENO, untrusted, sizeof untrusted), k;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	for (ssize_t off = 0; off < n; off += k) {
		k = write(STDOUT_FILENO, untrusted + off, (size_t)(n - off));
		if (k < 0)
			return -1;
	}
	return n;
}

static _Noreturn void
run(void)
{
	struct pollfd p[2] = {
	    {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = POLLIN}};

	while (poll(p, 2, -1) > 0 && p[1].revents == 0)
		if (pass() < 0)
			_exit(0);
	for (int i = 0; i < LAST_READS && pass() > 0; i++)
		;
	_exit(0);
}

int
pump_start(int from, void (*confine)(void))
{
	int s[2] = {-1, -1};
	pid_t pid = -1;

	if (fd_nonblock(from, true) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0 &&
	    fd_nonblock(s[0], true))
		pid = fork();
	if (pid == 0) {
		if (dup2(from, STDIN_FILENO) < 0 || dup2(s[1], STDOUT_FILENO) < 0)
			_exit(1);
		fd_close_from(STDERR_FILENO + 1);
		if (confine != NULL)
			confine();
		run();
	}
	if (pid < 0)
		logit("standard error is not read: %s", strerror(errno));
	close(from);
	if (s[1] >= 0)
		close(s[1]);
	if (pid < 0 && s[0] >= 0)
		close(s[0]);
	return pid < 0 ? -1 : s[0];
}
