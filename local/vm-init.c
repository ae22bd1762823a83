/* SPDX-License-Identifier: ISC */
/*
 * vm-init: process 1 of a local backend's qube. Starts qdbd and the agent, starts them again when
 * they end, reaps, and ends the qube: SIGTERM powers off (exit 0), SIGINT reboots (exit 10).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/programs.h"

#define END_FD 3 /* local.h GUEST_END_FD */

static struct program programs[] = {PROGRAMS_OF_EACH_QUBE};
#define PROGRAMS (sizeof programs / sizeof *programs)

static void
say(const char *text)
{
	char line[128];
	const int n = snprintf(line, sizeof line, "vm-init: %s\n", text);

	if (n > 0 && write(2, line, (size_t)n) < 0)
		return; /* nobody to tell */
}

static _Noreturn void
end(const sigset_t *set, bool reboot)
{
	const char *word = reboot ? "10" : "0";

	say(reboot ? "reboot" : "power off");
	programs_end(programs, PROGRAMS, set);
	if (write(END_FD, word, strlen(word)) < 0)
		say("no last word");
	_exit(reboot ? 10 : 0);
}

int
main(int argc, char **argv)
{
	static const int wanted[] = {SIGTERM, SIGINT, 0};
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
	programs_signals(&set, wanted);
	signal(SIGPIPE, SIG_IGN);
	setsid();
	fcntl(END_FD, F_SETFD, FD_CLOEXEC);
	end(&set, programs_run(programs, PROGRAMS, &set) == SIGINT);
}
