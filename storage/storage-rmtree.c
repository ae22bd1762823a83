/* SPDX-License-Identifier: ISC */
/* Removing a directory in which a guest could write. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storage-tree.h"

#define ROUNDS_MAX 100000 /* directories nested deeper than this stay */

static int
open_one(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool
dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Unlinks what is in dir; a directory that is not empty moves up to top under a fresh name. */
static void
empty_one(int top, int dir, unsigned *serial)
{
	const int copy = open_one(dir, ".");
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *f;
	char fresh[32];

	while (d && (f = readdir(d)) != NULL) {
		if (dots(f->d_name) || unlinkat(dir, f->d_name, 0) == 0 ||
		    unlinkat(dir, f->d_name, AT_REMOVEDIR) == 0 || dir == top)
			continue;
		snprintf(fresh, sizeof fresh, ".gone.%u", (*serial)++);
		(void)renameat(dir, f->d_name, top, fresh);
	}
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
}

/* What is left in top are directories: one level of each. */
static bool
one_level(int top, unsigned *serial)
{
	const int copy = open_one(top, ".");
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *f;

	while (d && (f = readdir(d)) != NULL) {
		const int sub = dots(f->d_name) ? -1 : open_one(top, f->d_name);

		if (sub < 0)
			continue;
		empty_one(top, sub, serial);
		close(sub);
	}
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
	return d != NULL;
}

bool
tree_remove(int dir, const char *name)
{
	int top = open_one(dir, name);
	unsigned serial = 0;
	bool ok = top < 0 && errno == ENOENT;

	for (int i = 0; top >= 0 && i < ROUNDS_MAX; i++) {
		ok = unlinkat(dir, name, AT_REMOVEDIR) == 0;
		if (ok || (errno != ENOTEMPTY && errno != EEXIST))
			break;
		empty_one(top, top, &serial);
		if (!one_level(top, &serial))
			break;
	}
	if (top >= 0)
		close(top);
	return ok;
}
