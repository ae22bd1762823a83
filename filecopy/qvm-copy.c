/* SPDX-License-Identifier: ISC */
/*
 * qvm-copy, qvm-move, qvm-copy-to-vm, qvm-move-to-vm: what is to be sent is looked at, then it is a
 * call of qubes.Filecopy with qfile-agent as its local end. In Dom0 only the two that name a qube
 * exist, and the call goes by qrexec-client.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/io.h"
#include "filecopy/qfile.h"
#include "filecopy/tree-check.h"
#include "log.h"
#include "names.h"
#include "paths.h"

#define AGENT LIBDIR "/qfile-agent"
#define ALL_NAMES "+allow-all-names"
#define EXIT_USAGE 1

struct copy {
	const char *self, *target;
	bool move, to_vm, ignore_links;
	int show; /* -1: on a terminal, or as $PROGRESS_TYPE says */
	char service[64];
	char **files;
	int nfiles;
};

static _Noreturn void
usage(const struct copy *c, int code)
{
	fprintf(code == 0 ? stdout : stderr,
	    "usage: %s [--without-progress] [--ignore-symlinks] [--] %sFILE...\n"
	    "%s files and trees to %s, into ~/QubesIncoming there.\n"
	    "  --with-progress, --without-progress  how far it is; by default on a terminal\n"
	    "  --ignore-symlinks                    leave symbolic links out\n",
	    c->self, c->to_vm ? "QUBE " : "", c->move ? "Moves" : "Copies",
	    c->to_vm ? "QUBE" : "the qube that is chosen in Dom0's prompt");
	exit(code);
}

/* ---- what is sent ---- */

static void
look(struct copy *c)
{
	struct tree_check check = {
	    .links = true, .directories = true, .ignore_links = c->ignore_links};
	char total[24];

	for (int i = 0; i < c->nfiles; i++)
		if (!tree_check(&check, c->files[i]))
			exit(1);
	snprintf(
	    c->service, sizeof c->service, QFILE_SERVICE "%s", check.odd_names ? ALL_NAMES : "");
	snprintf(total, sizeof total, "%" PRIu64, check.bytes);
	if (setenv("FILECOPY_TOTAL_BYTES", total, 1) < 0 ||
	    ((c->show > 0 || (c->show < 0 && isatty(STDERR_FILENO))) &&
		setenv("PROGRESS_TYPE", "bar", 0) < 0) ||
	    (c->show == 0 && unsetenv("PROGRESS_TYPE") < 0))
		die("the environment");
}

/* qfile-agent's, after the first words. */
static char **
command(const struct copy *c, const char *const *first, size_t n)
{
	char **argv = calloc(n + (size_t)c->nfiles + 5, sizeof *argv);
	size_t at = 0;

	if (!argv)
		die("no memory");
	while (at < n) {
		argv[at] = (char *)(uintptr_t)first[at];
		at++;
	}
	argv[at++] = (char *)(uintptr_t)AGENT;
	if (c->ignore_links)
		argv[at++] = (char *)(uintptr_t) "--ignore-symlinks";
	if (c->move)
		argv[at++] = (char *)(uintptr_t) "--move";
	argv[at++] = (char *)(uintptr_t) "--";
	memcpy(argv + at, c->files, (size_t)c->nfiles * sizeof *argv);
	return argv;
}

/* ---- the call ---- */

static _Noreturn void
from_a_qube(const struct copy *c)
{
	const char *const first[] = {
	    LIBDIR "/qrexec-client-vm", "--filter-escape-chars-stderr", c->target, c->service};

	execv(first[0], command(c, first, sizeof first / sizeof first[0]));
	die("%s", first[0]);
}

/* In a new process, with these two as standard input and output. */
static pid_t
spawn(char *const *argv, int in, int out)
{
	const pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		die("dup2");
	execv(argv[0], argv);
	die("%s", argv[0]);
}

static int
from_dom0(const struct copy *c)
{
	char descriptor[128];
	char *call[] = {(char *)(uintptr_t)(LIBDIR "/qrexec-client"), (char *)(uintptr_t) "-T",
	    (char *)(uintptr_t) "-d", (char *)(uintptr_t)c->target, descriptor, NULL};
	int there[2], back[2], sent, called;
	pid_t agent, client;

	snprintf(descriptor, sizeof descriptor, "DEFAULT:QUBESRPC %s dom0", c->service);
	if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
		die("pipe");
	client = spawn(call, there[0], back[1]);
	agent = spawn(command(c, NULL, 0), back[0], there[1]);
	for (int i = 0; i < 2; i++)
		close(there[i]), close(back[i]);
	sent = status_of(agent);
	called = status_of(client);
	return called ? called : sent;
}

/* ---- */

static void
options(int argc, char **argv, struct copy *c)
{
	static const struct option longs[] = {{"with-progress", no_argument, NULL, 'p'},
	    {"without-progress", no_argument, NULL, 'P'},
	    {"ignore-symlinks", no_argument, NULL, 'i'},
	    {"no-ignore-symlinks", no_argument, NULL, 'I'}, {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	while ((o = getopt_long(argc, argv, "+h", longs, NULL)) != -1)
		if (o == 'p' || o == 'P')
			c->show = o == 'p';
		else if (o == 'i' || o == 'I')
			c->ignore_links = o == 'i';
		else
			usage(c, o == 'h' ? 0 : EXIT_USAGE);
	if (c->to_vm && optind < argc)
		c->target = argv[optind++];
	c->files = argv + optind;
	c->nfiles = argc - optind;
	if (c->nfiles == 0)
		usage(c, EXIT_USAGE);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	struct copy c = {.self = slash ? slash + 1 : argv[0], .target = "@default", .show = -1};
	const bool dom0 = access(RUN_S, F_OK) == 0 || errno == EACCES;

	log_open(c.self, NULL);
	c.move = strstr(c.self, "move") != NULL;
	c.to_vm = strstr(c.self, "-to-vm") != NULL;
	options(argc, argv, &c);
	if (dom0 && !c.to_vm)
		usage_die("from dom0 the qube is named: %s-to-vm QUBE FILE...", c.self);
	if (c.to_vm && c.target[0] != '@' && !name_ok(c.target))
		usage_die("%s is not a qube's name", c.target);
	if (c.to_vm && !dom0)
		fprintf(stderr,
		    "%s: the qube may be another one by Dom0's policy; %s lets it be chosen "
		    "there\n",
		    c.self, c.move ? "qvm-move" : "qvm-copy");
	look(&c);
	if (!dom0)
		from_a_qube(&c);
	return from_dom0(&c);
}
