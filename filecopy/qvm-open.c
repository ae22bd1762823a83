/* SPDX-License-Identifier: ISC */
/*
 * qvm-open-in-vm, qvm-open-in-dvm: a file or an address is opened in another qube. What comes back
 * takes the file's place only when the call has ended well: a qube that dies halfway costs nothing.
 * Its other name, qopen-in-vm, is the local end of that call.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filecopy/open.h"
#include "log.h"
#include "names.h"

#define CLIENT LIBDIR "/qrexec-client-vm"
#define LOCAL LIBDIR "/qopen-in-vm"
#define RESULT "QOPEN_RESULT" /* the descriptor that takes what comes back */

struct request {
	const char *self, *target, *what;
	bool dvm, view_only;
};

static _Noreturn void
usage(const struct request *r, int code)
{
	fprintf(code == 0 ? stdout : stderr,
	    "usage: %s [--view-only] %sFILE|URL\n"
	    "Opens a file or an address in %s. A file that is changed there is changed\n"
	    "here, unless --view-only is given.\n",
	    r->self, r->dvm ? "" : "QUBE ", r->dvm ? "a new disposable qube" : "QUBE");
	exit(code);
}

/* ---- qopen-in-vm: standard input and output are the service's ---- */

static int
local_end(const char *path, bool view_only)
{
	const char *result = getenv(RESULT);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char field[OPEN_NAME_SIZE];
	uint32_t to;

	if (fd < 0)
		die("%s", path);
	open_name_field(field, path, view_only);
	if (write(STDOUT_FILENO, field, sizeof field) != sizeof field ||
	    !copy_fd(fd, STDOUT_FILENO))
		die("%s: not sent", path);
	close(STDOUT_FILENO); /* that was all */
	if (!result || !parse_u32(result, INT32_MAX, &to))
		to = (uint32_t)open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!copy_fd(STDIN_FILENO, (int)to))
		die("%s: what came back is not kept", path);
	return 0;
}

/* ---- the commands ---- */

static int
call(const struct request *r, char *const *argv, int in)
{
	int status;
	const pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (in >= 0 && dup2(in, STDIN_FILENO) < 0)
			die("dup2");
		execv(argv[0], argv);
		die("%s", argv[0]);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (status != 0)
		logit("%s: not opened, or not closed well, in %s (%d)", r->what,
		    r->dvm ? "a disposable" : r->target, status);
	return status;
}

static int
open_url(const struct request *r)
{
	char *argv[] = {(char *)(uintptr_t)CLIENT, (char *)(uintptr_t) "-T",
	    (char *)(uintptr_t)r->target, (char *)(uintptr_t) "qubes.OpenURL", NULL};
	int p[2];

	if (!open_url_ok(r->what) || strlen(r->what) > OPEN_URL_MAX)
		usage_die("%s: not an address of http, https or ftp", r->what);
	if (pipe2(p, O_CLOEXEC) < 0 || dprintf(p[1], "%s\n", r->what) < 0)
		die("pipe");
	close(p[1]);
	return call(r, argv, p[0]);
}

/* A new file beside the old one, which has its mode. */
static int
result_file(const struct request *r, char *path, size_t size)
{
	const char *slash = strrchr(r->what, '/');
	const size_t dir = slash ? (size_t)(slash + 1 - r->what) : 0;
	struct stat st;
	int fd;

	if (dir + sizeof ".qvm-open.XXXXXX" > size)
		usage_die("%s: the name is too long", r->what);
	memcpy(path, r->what, dir);
	memcpy(path + dir, ".qvm-open.XXXXXX", sizeof ".qvm-open.XXXXXX");
	if (stat(r->what, &st) < 0)
		die("%s", r->what);
	if (!S_ISREG(st.st_mode))
		usage_die("%s: not a file", r->what);
	fd = mkstemp(path);
	if (fd < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		die("%s", path);
	return fd;
}

static int
open_file(const struct request *r)
{
	char *argv[] = {(char *)(uintptr_t)CLIENT, (char *)(uintptr_t) "-T",
	    (char *)(uintptr_t)r->target, (char *)(uintptr_t) "qubes.OpenInVM",
	    (char *)(uintptr_t)LOCAL, (char *)(uintptr_t)(r->view_only ? "--view-only" : "--"),
	    (char *)(uintptr_t)r->what, NULL};
	char path[4096], number[16];
	int fd, status;
	struct stat st;

	if (r->view_only)
		return call(r, argv, -1);
	fd = result_file(r, path, sizeof path);
	snprintf(number, sizeof number, "%d", fd);
	if (setenv(RESULT, number, 1) < 0)
		die("the environment");
	status = call(r, argv, -1);
	if (status == 0 && (fsync(fd) < 0 || fstat(fd, &st) < 0))
		die("%s", path);
	if (status != 0 || st.st_size == 0) { /* nothing has come back: it was not changed */
		(void)unlink(path);
		return status;
	}
	if (rename(path, r->what) < 0)
		die("%s: what came back is in %s", r->what, path);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"view-only", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *slash = strrchr(argv[0], '/');
	struct request r = {.self = slash ? slash + 1 : argv[0], .target = "@dispvm"};
	const bool local = strcmp(r.self, "qopen-in-vm") == 0;
	int o;

	log_open(r.self, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r.dvm = strstr(r.self, "dvm") != NULL;
	while ((o = getopt_long(argc, argv, "+h", longs, NULL)) != -1)
		if (o == 'v')
			r.view_only = true;
		else
			usage(&r, o == 'h' ? 0 : 1);
	if (!local && !r.dvm && optind < argc)
		r.target = argv[optind++];
	if (argc - optind != 1)
		usage(&r, 1);
	r.what = argv[optind];
	if (local)
		return local_end(r.what, r.view_only);
	if (r.target[0] != '@' && !name_ok(r.target))
		usage_die("%s is not a qube's name", r.target);
	return strstr(r.what, "://") ? open_url(&r) : open_file(&r);
}
