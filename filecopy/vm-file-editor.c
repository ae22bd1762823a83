/* SPDX-License-Identifier: ISC */
/*
 * The services qubes.OpenInVM and qubes.OpenURL: another qube's file or address, opened here by
 * qubes-open(1) or xdg-open(1). A file comes into a directory of its own, is sent back if it has
 * changed, and goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filecopy/open.h"
#include "log.h"

static const char *const openers[] = {"qubes-open", "xdg-open", NULL};

static int
open_with_program(const char *what)
{
	int status;
	const pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		/* Its output is for nobody: the caller waits for the file. */
		if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || close(STDIN_FILENO) < 0 ||
		    open("/dev/null", O_RDONLY) != STDIN_FILENO)
			_exit(111);
		for (size_t i = 0; openers[i]; i++)
			execlp(openers[i], openers[i], what, (char *)NULL);
		fputs(
		    "nothing here opens files: neither qubes-open nor xdg-open is there\n", stderr);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool
read_field(char *field, size_t n)
{
	while (n > 0) {
		const ssize_t got = read(STDIN_FILENO, field, n);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		if (got > 0)
			field += got, n -= (size_t)got;
	}
	return true;
}

static bool
changed(const struct stat *a, const struct stat *b)
{
	return a->st_ino != b->st_ino || a->st_size != b->st_size ||
	       a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* The exit status; the file and its directory go afterwards. */
static int
edit(const char *path, bool view_only)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat before, after;
	int status;

	if (fd < 0 || !copy_fd(STDIN_FILENO, fd) || (view_only && fchmod(fd, 0400) < 0) ||
	    fstat(fd, &before) < 0 || close(fd) < 0) {
		logit("the file cannot be taken: %s", strerror(errno));
		return 1;
	}
	status = open_with_program(path);
	if (status != 0 || view_only)
		return status;
	fd = open(path, O_RDONLY | O_CLOEXEC); /* an editor may have put another in its place */
	if (fd < 0 || fstat(fd, &after) < 0) {
		logit("the edited file cannot be read: %s", strerror(errno));
		return 1;
	}
	if (changed(&before, &after) && !copy_fd(fd, STDOUT_FILENO)) {
		logit("the edited file cannot be sent back: %s", strerror(errno));
		return 1;
	}
	return 0;
}

static int
open_file(void)
{
	const char *tmp = getenv("TMPDIR");
	char field[OPEN_NAME_SIZE], name[OPEN_NAME_SIZE], dir[1024],
	    path[sizeof dir + sizeof name + 1];
	bool view_only;
	int status;

	if (!read_field(field, sizeof field) || !open_name_clean(field, name, &view_only))
		usage_die("the caller has not sent a file's name");
	snprintf(dir, sizeof dir, "%s/qubes-open.XXXXXX",
	    tmp && *tmp == '/' && strlen(tmp) < 900 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		die("%s", dir);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	status = edit(path, view_only);
	(void)unlink(path);
	if (rmdir(dir) < 0 && errno != ENOENT)
		logit("%s stays: the program that opened the file has left something there", dir);
	return status;
}

static int
open_url(void)
{
	char url[OPEN_URL_MAX + 2];
	size_t n = 0;

	while (n < sizeof url - 1) {
		const ssize_t got = read(STDIN_FILENO, url + n, sizeof url - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
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
