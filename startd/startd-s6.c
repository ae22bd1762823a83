/* SPDX-License-Identifier: ISC */
/* s6's programs, as a job's steps start them; what one exited with comes back by job_step. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "startd.h"

#define AGAIN_MS 200

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	job_step(arg, 111);
}

void
job_again(struct job *j)
{
	loop_after(j->s->loop, AGAIN_MS, on_again, j);
}

static pid_t
child(void)
{
	const pid_t pid = fork();
	sigset_t none;

	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
	}
	return pid;
}

static void
started(struct job *j, pid_t pid)
{
	if (pid < 0)
		logit("%s: fork: %s", j->name, strerror(errno));
	j->child = pid > 0 ? pid : 0;
	if (pid < 0 && j->s)
		job_again(j);
}

void
spawn(struct job *j, const char *const *argv)
{
	const pid_t pid = child();

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		die("%s", argv[0]);
	}
	started(j, pid);
}

void
spawn_call(struct job *j, int (*fn)(const struct job *j))
{
	const pid_t pid = child();

	if (pid == 0)
		_exit(fn(j));
	started(j, pid);
}

bool
instance_there(const struct job *j)
{
	char path[128];

	snprintf(path, sizeof path, "%s/instances/%s", j->service, j->name);
	return access(path, F_OK) == 0;
}

void
spawn_create(struct job *j)
{
	const char *const argv[] = {
	    "s6-instance-create", "-t", "30000", "--", j->service, j->name, NULL};
	spawn(j, argv);
}

void
spawn_delete(struct job *j)
{
	const char *const argv[] = {"s6-instance-delete", "--", j->service, j->name, NULL};
	spawn(j, argv);
}

void
spawn_up(struct job *j, uint32_t ms)
{
	char limit[16];
	const char *const argv[] = {
	    "s6-instance-control", "-wU", "-T", limit, "-u", "--", j->service, j->name, NULL};

	snprintf(limit, sizeof limit, "%u", ms);
	spawn(j, argv);
}

bool
instance_tell(const struct job *j, char what)
{
	char path[160];
	int fd;
	bool ok;

	snprintf(path, sizeof path, "%s/instance/%s/supervise/control", j->service, j->name);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, &what, 1) == 1;
	close(fd);
	return ok;
}

void
spawn_wait(struct job *j, uint32_t ms)
{
	char limit[16], dir[160];
	const char *const argv[] = {"s6-svwait", "-U", "-t", limit, "--", dir, NULL};

	snprintf(limit, sizeof limit, "%u", ms);
	snprintf(dir, sizeof dir, "%s/instance/%s", j->service, j->name);
	spawn(j, argv);
}

void
signal_vm(const char *name, const char *opt)
{
	char dir[160];
	const char *const argv[] = {"s6-svc", opt, "--", dir, NULL};
	struct job other = {.name = ""};

	snprintf(dir, sizeof dir, VM_SERVICE "/instances/%s", name);
	spawn(&other, argv);
}

void
spawn_sweep(void)
{
	static const char *const argv[] = {LIBDIR "/vmstart", "-s", NULL};
	struct job other = {.name = ""};

	spawn(&other, argv);
}
