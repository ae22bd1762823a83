/* SPDX-License-Identifier: ISC */
/*
 * The services qubes.OpenInVM and qubes.OpenURL: another qube's file or address, opened here by
 * qubes-open(1). A file comes into a directory of its own, is sent back if it has changed, and
 * goes; what has changed and could not be sent back stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filecopy/io.h"
#include "filecopy/open.h"
#include "log.h"

#define OPENER "qubes-open" /* returns when what it has opened is closed */

static int
open_with_program(const char *what)
{
	const pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return status_of(pid);
	/* Its output is for nobody: the caller waits for the file. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || close(STDIN_FILENO) < 0 ||
	    open("/dev/null", O_RDONLY) != STDIN_FILENO)
		_exit(111);
	execlp(OPENER, OPENER, what, (char *)NULL);
	logit("nothing here opens files: there is no " OPENER "(1)");
	_exit(127);
}

static bool
changed(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_size != b->st_size ||
	       a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* True: it is the caller's again, or as it was. What nobody else has is not removed. */
static bool
sent_back(const char *path, const struct stat *before, bool closed_well)
{
	const int fd =
	    open(path, O_RDONLY | O_CLOEXEC); /* an editor may have put another in its place */
	struct stat after;

	if (fd < 0 || fstat(fd, &after) < 0)
		return errno == ENOENT;
	if (!changed(before, &after))
		return true;
	return closed_well && after.st_size > 0 && copy_fd(fd, STDOUT_FILENO);
}

/* The exit status; *keep: the file stays here. */
static int
edit(const char *path, bool view_only, bool *keep)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat before;
	int status;

	if (fd < 0 || !copy_fd(STDIN_FILENO, fd) || (view_only && fchmod(fd, 0400) < 0) ||
	    fstat(fd, &before) < 0 || close(fd) < 0) {
		logit("the file cannot be taken: %s", strerror(errno));
		return 1;
	}
	status = open_with_program(path);
	*keep = !view_only && !sent_back(path, &before, status == 0);
	if (*keep)
		logit("it was changed and not sent back: it stays in %s", path);
	return status ? status : *keep;
}

static int
open_file(void)
{
	const char *tmp = getenv("TMPDIR");
	char field[OPEN_NAME_SIZE], name[OPEN_NAME_SIZE], dir[1024];
	char path[sizeof dir + sizeof name + 1];
	bool view_only, keep = false;
	int status;

	if (read_all(STDIN_FILENO, field, sizeof field) != sizeof field ||
	    !open_name_clean(field, name, &view_only))
		usage_die("the caller has not sent a file's name");
	snprintf(dir, sizeof dir, "%s/qubes-open.XXXXXX",
	    tmp && *tmp == '/' && strlen(tmp) < 900 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		die("%s", dir);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	status = edit(path, view_only, &keep);
	if (keep)
		return status;
	(void)unlink(path);
	if (rmdir(dir) < 0 && errno != ENOENT)
		logit("%s stays: the program that opened the file has left something there", dir);
	return status;
}

static int
open_url(void)
{
	char url[OPEN_URL_MAX + 2];
	size_t n = read_all(STDIN_FILENO, url, sizeof url - 1);

	if (n > 0 && url[n - 1] == '\n')
		n--;
	url[n] = '\0';
	if (n > OPEN_URL_MAX || strlen(url) != n || !open_url_ok(url))
		usage_die("the caller has not sent an address of http, https or ftp");
	return open_with_program(url);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *self = slash ? slash + 1 : argv[0];

	(void)argc;
	log_open(self, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return strcmp(self, "qubes.OpenURL") == 0 ? open_url() : open_file();
}
