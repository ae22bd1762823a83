/* SPDX-License-Identifier: ISC */
/*
 * The end of a move: what was sent, and is as it was, goes. What came or changed meanwhile, or was
 * left out, stays, and so do the directories that it is in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/pack.h"
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
kept(const char *path, const char *why)
{
	char esc[LOG_ESC_MAX];

	logit("%s: copied and not removed: %s", log_escs(esc, sizeof esc, path), why);
	return false;
}

static bool
remove_one(const struct sent *s, const char *path)
{
	const bool dir = S_ISDIR(s->mode);
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || kept(path, strerror(errno));
	if (!unchanged(s, &st))
		return kept(path, "it has changed since");
	if (unlinkat(AT_FDCWD, path, dir ? AT_REMOVEDIR : 0) == 0)
		return true;
	return kept(path, dir && errno == ENOTEMPTY ? "something is in it" : strerror(errno));
}

bool
moved(FILE *sent)
{
	struct sent s;
	bool all = true;

	rewind(sent);
	while (fread(&s, sizeof s, 1, sent) == 1) {
		char *path = malloc(s.path_len + 1);

		if (!path || fread(path, s.path_len, 1, sent) != 1)
			die("what was sent cannot be read again: nothing more is removed");
		path[s.path_len] = '\0';
		all &= remove_one(&s, path);
		free(path);
	}
	return all;
}
