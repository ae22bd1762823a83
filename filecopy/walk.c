/* SPDX-License-Identifier: ISC */
#include "filecopy/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

const char *
path_text(const char *base, const char *path, char text[WALK_TEXT_MAX])
{
	const size_t b = strlen(base), n = b + strlen(path), room = WALK_TEXT_MAX - 1;
	const size_t skip = n > room ? n - room : 0, len = n - skip;

	for (size_t i = 0; i < len; i++) {
		const char c = skip + i < b ? base[skip + i] : path[skip + i - b];

		text[i] = (char)(c >= 0x20 && c < 0x7f ? c : '?');
	}
	text[len] = '\0';
	if (skip > 0)
		memcpy(text, "...", 3);
	return text;
}

const char *
walk_text(const struct walk *w, char text[WALK_TEXT_MAX])
{
	return path_text(w->base, w->path, text);
}

static bool walk_item(struct walk *, int dir, const char *name, unsigned char type);

static bool
walk_entries(struct walk *w, DIR *d)
{
	const size_t len = strlen(w->path);
	const struct dirent *e;

	while (errno = 0, (e = readdir(d)) != NULL) {
		const size_t n = strlen(e->d_name);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (len + 1 + n >= sizeof w->path)
			return w->failed(w, "the names in it are too long");
		w->path[len] = '/';
		memcpy(w->path + len + 1, e->d_name, n + 1);
		if (!walk_item(w, dirfd(d), e->d_name, e->d_type))
			return false;
		w->path[len] = '\0';
	}
	return errno == 0 || w->failed(w, strerror(errno));
}

static bool
walk_directory(struct walk *w, int dir, const char *name)
{
	const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct stat st;
	bool ok;

	if (!d) {
		ok = w->failed(w, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ok;
	}
	ok = fstat(fd, &st) == 0
		 ? w->directory(w, &st, false) && walk_entries(w, d) && w->directory(w, &st, true)
		 : w->failed(w, strerror(errno));
	closedir(d);
	return ok;
}

static bool
walk_item(struct walk *w, int dir, const char *name, unsigned char type)
{
	mode_t mode = DTTOIF(type);
	struct stat st;

	if (type == DT_UNKNOWN) {
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return w->failed(w, strerror(errno));
		mode = st.st_mode;
	}
	if (S_ISREG(mode))
		return w->file(w, dir, name);
	if (S_ISDIR(mode))
		return walk_directory(w, dir, name);
	if (S_ISLNK(mode))
		return w->link(w, dir, name);
	return w->other(w, mode);
}

/* Without slashes at its end, and with a name; to be freed. */
static char *
named(const char *arg)
{
	char *path = strdup(arg);
	const char *name;

	if (!path)
		die("no memory");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		char *whole = realpath(path, NULL);

		if (!whole)
			die("%s", path);
		free(path);
		return whole;
	}
	return path;
}

bool
walk_tree(struct walk *w, const char *arg)
{
	char *path = named(arg), *slash = strrchr(path, '/'), *base = NULL;
	const char *name = slash ? slash + 1 : path;
	int dir = AT_FDCWD;
	bool ok;

	w->base = "";
	if (slash) {
		base = strndup(path, (size_t)(name - path));
		dir = base ? open(base, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		w->base = base ? base : "";
	}
	w->path[0] = '\0';
	if (dir == -1)
		ok = w->failed(w, strerror(errno));
	else if (*name == '\0')
		ok = w->failed(w, "has no name that it could have over there");
	else if (strlen(name) >= sizeof w->path)
		ok = w->failed(w, "its name is too long");
	else {
		memcpy(w->path, name, strlen(name) + 1);
		ok = walk_item(w, dir, name, DT_UNKNOWN);
	}
	if (dir >= 0)
		close(dir);
	free(base);
	free(path);
	return ok;
}
