/* SPDX-License-Identifier: ISC */
#include "filecopy/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* ---- bytes ---- */

/* True: they are out. A receiver answers early only if it takes no more. */
static bool
flush(struct pack *p)
{
	const uint8_t *at = p->buffer;
	size_t left = p->n;

	p->crc = libdeflate_crc32((uint32_t)p->crc, at, left);
	p->n = 0;
	while (left > 0 && !p->answered) {
		struct pollfd fds[] = {{p->out, POLLOUT, 0}, {p->in, POLLIN, 0}};
		ssize_t did;

		if (poll(fds, 2, -1) < 0)
			continue;
		did = fds[1].revents ? -1 : write(p->out, at, left);
		if (did > 0)
			at += did, left -= (size_t)did;
		else if (fds[1].revents || (errno != EAGAIN && errno != EINTR))
			p->answered = true;
	}
	return !p->answered;
}

static bool
room(struct pack *p)
{
	return p->n < sizeof p->buffer || flush(p);
}

static bool
put(struct pack *p, const void *bytes, size_t n)
{
	for (const uint8_t *from = bytes; n > 0;) {
		size_t now = sizeof p->buffer - p->n;

		if (now > n)
			now = n;
		memcpy(p->buffer + p->n, from, now);
		p->n += now, from += now, n -= now;
		if (!room(p))
			return false;
	}
	return true;
}

static bool
put_header(struct pack *p, const struct stat *st, uint64_t filelen)
{
	const struct qfile_header h = {
	    .namelen = (uint32_t)strlen(p->path) + 1,
	    .mode = st->st_mode,
	    .filelen = filelen,
	    .atime = (uint32_t)st->st_atim.tv_sec,
	    .atime_nsec = (uint32_t)st->st_atim.tv_nsec,
	    .mtime = (uint32_t)st->st_mtim.tv_sec,
	    .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};

	return put(p, &h, sizeof h) && put(p, p->path, h.namelen);
}

/* ---- what is said ---- */

static bool
failed(const struct pack *p, const char *why)
{
	char esc[LOG_ESC_MAX];

	logit("%s%s: %s", p->base, log_escs(esc, sizeof esc, p->path), why);
	return false;
}

static bool
remember(struct pack *p, const struct stat *st)
{
	const struct sent s = {.dev = st->st_dev,
	    .ino = st->st_ino,
	    .mode = st->st_mode,
	    .many = st->st_nlink > 1,
	    .size = st->st_size,
	    .mtime = st->st_mtim,
	    .ctime = st->st_ctim,
	    .path_len = strlen(p->base) + strlen(p->path)};

	p->items++;
	if (!p->sent || (fwrite(&s, sizeof s, 1, p->sent) == 1 && fputs(p->base, p->sent) >= 0 &&
			    fputs(p->path, p->sent) >= 0))
		return true;
	return failed(p, "cannot be remembered for its removal: is the disk full?");
}

/* ---- one item each ---- */

static bool
pack_contents(struct pack *p, int fd, uint64_t left)
{
	while (left > 0) {
		size_t want = sizeof p->buffer - p->n;
		ssize_t got;

		if (want > left)
			want = (size_t)left;
		got = read(fd, p->buffer + p->n, want);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return failed(p, got < 0 ? strerror(errno) : "has become shorter");
		p->n += (size_t)got, left -= (uint64_t)got, p->bytes += (uint64_t)got;
		if (!room(p))
			return false;
		if (p->progress)
			p->progress(p->bytes);
	}
	return true;
}

static bool
pack_file(struct pack *p, int dir, const char *name)
{
	const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	bool ok;

	if (fd < 0)
		return failed(p, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return failed(p, "is something else now");
	}
	ok = put_header(p, &st, (uint64_t)st.st_size) &&
	     pack_contents(p, fd, (uint64_t)st.st_size) && remember(p, &st);
	close(fd);
	return ok;
}

static bool
pack_link(struct pack *p, int dir, const char *name)
{
	char target[QFILE_PATH_MAX + 1];
	struct stat st;
	ssize_t n;

	if (p->ignore_links) {
		p->left_out++;
		return true;
	}
	n = readlinkat(dir, name, target, sizeof target);
	if (n < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(p, strerror(errno));
	if ((size_t)n == sizeof target)
		return failed(p, "the target of this link is too long");
	return put_header(p, &st, (uint64_t)n) && put(p, target, (size_t)n) && remember(p, &st);
}

static bool pack_item(struct pack *, int dir, const char *name, unsigned char type);

static bool
pack_entries(struct pack *p, DIR *d)
{
	const size_t len = strlen(p->path);
	const struct dirent *e;

	while (errno = 0, (e = readdir(d)) != NULL) {
		const size_t n = strlen(e->d_name);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (len + 1 + n > QFILE_PATH_MAX)
			return failed(p, "the names in it are too long");
		p->path[len] = '/';
		memcpy(p->path + len + 1, e->d_name, n + 1);
		if (!pack_item(p, dirfd(d), e->d_name, e->d_type))
			return false;
		p->path[len] = '\0';
	}
	return errno == 0 || failed(p, strerror(errno));
}

/* Its header once more at the end: only then does the receiver give it its mode. */
static bool
pack_directory(struct pack *p, int dir, const char *name)
{
	const int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct stat st;
	bool ok;

	if (!d || fstat(fd, &st) < 0) {
		(void)failed(p, strerror(errno));
		if (fd >= 0 && !d)
			close(fd);
		if (d)
			closedir(d);
		return false;
	}
	ok = put_header(p, &st, 0) && pack_entries(p, d) && put_header(p, &st, 0) &&
	     remember(p, &st);
	closedir(d);
	return ok;
}

static const char *
kind_of(mode_t mode)
{
	return S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a fifo" : "a device";
}

static bool
pack_item(struct pack *p, int dir, const char *name, unsigned char type)
{
	mode_t mode = DTTOIF(type);
	char esc[LOG_ESC_MAX];
	struct stat st;

	if (type == DT_UNKNOWN) {
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return failed(p, strerror(errno));
		mode = st.st_mode;
	}
	if (S_ISREG(mode))
		return pack_file(p, dir, name);
	if (S_ISDIR(mode))
		return pack_directory(p, dir, name);
	if (S_ISLNK(mode))
		return pack_link(p, dir, name);
	p->left_out++;
	logit("%s%s: left out: %s", p->base, log_escs(esc, sizeof esc, p->path), kind_of(mode));
	return true;
}

/* ---- arguments ---- */

bool
pack_tree(struct pack *p, const char *arg)
{
	char *path = strdup(arg), *name, *base = NULL;
	int dir = AT_FDCWD;
	bool ok;

	if (!path)
		die("no memory");
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) { /* it has a name of its own */
		char *whole = realpath(path, NULL);

		free(path);
		path = whole;
		if (!path)
			die("%s", arg);
		name = strrchr(path, '/') + 1;
	}
	p->base = "";
	if (name != path) {
		base = strndup(path, (size_t)(name - path));
		dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
		p->base = base;
	}
	*p->path = '\0';
	if (*name == '\0')
		ok = failed(p, "has no name that it could have over there");
	else if (strlen(name) > QFILE_PATH_MAX)
		ok = failed(p, "its name is too long");
	else {
		memcpy(p->path, name, strlen(name) + 1);
		ok = (dir >= 0 || dir == AT_FDCWD) ? pack_item(p, dir, name, DT_UNKNOWN)
						   : failed(p, strerror(errno));
	}
	if (dir >= 0)
		close(dir);
	free(base);
	free(path);
	return ok;
}

bool
pack_end(struct pack *p, bool whole)
{
	static const struct qfile_header end;

	return (!whole || put(p, &end, sizeof end)) && (p->n == 0 || flush(p));
}
