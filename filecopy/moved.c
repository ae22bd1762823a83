/* SPDX-License-Identifier: ISC */
/*
 * The end of a move: what was sent, and is as it was, goes. What came or changed meanwhile, or was
 * left out, stays, and so do the directories that it is in.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/pack.h"
#include "filecopy/place.h"
#include "log.h"

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
unchanged(const struct sent *s, const struct stat *st)
{
	if (st->st_dev != s->dev || st->st_ino != s->ino || st->st_mode != s->mode)
		return false;
	if (S_ISDIR(s->mode)) /* we have emptied it */
		return true;
	return st->st_size == s->size && same_time(&st->st_mtim, &s->mtime) &&
	       (s->many || same_time(&st->st_ctim, &s->ctime));
}

static bool
kept(const char *base, const char *path, const char *why)
{
	char text[WALK_TEXT_MAX];

	logit("%s: copied and not removed: %s", path_text(base, path, text), why);
	return false;
}

/* As it was sent: below the same directory, through no link that was put there since. */
static bool
remove_one(const struct sent *s, const char *base, const char *path)
{
	const int root = *base ? open(base, O_PATH | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD;
	const int dir = root != -1 ? place_parent(root, path) : -1;
	const char *name = place_name(path);
	const bool is_dir = S_ISDIR(s->mode);
	struct stat st;
	bool ok = false;

	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		ok = errno == ENOENT || kept(base, path, strerror(errno));
	else if (!unchanged(s, &st))
		(void)kept(base, path, "it has changed since");
	else if (unlinkat(dir, name, is_dir ? AT_REMOVEDIR : 0) == 0)
		ok = true;
	else
		(void)kept(base, path,
		    is_dir && errno == ENOTEMPTY ? "something is in it" : strerror(errno));
	if (dir >= 0)
		close(dir);
	if (root >= 0)
		close(root);
	return ok;
}

static bool
next(FILE *sent, struct sent *s, char *base, char *path)
{
	if (fread(s, sizeof *s, 1, sent) != 1 || s->base_len >= PATH_MAX ||
	    s->path_len >= QFILE_PATH_MAX || fread(base, 1, s->base_len, sent) != s->base_len ||
	    fread(path, 1, s->path_len, sent) != s->path_len)
		return false;
	base[s->base_len] = path[s->path_len] = '\0';
	return true;
}

bool
moved(FILE *sent, uint64_t items)
{
	static char base[PATH_MAX], path[QFILE_PATH_MAX];
	const bool whole = fflush(sent) == 0;
	bool all = true;
	struct sent s;

	rewind(sent);
	for (; whole && items > 0 && next(sent, &s, base, path); items--)
		all &= remove_one(&s, base, path);
	if (items > 0)
		logit("copied; the list of what was sent is not whole (is /tmp full?): the rest is "
		      "not removed");
	return all && items == 0;
}
