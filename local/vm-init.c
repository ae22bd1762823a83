/* SPDX-License-Identifier: ISC */
/*
 * vm-init: process 1 of a local backend's qube. Starts qdbd and the agent, starts them again when
 * they end, reaps, and ends the qube: SIGTERM powers off (exit 0), SIGINT reboots (exit 10).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_FD 3 /* local.h GUEST_END_FD */
#define SPACING_S 1
#define PATIENCE_S 5 /* between asking all to end and ending them */

static struct program {
	char *argv[4];
	pid_t pid;
	bool may_end; /* with 0: then it is not wanted here */
	bool ended;
	time_t started;
} programs[] = {
    {.argv = {LIBDIR "/qdbd", "-f", "0", NULL}},
    {.argv = {LIBDIR "/qrexec-agent", NULL}},
    {.argv = {LIBDIR "/updates-forward", NULL}, .may_end = true},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

static void
say(const char *text)
{
	char line[128];
	const int n = snprintf(line, sizeof line, "vm-init: %s\n", text);

	if (n > 0 && write(2, line, (size_t)n) < 0)
		return; /* nobody to tell */
}

static time_t
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static void
start(struct program *p)
{
	sigset_t none;
	const pid_t pid = fork();

	p->started = now_s();
	p->pid = pid > 0 ? pid : 0;
	if (pid != 0)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	execv(p->argv[0], p->argv);
	say(p->argv[0]);
	_exit(111);
}

/* Starts what does not run; seconds until something may be started, 0: nothing to wait for. */
static time_t
start_all(void)
{
	time_t wait = 0;

	for (size_t i = 0; i < PROGRAMS; i++) {
		if (programs[i].pid > 0 || programs[i].ended)
			continue;
		if (programs[i].started == 0 || now_s() - programs[i].started >= SPACING_S)
			start(&programs[i]);
		if (programs[i].pid == 0)
			wait = SPACING_S;
	}
	return wait;
}

/* Reaps all that have ended. False: no child is left. */
static bool
reap(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < PROGRAMS; i++)
			if (programs[i].pid == pid) {
				programs[i].pid = 0;
				programs[i].ended = programs[i].may_end && status == 0;
			}
	return pid == 0;
}

/* One of the signals, or -1 after seconds (0: no limit). */
static int
next_signal(const sigset_t *set, time_t seconds)
{
	const struct timespec ts = {.tv_sec = seconds};
	int sig;

	do
		sig = seconds > 0 ? sigtimedwait(set, NULL, &ts) : sigwaitinfo(set, NULL);
	while (sig < 0 && errno == EINTR);
	return sig;
}

static _Noreturn void
end(const sigset_t *set, bool reboot)
{
	const time_t until = now_s() + PATIENCE_S;
	const char *word = reboot ? "10" : "0";

	say(reboot ? "reboot" : "power off");
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	while (reap() && now_s() < until)
		(void)next_signal(set, until - now_s() + 1);
	kill(-1, SIGKILL);
	if (write(END_FD, word, strlen(word)) < 0)
		say("no last word");
	_exit(reboot ? 10 : 0);
}

int
main(int argc, char **argv)
{
	sigset_t set;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		puts("usage: vm-init, as process 1 of a qube: see vmstart(8)");
		return 0;
	}
	/* It ends by killing all that it can see: elsewhere that would be the whole machine. */
	if (argc > 1 || getpid() != 1) {
		say("only vmstart starts it, as process 1 of a qube");
		return 100;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	setsid();
	fcntl(END_FD, F_SETFD, FD_CLOEXEC);
	for (;;) {
		const int sig = next_signal(&set, start_all());

		if (sig == SIGTERM || sig == SIGINT)
			end(&set, sig == SIGINT);
		reap();
	}
}
