/* SPDX-License-Identifier: ISC */
#include "filecopy/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filecopy/input.h"
#include "filecopy/io.h"
#include "filecopy/place.h"
#include "filecopy/qnames.h"
#include "names.h"

#define DEPTH_MAX (QFILE_PATH_MAX / 2 + 1)
#define PART ".qfile-part-"

struct unpacker {
	struct input in;
	int root, proc;
	const struct unpack_rules *rules;
	struct unpack_result *r;
	/* Directories that were begun and not ended, each in the next. */
	char open[QFILE_PATH_MAX + 1];
	size_t open_len, depth;
	uint8_t made[DEPTH_MAX / 8 + 1]; /* which of them were not there before */
	char target[QFILE_PATH_MAX + 1];
};

/* ---- one item each; an error of the wire, or 0 ---- */

static void
times_of(const struct qfile_header *h, struct timespec t[2])
{
	t[0] = (struct timespec){h->atime, (long)h->atime_nsec};
	t[1] = (struct timespec){h->mtime, (long)h->mtime_nsec};
}

static void
wait_for_space(const struct unpacker *u, uint64_t n)
{
	struct statvfs fs;

	while (u->rules->wait && fstatvfs(u->root, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize < n + u->rules->spare)
		(void)poll(NULL, 0, 1000);
}

static uint32_t
fill(struct unpacker *u, int fd, uint64_t n)
{
	uint32_t bad = 0;

	while (n > 0 && !bad) {
		size_t got;
		const uint8_t *p = input_some(&u->in, n, &got);

		if (!p)
			return u->in.error;
		bad = write_all(fd, p, got) ? 0 : (uint32_t)errno;
		n -= got;
	}
	return bad;
}

/* A file gets its name when it is whole. Before Linux 6.10 only root may do so by the descriptor.
 */
static uint32_t
name_it(const struct unpacker *u, int fd, int dir, const char *name)
{
	char number[16];

	if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT)
		return (uint32_t)errno;
	snprintf(number, sizeof number, "%d", fd);
	return linkat(u->proc, number, dir, name, AT_SYMLINK_FOLLOW) < 0 ? (uint32_t)errno : 0;
}

static uint32_t
fill_file(struct unpacker *u, const struct qfile_header *h, int fd)
{
	struct timespec t[2];
	const uint32_t bad = fill(u, fd, h->filelen);

	times_of(h, t);
	return bad ? bad : futimens(fd, t) < 0 ? (uint32_t)errno : 0;
}

/* Where the file system has no files without a name: by one of its own first. A receiver that is
 * killed leaves that, which nobody else may read. */
static uint32_t
make_part(struct unpacker *u, const struct qfile_header *h, int dir, const char *name)
{
	char part[sizeof PART + HEXID_LEN] = PART;
	uint32_t bad;
	int fd;

	hexid_new(part + sizeof PART - 1);
	fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return (uint32_t)errno;
	bad = fill_file(u, h, fd);
	if (!bad && (fchmod(fd, h->mode & 0777) < 0 ||
			syscall(SYS_renameat2, dir, part, dir, name, RENAME_NOREPLACE) < 0))
		bad = (uint32_t)errno;
	if (bad)
		(void)unlinkat(dir, part, 0);
	close(fd);
	return bad;
}

/* Its directory is looked for once more at the end: it may have been moved away by then. */
static uint32_t
make_file(struct unpacker *u, const struct qfile_header *h, const char *path)
{
	const char *name = place_name(path);
	int dir = place_parent(u->root, path), fd;
	uint32_t bad;

	if (dir < 0)
		return (uint32_t)errno;
	wait_for_space(u, h->filelen);
	fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, h->mode & 0777);
	if (fd < 0) {
		bad = errno == EOPNOTSUPP ? make_part(u, h, dir, name) : (uint32_t)errno;
	} else {
		const bool now = h->filelen <= u->in.end - u->in.at;

		bad = fill_file(u, h, fd);
		if (!bad && !now) {
			close(dir);
			dir = place_parent(u->root, path);
			bad = dir < 0 ? (uint32_t)errno : 0;
		}
		if (!bad)
			bad = name_it(u, fd, dir, name);
		close(fd);
	}
	if (dir >= 0)
		close(dir);
	return bad;
}

static uint32_t
make_link(struct unpacker *u, const struct qfile_header *h, const char *path)
{
	struct timespec t[2];
	uint32_t bad = 0;
	int dir;

	if (h->filelen > QFILE_PATH_MAX)
		return ENAMETOOLONG;
	if (!input_take(&u->in, u->target, (size_t)h->filelen))
		return u->in.error;
	u->target[h->filelen] = '\0';
	if (strlen(u->target) != h->filelen)
		return EILSEQ;
	if (!u->rules->any_name && !path_readable(u->target))
		return EILSEQ;
	if (!u->rules->any_link && !link_inside(path, u->target))
		return ENOLINK;
	times_of(h, t);
	dir = place_parent(u->root, path);
	if (dir < 0 || symlinkat(u->target, dir, place_name(path)) < 0 ||
	    utimensat(dir, place_name(path), t, AT_SYMLINK_NOFOLLOW) < 0)
		bad = (uint32_t)errno;
	if (dir >= 0)
		close(dir);
	return bad;
}

/* ---- directories: a header before what is in one, and one after ---- */

static bool
is_open(const struct unpacker *u, const char *path)
{
	return u->depth > 0 && strcmp(path, u->open) == 0;
}

static void
end_one(struct unpacker *u)
{
	const char *slash = memrchr(u->open, '/', u->open_len);

	u->open_len = slash ? (size_t)(slash - u->open) : 0;
	u->open[u->open_len] = '\0';
	u->depth--;
}

/* Those that the path is not in are over. True: it is directly in what is left. */
static bool
leave(struct unpacker *u, const char *path)
{
	while (u->depth > 0 && !(strncmp(path, u->open, u->open_len) == 0 &&
				   (path[u->open_len] == '/' || path[u->open_len] == '\0')))
		end_one(u);
	return is_open(u, path) || path_depth(path) == u->depth + 1;
}

static void
begin_one(struct unpacker *u, const char *path, bool made)
{
	const uint8_t bit = (uint8_t)(1u << ++u->depth % 8);
	uint8_t *of = &u->made[u->depth / 8];

	u->open_len = strlen(path);
	memcpy(u->open, path, u->open_len + 1);
	*of = (uint8_t)(made ? *of | bit : *of & ~bit);
}

/* What was there before keeps its mode and times. */
static uint32_t
end_directory(struct unpacker *u, const struct qfile_header *h, const char *path)
{
	const bool made = u->made[u->depth / 8] & 1u << u->depth % 8;
	struct timespec t[2];
	uint32_t bad = 0;
	int above, dir;

	end_one(u);
	if (!made)
		return 0;
	above = place_parent(u->root, path);
	dir = above < 0 ? -1 : beneath(above, place_name(path), O_RDONLY | O_DIRECTORY, 0);
	times_of(h, t);
	if (dir < 0 || fchmod(dir, h->mode & 01777) < 0 || futimens(dir, t) < 0)
		bad = (uint32_t)errno;
	if (dir >= 0)
		close(dir);
	if (above >= 0)
		close(above);
	return bad;
}

static bool
is_directory(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static uint32_t
make_directory(struct unpacker *u, const struct qfile_header *h, const char *path)
{
	const char *base = place_name(path);
	uint32_t bad = 0;
	bool made;
	int dir;

	if (is_open(u, path))
		return end_directory(u, h, path);
	dir = place_parent(u->root, path);
	if (dir < 0)
		return (uint32_t)errno;
	made = mkdirat(dir, base, 0700) == 0;
	if (!made)
		bad = (uint32_t)errno;
	if (bad == EEXIST && !u->rules->no_merge && is_directory(dir, base))
		bad = 0;
	close(dir);
	if (!bad && path_depth(path) == u->depth + 1)
		begin_one(u, path, made);
	return bad;
}

/* ---- the stream ---- */

static uint32_t
over_quota(const struct unpacker *u, const struct qfile_header *h)
{
	const struct unpack_rules *l = u->rules;
	const struct unpack_result *r = u->r;

	if (h->filelen > INT64_MAX)
		return EDQUOT;
	if (l->bytes_max && S_ISREG(h->mode) &&
	    (h->filelen > l->bytes_max || r->bytes > l->bytes_max - h->filelen))
		return EDQUOT;
	if (l->files_max && r->files >= l->files_max)
		return EDQUOT;
	return 0;
}

static uint32_t
take_name(struct unpacker *u, const struct qfile_header *h)
{
	char *path = u->r->last;
	size_t n = h->namelen, depth;

	if (n > QFILE_PATH_MAX)
		return ENAMETOOLONG;
	if (!input_take(&u->in, path, n)) {
		*path = '\0';
		return u->in.error;
	}
	path[n] = '\0';
	if (path[n - 1] == '\0')
		n--;
	if (strlen(path) != n || (depth = path_depth(path)) == 0)
		return EILSEQ;
	if (!u->rules->any_name && !path_readable(path))
		return EILSEQ;
	return u->rules->depth_max && depth > u->rules->depth_max ? EDQUOT : 0;
}

static uint32_t
take_item(struct unpacker *u, const struct qfile_header *h)
{
	static const struct {
		mode_t type;
		uint32_t (*make)(struct unpacker *, const struct qfile_header *, const char *);
	} kinds[] = {{S_IFREG, make_file}, {S_IFDIR, make_directory}, {S_IFLNK, make_link}};
	const char *path = u->r->last;
	uint32_t bad = take_name(u, h);
	const bool again = !bad && is_open(u, path) && S_ISDIR(h->mode);

	if (!bad && (h->atime_nsec > QFILE_NSEC_MAX || h->mtime_nsec > QFILE_NSEC_MAX))
		bad = EINVAL;
	if (!bad && !again)
		bad = over_quota(u, h);
	if (!bad && u->rules->said)
		u->rules->said(path);
	if (!bad && !leave(u, path) && u->rules->no_merge)
		bad = EEXIST;
	for (size_t i = 0; !bad && i < sizeof kinds / sizeof kinds[0]; i++) {
		if ((h->mode & S_IFMT) != kinds[i].type)
			continue;
		bad = kinds[i].make(u, h, path);
		if (!bad && !again)
			u->r->files++;
		if (!bad && S_ISREG(h->mode))
			u->r->bytes += h->filelen;
		return bad;
	}
	return bad ? bad : EINVAL;
}

/* 0: the end has come. */
static uint32_t
take_all(struct unpacker *u)
{
	for (;;) {
		struct qfile_header h;
		uint32_t bad;
		size_t got;

		const uint8_t *first = input_some(&u->in, 1, &got);

		if (!first)
			return u->in.error == QFILE_CUT ? EREMOTEIO : u->in.error;
		memcpy(&h, first, 1);
		if (!input_take(&u->in, (char *)&h + 1, sizeof h - 1))
			return u->in.error;
		if (h.namelen == 0)
			return 0;
		bad = take_item(u, &h);
		if (bad)
			return bad;
	}
}

void
unpack(int in, int root, int proc, const struct unpack_rules *rules, struct unpack_result *r)
{
	static struct unpacker u; /* a program unpacks once */

	memset(r, 0, sizeof *r);
	u = (struct unpacker){.in.fd = in, .root = root, .proc = proc, .rules = rules, .r = r};
	r->error = take_all(&u);
	r->crc = input_crc(&u.in);
	if (!r->error && syncfs(root) < 0)
		r->error = (uint32_t)errno;
}

bool
unpack_reply(int out, const struct unpack_result *r)
{
	const struct qfile_reply reply = {.error = r->error, .crc = r->crc};
	const uint32_t n = (uint32_t)strlen(r->last);
	uint8_t bytes[sizeof reply + sizeof n + QFILE_PATH_MAX];

	memcpy(bytes, &reply, sizeof reply);
	memcpy(bytes + sizeof reply, &n, sizeof n);
	memcpy(bytes + sizeof reply + sizeof n, r->last, n);
	return write_all(out, bytes, sizeof reply + sizeof n + n);
}
