/* SPDX-License-Identifier: ISC */
#include "filecopy/tree-check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/qnames.h"
#include "filecopy/walk.h"
#include "log.h"

static bool
refuse(struct walk *w, const char *why)
{
	char text[WALK_TEXT_MAX];

	logit("%s: %s", walk_text(w, text), why);
	return false;
}

static bool
check_file(struct walk *w, int dir, const char *name)
{
	struct tree_check *c = w->arg;
	struct stat st;

	if (faccessat(dir, name, R_OK, 0) < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return refuse(w, strerror(errno));
	c->odd_names |= !path_readable(w->path);
	c->bytes += (uint64_t)st.st_size;
	return true;
}

static bool
check_link(struct walk *w, int dir, const char *name)
{
	struct tree_check *c = w->arg;
	char target[QFILE_PATH_MAX + 1];
	ssize_t n;

	if (c->ignore_links)
		return true;
	if (!c->links)
		return refuse(w, "a symbolic link");
	n = readlinkat(dir, name, target, sizeof target);
	if (n < 0)
		return refuse(w, strerror(errno));
	if ((size_t)n == sizeof target)
		return refuse(w, "the target of this link is too long");
	target[n] = '\0';
	if (!link_inside(w->path, target))
		return refuse(
		    w, "this link leads out of what is copied; --ignore-symlinks leaves it out");
	c->odd_names |= !path_readable(w->path) || !path_readable(target);
	return true;
}

static bool
check_directory(struct walk *w, const struct stat *st, bool again)
{
	struct tree_check *c = w->arg;

	(void)st, (void)again;
	c->odd_names |= !path_readable(w->path);
	return c->directories || refuse(w, "a directory");
}

static bool
check_other(struct walk *w, mode_t mode) /* is left out when it is sent */
{
	(void)w, (void)mode;
	return true;
}

bool
tree_check(struct tree_check *c, const char *arg)
{
	static struct walk w;

	w = (struct walk){.file = check_file,
	    .link = check_link,
	    .directory = check_directory,
	    .other = check_other,
	    .failed = refuse,
	    .arg = c};
	return walk_tree(&w, arg);
}
