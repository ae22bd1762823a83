/* SPDX-License-Identifier: ISC */
/*
 * A paused qube: all its processes are stopped. kill(-1) within its pid namespace reaches all at
 * once, a fork on its way too, and nobody is left who could continue them; a process that the guest
 * itself had stopped goes on with the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local.h"
#include "log.h"

/* A namespace of process numbers is entered for one's children alone: for this one. */
static bool
everybody(const struct domain *d, int sig)
{
	const int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid = -1;
	int status;

	if (own >= 0 && setns(d->end_fd, CLONE_NEWPID) == 0) {
		pid = fork();
		if (pid == 0)
			_exit(kill(-1, sig) == 0 || errno == ESRCH ? 0 : errno);
		if (setns(own, CLONE_NEWPID) < 0)
			die("the way back from the qube's process numbers"); /* another keeper
										follows */
	}
	if (own >= 0)
		close(own);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
	return errno == 0;
}

/* A signal to a process that nobody has waited for yet arrives, too. */
static bool
is_dead(const struct domain *d)
{
	struct pollfd p = {.fd = d->end_fd, .events = POLLIN};

	if (poll(&p, 1, 0) == 0)
		return false;
	errno = ESRCH;
	return true;
}

static bool
init(const struct domain *d, int sig)
{
	return syscall(SYS_pidfd_send_signal, d->end_fd, sig, NULL, 0) == 0;
}

const char *
domain_pause(struct domain *d)
{
	return init(d, SIGSTOP) && everybody(d, SIGSTOP) ? NULL : "its processes";
}

const char *
domain_unpause(struct domain *d)
{
	return !is_dead(d) && everybody(d, SIGCONT) && init(d, SIGCONT) ? NULL : "its processes";
}
