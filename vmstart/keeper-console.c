/* SPDX-License-Identifier: ISC */
/* The console is a process of its own, the keeper's only child (console.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "console/console.h"
#include "keeper.h"
#include "log.h"

#define CONSOLE_AGAIN_MS 1000
#define CONSOLE_END_MS 2000

static void start_console(struct loop *l, int fd, short revents, void *arg);

static void
on_console_end(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;
	siginfo_t si;

	(void)revents;
	waitid(P_PIDFD, (id_t)fd, &si, WEXITED);
	loop_del(l, fd);
	close(fd);
	close(k->life);
	k->console = k->life = -1;
	logit("the console ended; another follows");
	loop_after(l, CONSOLE_AGAIN_MS, start_console, k);
}

/* In the child: nothing of the keeper's but what the console needs. */
static _Noreturn void
be_console(const struct keeper *k, const struct console_end *e, int life)
{
	struct console_end own = *e;
	const int con = fcntl(e->fd, F_DUPFD, 10), end = fcntl(life, F_DUPFD, 11),
		  mem = e->mem < 0 ? -1 : fcntl(e->mem, F_DUPFD, 12);
	const unsigned rest = mem < 0 ? 5 : 6;

	own.fd = 3;
	own.mem = mem < 0 ? -1 : 5;
	if (dup2(con, 3) < 0 || dup2(end, 4) < 0 || (mem >= 0 && dup2(mem, 5) < 0) ||
	    syscall(SYS_close_range, rest, ~0u, 0) < 0)
		_exit(END_FAILURE);
	console_main(&own, 4, k->state.name, k->state.qid);
}

static void
start_console(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;
	struct console_end e = {.mem = -1};
	int life[2] = {-1, -1};
	pid_t pid = -1;

	(void)fd;
	(void)revents;
	if (domain_console(&k->dom, &e) && pipe2(life, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		be_console(k, &e, life[0]);
	if (pid < 0 && !k->mute)
		logit("no console yet: %s; trying again", strerror(errno));
	k->mute = pid < 0;
	if (e.mem >= 0)
		close(e.mem);
	if (life[0] >= 0)
		close(life[0]);
	k->life = life[1];
	k->console = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (k->console >= 0)
		loop_add(l, k->console, POLLIN, on_console_end, k);
	else
		loop_after(l, CONSOLE_AGAIN_MS, start_console, k);
}

/* It reads what is there and goes; until then it holds the domain's page. */
void
keeper_console_end(struct keeper *k)
{
	struct pollfd p = {.fd = k->console, .events = POLLIN};

	if (k->console < 0)
		return;
	close(k->life);
	if (poll(&p, 1, CONSOLE_END_MS) <= 0)
		(void)syscall(SYS_pidfd_send_signal, k->console, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)k->console, &(siginfo_t){0}, WEXITED);
	close(k->console);
	k->console = k->life = -1;
}

void
keeper_console(struct keeper *k)
{
	start_console(k->loop, -1, 0, k);
}
