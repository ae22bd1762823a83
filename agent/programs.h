/* SPDX-License-Identifier: ISC */
/* What a minimal qube's process 1 keeps running, on either backend. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

struct program {
	char *argv[5];
	const char *tty; /* NULL: as process 1 has it */
	bool may_end;	 /* with 0, or there is none: then it is not wanted here */
	bool says_ready; /* a newline to PROGRAMS_READY_FD; at first the others wait for that */
	/* programs.c's own: */
	pid_t pid;
	bool ended;
	time_t started;
};

#define PROGRAMS_READY_FD 3
/* clang-format off */
#define PROGRAMS_OF_EACH_QUBE \
	{.argv = {(LIBDIR "/qdbd"), "-n", "3", "0", NULL}, .says_ready = true}, \
	{.argv = {LIBDIR "/qrexec-agent", NULL}}, \
	{.argv = {LIBDIR "/updates-forward", NULL}, .may_end = true}, \
	{.argv = {LIBDIR "/gui-agent", (char *)"--qube", NULL}, .may_end = true}
/* clang-format on */

/* Blocks the signals wanted (0 ends the list): programs_run returns them. */
void programs_signals(sigset_t *set, const int *wanted);
/* Starts what does not run, reaps what has ended; the next signal that is not SIGCHLD. */
int programs_run(struct program *p, size_t n, const sigset_t *set);
/* Asks all processes to end, ends them five seconds later. */
void programs_end(struct program *p, size_t n, const sigset_t *set);

#endif
