/* SPDX-License-Identifier: ISC */
/*
 * qvm-open-in-vm, qvm-open-in-dvm: a file or an address is opened in another qube. What comes back
 * takes the file's place only when the call has ended well: a qube that dies halfway costs nothing.
 * Its other name, qopen-in-vm, is the local end of that call.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filecopy/io.h"
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
	if (!write_all(STDOUT_FILENO, field, sizeof field) || !copy_fd(fd, STDOUT_FILENO))
		die("%s: not sent", path);
	close(STDOUT_FILENO); /* that was all */
	if (!result || !parse_u32(result, INT32_MAX, &to))
		to = (uint32_t)open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!copy_fd(STDIN_FILENO, (int)to))
		die("%s: what came back is not whole here", path);
	return 0;
}

/* ---- the commands ---- */

static int
call(const struct request *r, char *const *argv, int in)
{
	const pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (in >= 0 && dup2(in, STDIN_FILENO) < 0)
			die("dup2");
		execv(argv[0], argv);
		die("%s", argv[0]);
	}
	status = status_of(pid);
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

/* ---- what comes back: a file without a name until it is known what it is ---- */

struct result {
	char file[PATH_MAX]; /* what is edited, whichever name it was given by */
	char beside[PATH_MAX];
	struct stat before;
	int fd;
};

static void
result_begin(struct result *res, const struct request *r)
{
	char *file = realpath(r->what, NULL), *slash;

	if (!file || stat(file, &res->before) < 0)
		die("%s", r->what);
	if (!S_ISREG(res->before.st_mode))
		usage_die("%s: not a file", r->what);
	snprintf(res->file, sizeof res->file, "%s", file);
	res->fd = -1;
	if (r->view_only)
		return;
	if (access(file, W_OK) < 0)
		usage_die("%s: may not be changed: --view-only", r->what);
	slash = strrchr(file, '/');
	*slash = '\0';
	res->fd = open(*file ? file : "/", O_TMPFILE | O_RDWR, 0600);
	if (res->fd < 0)
		die("what comes back cannot be put into %s (--view-only needs no place)",
		    *file ? file : "/");
	free(file);
}

/* Its name, beside the file: nothing of what came back is ever lost. */
static bool
result_name(struct result *res)
{
	char proc[32], id[HEXID_LEN + 1];

	hexid_new(id);
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", res->fd);
	snprintf(res->beside, sizeof res->beside, "%.*s.edited-%.8s", PATH_MAX - 32, res->file, id);
	return fchmod(res->fd, res->before.st_mode & 0777) == 0 && fsync(res->fd) == 0 &&
	       linkat(AT_FDCWD, proc, AT_FDCWD, res->beside, AT_SYMLINK_FOLLOW) == 0;
}

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int
result_end(struct result *res, int status)
{
	struct stat st;

	if (fstat(res->fd, &st) == 0 && st.st_size == 0)
		return status; /* it was not changed */
	if (!result_name(res))
		die("%s: what came back cannot be kept", res->file);
	if (status != 0)
		logit("%s: what came back before that is in %s", res->file, res->beside);
	else if (lstat(res->file, &st) < 0 || !same(&st, &res->before))
		logit("%s: it was changed here, too: what came back is in %s", res->file,
		    res->beside);
	else if (rename(res->beside, res->file) < 0)
		logit("%s: %s: what came back is in %s", res->file, strerror(errno), res->beside);
	else
		return 0;
	return status ? status : 1;
}

static int
open_file(const struct request *r)
{
	char *argv[] = {(char *)(uintptr_t)CLIENT, (char *)(uintptr_t) "-T",
	    (char *)(uintptr_t)r->target, (char *)(uintptr_t) "qubes.OpenInVM",
	    (char *)(uintptr_t)LOCAL,
	    (char *)(uintptr_t)(r->view_only ? "--view-only" : "--no-view-only"),
	    (char *)(uintptr_t) "--", (char *)(uintptr_t)r->what, NULL};
	static struct result res;
	char number[16];
	int status;

	result_begin(&res, r);
	snprintf(number, sizeof number, "%d", res.fd);
	if (res.fd >= 0 && setenv(RESULT, number, 1) < 0)
		die("the environment");
	status = call(r, argv, -1);
	return res.fd < 0 ? status : result_end(&res, status);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"view-only", no_argument, NULL, 'v'},
	    {"no-view-only", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *slash = strrchr(argv[0], '/');
	struct request r = {.self = slash ? slash + 1 : argv[0], .target = "@dispvm"};
	const bool local = strcmp(r.self, "qopen-in-vm") == 0;
	int o;

	log_open(r.self, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r.dvm = strstr(r.self, "dvm") != NULL;
	while ((o = getopt_long(argc, argv, "+h", longs, NULL)) != -1)
		if (o == 'v' || o == 'V')
			r.view_only = o == 'v';
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
