/* SPDX-License-Identifier: ISC */
#include "filecopy/tree-check.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/qfile.h"
#include "filecopy/qnames.h"
#include "log.h"

#define DESCRIPTORS 64

/* nftw(3) has no argument for its function. */
static struct tree_check *now;
static size_t base; /* where the name that is sent begins in its paths */

static int
refuse(const char *path, const char *why)
{
	char esc[LOG_ESC_MAX];

	logit("%s: %s", log_escs(esc, sizeof esc, path), why);
	return 1;
}

static int
check_link(const char *path, const char *sent)
{
	char target[QFILE_PATH_MAX + 1];
	ssize_t n;

	if (now->ignore_links)
		return 0;
	if (!now->links)
		return refuse(path, "a symbolic link");
	n = readlink(path, target, sizeof target);
	if (n < 0)
		return refuse(path, strerror(errno));
	if ((size_t)n == sizeof target)
		return refuse(path, "the target of this link is too long");
	target[n] = '\0';
	if (!link_inside(sent, target))
		return refuse(
		    path, "this link leads out of what is copied; --ignore-symlinks leaves it out");
	now->odd_names |= !path_readable(target);
	return 0;
}

static int
check(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *sent = path + base;

	(void)ftw;
	if (kind == FTW_NS || kind == FTW_DNR)
		return refuse(path, "cannot be read");
	if (kind == FTW_SL && now->ignore_links)
		return 0;
	if (strlen(sent) > QFILE_PATH_MAX)
		return refuse(path, "the name is too long");
	now->odd_names |= !path_readable(sent);
	if (kind == FTW_SL)
		return check_link(path, sent);
	if (kind == FTW_D)
		return now->directories ? 0 : refuse(path, "a directory");
	if (S_ISREG(st->st_mode))
		now->bytes += (uint64_t)st->st_size;
	return 0;
}

bool
tree_check(struct tree_check *c, const char *arg)
{
	char *path = strdup(arg);
	const char *slash;
	bool ok;

	if (!path)
		die("no memory");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	slash = strrchr(path, '/');
	now = c;
	base = slash ? (size_t)(slash + 1 - path) : 0;
	errno = 0;
	ok = nftw(path, check, DESCRIPTORS, FTW_PHYS) == 0;
	if (!ok && errno != 0 && access(path, F_OK) < 0)
		(void)refuse(path, strerror(errno));
	free(path);
	return ok;
}
