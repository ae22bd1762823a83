/* SPDX-License-Identifier: ISC */
/*
 * vm-init: process 1 of a local backend's qube. Starts the agent, starts it again when it ends,
 * reaps, and ends the qube: SIGTERM powers off (exit 0), SIGINT reboots (exit 10).
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
#define AGENT_SPACING_S 1
#define PATIENCE_S 5 /* between asking all to end and ending them */

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

static pid_t
start_agent(void)
{
	char *const argv[] = {"qrexec-agent", NULL};
	sigset_t none;
	const pid_t pid = fork();

	if (pid != 0)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	execv(LIBDIR "/qrexec-agent", argv);
	say("no " LIBDIR "/qrexec-agent");
	_exit(111);
}

/* Reaps all that have ended. True if agent was one of them; *any is false when no child is left. */
static bool
reap(pid_t agent, bool *any)
{
	bool ended = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		ended = ended || pid == agent;
	*any = pid == 0;
	return ended;
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
	bool any = true;

	say(reboot ? "reboot" : "power off");
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	for (reap(0, &any); any && now_s() < until; reap(0, &any))
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
	time_t started = 0;
	pid_t agent = 0;
	bool any;

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
		const time_t since = now_s() - started;
		int sig;

		if (agent == 0 && (started == 0 || since >= AGENT_SPACING_S)) {
			started = now_s();
			agent = start_agent();
			if (agent < 0)
				agent = 0;
		}
		sig = next_signal(&set, agent == 0 ? AGENT_SPACING_S : 0);
		if (sig == SIGTERM || sig == SIGINT)
			end(&set, sig == SIGINT);
		if (reap(agent, &any))
			agent = 0;
	}
}
