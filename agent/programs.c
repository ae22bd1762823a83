/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"
#include "programs.h"

#define SPACING_S 1  /* between two starts of a program that ends */
#define PATIENCE_S 5 /* between asking all to end and ending them */
#define READY_MS 10000

static time_t
now_s(void)
{
	return (time_t)(now_ms() / 1000);
}

/* In the new process. ready: a pipe from the one that says so, or -1 when it had its time. */
static void
await_ready(const struct program *p, const int *ready)
{
	struct pollfd other = {.fd = ready[0], .events = POLLIN};
	const int fd = ready[1] >= 0 ? ready[1] : open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (p->says_ready) {
		if (dup2(fd, PROGRAMS_READY_FD) == fd)
			(void)fcntl(fd, F_SETFD, 0);
		return;
	}
	close(fd); /* or its end would go unheard */
	if (other.fd >= 0)
		(void)poll(&other, 1, READY_MS);
}

static void
start(struct program *p, const int *ready)
{
	sigset_t none;
	int fd;
	const pid_t pid = fork();

	p->started = now_s();
	p->pid = pid > 0 ? pid : 0;
	if (pid != 0)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	await_ready(p, ready);
	if (p->tty && (fd = open(p->tty, O_RDWR)) >= 0) {
		ioctl(fd, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		if (fd > 2)
			close(fd);
	}
	execv(p->argv[0], p->argv);
	if (p->may_end && errno == ENOENT)
		_exit(0);
	dprintf(2, "%s: %s\n", p->argv[0], strerror(errno));
	_exit(111);
}

/* Starts what does not run; seconds until something else may be started, 0: nothing to wait for. */
static time_t
start_all(struct program *p, size_t n, const int *ready)
{
	time_t wait = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i].pid > 0 || p[i].ended)
			continue;
		if (p[i].started == 0 || now_s() - p[i].started >= SPACING_S)
			start(&p[i], ready);
		if (p[i].pid == 0)
			wait = SPACING_S;
	}
	return wait;
}

/* False: nobody is left. */
static bool
reap(struct program *p, size_t n)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < n; i++)
			if (p[i].pid == pid) {
				p[i].pid = 0;
				p[i].ended = p[i].may_end && status == 0;
			}
	return pid == 0;
}

/* One of the signals, or -1 after seconds (0: no limit). */
static int
next_signal(const sigset_t *set, time_t seconds)
{
	const struct timespec ts = {.tv_sec = seconds};

	return seconds > 0 ? sigtimedwait(set, NULL, &ts) : sigwaitinfo(set, NULL);
}

void
programs_signals(sigset_t *set, const int *wanted)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	for (; *wanted; wanted++)
		sigaddset(set, *wanted);
	sigprocmask(SIG_BLOCK, set, NULL);
}

int
programs_run(struct program *p, size_t n, const sigset_t *set)
{
	int ready[2];
	time_t wait;

	setenv("DISPLAY", ":0", 1); /* gui-agent's */
	if (pipe2(ready, O_CLOEXEC) < 0)
		ready[0] = ready[1] = -1;
	for (;;) {
		wait = start_all(p, n, ready);
		for (int i = 0; i < 2 && ready[i] >= 0; ready[i++] = -1)
			close(ready[i]);
		const int sig = next_signal(set, wait);

		if (sig > 0 && sig != SIGCHLD)
			return sig;
		reap(p, n);
	}
}

void
programs_end(struct program *p, size_t n, const sigset_t *set)
{
	const time_t until = now_s() + PATIENCE_S;

	kill(-1, SIGTERM);
	kill(-1, SIGHUP); /* shells of terminals do not care for the other */
	kill(-1, SIGCONT);
	while (reap(p, n) && now_s() < until)
		(void)next_signal(set, until - now_s() + 1);
	kill(-1, SIGKILL);
}
