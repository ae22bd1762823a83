/* SPDX-License-Identifier: ISC */
/*
 * qubes.VMExec+ENC: runs a program with its arguments, no shell between (spec/qrexec 13). ENC:
 * arguments joined by +, bytes outside [A-Za-z0-9_.] as -HH, - as --.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "qrexecd/qrexec.h"

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place; 0 for a bad escape. */
static size_t
decode(const char **in, char *out)
{
	const char *p = *in;
	int hi, lo;

	if (p[0] != '-') {
		*out = p[0];
		*in = p + 1;
		return 1;
	}
	if (p[1] == '-') {
		*out = '-';
		*in = p + 2;
		return 1;
	}
	hi = hex(p[1]);
	lo = hi < 0 ? -1 : hex(p[2]);
	if (lo < 0 || hi * 16 + lo == 0)
		return 0;
	*out = (char)(hi * 16 + lo);
	*in = p + 3;
	return 1;
}

/* Fills argv, which has room for every byte of enc, from enc, which is overwritten. */
static bool
arguments(char **argv, char *enc)
{
	const char *p = enc;
	char *out = enc;
	size_t n = 0;

	argv[n++] = out;
	while (*p != '\0') {
		if (*p == '+') {
			p++;
			*out++ = '\0';
			argv[n++] = out;
		} else if (decode(&p, out) == 1) {
			out++;
		} else {
			return false;
		}
	}
	*out = '\0';
	return argv[0][0] != '\0';
}

int
main(int argc, char **argv)
{
	char **args;
	int rc;

	log_open("qubes.VMExec", NULL);
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		logit("usage: qubes.VMExec PROGRAM[+ARGUMENT...], encoded: see qrexec-agent(8)");
		return 0;
	}
	args = argc == 2 ? calloc(strlen(argv[1]) + 2, sizeof *args) : NULL;
	if (args == NULL || !arguments(args, argv[1])) {
		logit("no program, or an escape that is not -HH or --");
		free(args);
		return EXIT_QREXEC;
	}
	execvp(args[0], args);
	rc = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED;
	logit("%s", strerror(errno));
	free(args);
	return rc;
}
