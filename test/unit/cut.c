/* SPDX-License-Identifier: ISC */
/*
 * cut N COMMAND...: runs COMMAND up to its Nth change of a file system and kills it there (cut.h);
 * N 0: to its end, and prints how many there were. Exit: 0 it was cut, or ended well; 1 it ended
 * before; else its own status.
 */
#include <stdio.h>

#include "cut.h"

int
main(int argc, char **argv)
{
	const unsigned at = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned seen;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: cut N COMMAND...\n");
		return 100;
	}
	pid = fork();
	if (pid < 0)
		return 111;
	if (pid == 0) {
		setpgid(0, 0);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	seen = cut_trace(pid, at, &status);
	if (at == 0)
		printf("%u\n", seen);
	if (WIFSIGNALED(status))
		return at > 0 && seen >= at ? 0 : 2;
	return at > 0 && WEXITSTATUS(status) == 0 ? 1 : WEXITSTATUS(status);
}
