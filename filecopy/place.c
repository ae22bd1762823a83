/* SPDX-License-Identifier: ISC */
#include "filecopy/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE_MAX 4000 /* of a path, for the kernel, which takes 4095 bytes */

int
beneath(int dir, const char *path, uint64_t flags, mode_t mode)
{
	const struct open_how how = {.flags = flags | O_CLOEXEC,
	    .mode = mode,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

const char *
place_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The next piece of the n bytes at *path, which goes on behind it. */
static int
step(int dir, const char **path, size_t *n)
{
	char piece[PIECE_MAX + 1];
	const char *cut = *n <= PIECE_MAX ? *path + *n : memrchr(*path, '/', PIECE_MAX);
	const size_t len = cut ? (size_t)(cut - *path) : 0;

	if (!cut) {
		errno = ENAMETOOLONG; /* no name is that long */
		return -1;
	}
	memcpy(piece, *path, len);
	piece[len] = '\0';
	*n -= len == *n ? len : len + 1;
	*path = cut + 1;
	return beneath(dir, piece, O_PATH | O_DIRECTORY, 0);
}

int
place_parent(int root, const char *path)
{
	const char *name = place_name(path);
	size_t n = name == path ? 0 : (size_t)(name - path - 1);
	int dir = root;

	if (n == 0)
		return beneath(root, ".", O_PATH | O_DIRECTORY, 0);
	while (n > 0 && dir >= 0) {
		const int above = dir;

		dir = step(above, &path, &n);
		if (above != root)
			close(above);
	}
	return dir;
}
