/* SPDX-License-Identifier: ISC */
/* s6's programs, as a job's steps start them; what one exited with comes back by job_step. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "startd.h"

#define AGAIN_MS 200
#define DELETES 25
#define GO "go" /* a fifo: s6/template/qdbd.run */

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
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
	const pid_t us = getpid(), pid = fork();
	sigset_t none;

	if (pid == 0) {
		/* or it would go on with what we look through when we come again */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != us)
			_exit(111);
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

/* What an instance is made of: links into its maker's template. */
static bool
part_make(int service, const char *name, const char *part)
{
	char from[64], to[96], at[128];

	snprintf(from, sizeof from, "template/%s", part);
	if (faccessat(service, from, F_OK, 0) < 0)
		return errno == ENOENT;
	snprintf(to, sizeof to, "../../%s%s", strchr(part, '/') ? "../" : "", from);
	snprintf(at, sizeof at, "instances/%s/%s", name, part);
	return symlinkat(to, service, at) == 0 || errno == EEXIST;
}

static bool
folder_make(int at, const char *path)
{
	return mkdirat(at, path, 0755) == 0 || errno == EEXIST;
}

static bool
log_make(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, LOG_DIR "/%s", name);
	return folder_make(AT_FDCWD, path);
}

static bool
go_make(int service, const char *name)
{
	char at[128];

	snprintf(at, sizeof at, "instances/%s/" GO, name);
	return mkfifoat(service, at, 0600) == 0 || errno == EEXIST;
}

/* Its log's supervisor looks for it after it has opened the fifo that store_logs() writes to. */
static bool
quiet_make(int service, const char *name)
{
	char at[128];
	int fd;

	snprintf(at, sizeof at, "instances/%s/log/down", name);
	fd = openat(service, at, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* What `s6-svscanctl -a` writes. One that is not there yet looks by itself when it comes. */
static void
scan(int service)
{
	const int fd =
	    openat(service, "instance/.s6-svscan/control", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && write(fd, "a", 1) < 0)
		logit("s6-svscan is not told: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool
parts_make(int service, const char *name, bool ahead)
{
	static const char *const parts[] = {"run", "finish", "notification-fd", "log/run"};
	char at[128], to[96];
	bool ok, there;

	snprintf(at, sizeof at, "instances/%s", name);
	ok = log_make(name) && folder_make(service, at);
	snprintf(at, sizeof at, "instances/%s/log", name);
	ok = ok && folder_make(service, at);
	for (size_t i = 0; ok && i < sizeof parts / sizeof *parts; i++)
		ok = part_make(service, name, parts[i]);
	snprintf(at, sizeof at, "instances/%s/supervise", name);
	there = faccessat(service, at, F_OK, 0) == 0;
	if (!there)
		ok = ok && (ahead ? go_make(service, name) : quiet_make(service, name));
	/* Last: from then on it is seen. */
	snprintf(to, sizeof to, "../instances/%s", name);
	snprintf(at, sizeof at, "instance/%s", name);
	ok = ok && (symlinkat(to, service, at) == 0 || errno == EEXIST);
	if (ok && !there)
		scan(service);
	return ok;
}

const char *
instance_make(const struct job *j, bool ahead)
{
	const int service = open(j->service, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool ok = service >= 0 && parts_make(service, j->name, ahead);
	const char *const e = ok ? NULL : strerror(errno);

	if (service >= 0)
		close(service);
	return e;
}

void
spawn_create(struct job *j)
{
	const char *const argv[] = {
	    "s6-instance-create", "-t", "30000", "--", j->service, j->name, NULL};

	if (!log_make(j->name))
		logit("%s: no place for its logs: %s", j->name, strerror(errno));
	spawn(j, argv);
}

void
spawn_delete(struct job *j)
{
	const char *const argv[] = {"s6-instance-delete", "--", j->service, j->name, NULL};
	j->deleting = true;
	spawn(j, argv);
}

static void
on_delete_again(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	spawn_delete(arg);
}

bool
delete_again(struct job *j)
{
	const bool again = j->deleting && j->deletes++ < DELETES && instance_there(j);

	j->deleting = false;
	if (again)
		loop_after(j->s->loop, AGAIN_MS, on_delete_again, j);
	return again;
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

/* What `s6-svc` writes, without a program that does. */
static bool
tell(const char *dir, char what)
{
	char path[200];
	int fd;
	bool ok;

	snprintf(path, sizeof path, "%s/supervise/control", dir);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, &what, 1) == 1;
	close(fd);
	return ok;
}

int
instance_go(const struct job *j)
{
	char path[160];
	int fd;

	snprintf(path, sizeof path, "%s/instance/%s/" GO, j->service, j->name);
	/* To write and to read: that needs nobody at the other end. */
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	(void)unlink(path);
	return fd;
}

void
store_logs(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, STORE_SERVICE "/instance/%s/log/down", name);
	if (unlink(path) < 0)
		return;
	snprintf(path, sizeof path, STORE_SERVICE "/instance/%s/log", name);
	(void)tell(path, 'u'); /* one whose supervisor is still to come is up when that has */
}

bool
instance_tell(const struct job *j, char what)
{
	char path[160];

	snprintf(path, sizeof path, "%s/instance/%s", j->service, j->name);
	return tell(path, what);
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
