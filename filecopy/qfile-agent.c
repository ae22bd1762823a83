/* SPDX-License-Identifier: ISC */
/* The sender of a file copy (spec/filecopy 1): the local program of a call of qubes.Filecopy. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filecopy/pack.h"
#include "filecopy/progress.h"
#include "log.h"

static _Noreturn void
usage(int code)
{
	fputs(
	    "usage: qfile-agent [--ignore-symlinks] [--move] [--] FILE...\n"
	    "Sends files and trees to standard output, for qfile-unpacker, whose answer comes on\n"
	    "standard input.\n"
	    "  --ignore-symlinks  leave symbolic links out\n"
	    "  --move             remove what was sent when the receiver has it on its disk\n",
	    code == 0 ? stdout : stderr);
	exit(code);
}

/* A receiver that does not read must not keep us from hearing what it says. Not for a terminal or a
 * file, which others have too. */
static void
never_blocks(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	(void)fcntl(fd, F_SETPIPE_SZ, 1 << 20);
}

static void
many_descriptors(void) /* one for each level of a tree */
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"ignore-symlinks", no_argument, NULL, 'i'},
	    {"no-ignore-symlinks", no_argument, NULL, 'I'}, {"move", no_argument, NULL, 'm'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	static struct pack p = {.out = STDOUT_FILENO, .in = STDIN_FILENO, .progress = progress};
	static struct reply r;
	bool move = false, whole = true;
	int c;

	log_open("qfile-agent", NULL);
	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1)
		if (c == 'i' || c == 'I')
			p.ignore_links = c == 'i';
		else if (c == 'm')
			move = true;
		else
			usage(c == 'h' ? 0 : 1);
	if (optind == argc)
		usage(1);
	(void)signal(SIGPIPE, SIG_IGN);
	if (move && (p.sent = tmpfile()) == NULL)
		die("a temporary file");
	never_blocks(STDOUT_FILENO);
	many_descriptors();
	progress_open();
	for (int i = optind; i < argc && whole; i++)
		whole = pack_tree(&p, argv[i]);
	(void)pack_end(&p, whole);
	if (!whole && !p.answered) {
		progress_close();
		logit("given up: what was sent before has arrived, if the receiver says nothing "
		      "else");
		return 1;
	}
	progress_end(p.bytes);
	close(STDOUT_FILENO);
	reply_read(STDIN_FILENO, &r);
	progress_close();
	if (!reply_ok(&r, &p))
		return 1;
	if (!p.sent)
		return 0;
	if (p.left_out > 0)
		logit("%llu were left out, and stay", (unsigned long long)p.left_out);
	return moved(p.sent, p.items) && p.left_out == 0 ? 0 : 1;
}
