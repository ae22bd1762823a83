/* SPDX-License-Identifier: ISC */
/*
 * Volumes as directories. What a guest wrote is copied and removed by descriptors: no link in it is
 * followed, no file in it is opened for more than its bytes.
 */
#include "storage-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "storage-int.h"

#define CHUNK (1u << 17)
#define HARD_BUCKETS 1024
#define XATTR_MAX 65536
#define CAPS "security.capability"

bool
volume_may(void)
{
	errno = EPERM; /* owners of its own */
	return geteuid() == 0;
}

bool
volume_ok(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid >= STORAGE_UID &&
	       st.st_uid < STORAGE_UID + LOCAL_UID_RANGE;
}

bool
volume_make(int dir, const char *name, uint64_t bytes)
{
	int fd;
	bool ok;

	(void)bytes;
	if (!op_mkdir(dir, name, 0755) || (fd = open_dir(dir, name)) < 0)
		return false;
	ok = fchown(fd, STORAGE_UID, STORAGE_UID) == 0 && op_sync(fd);
	close(fd);
	return ok;
}

bool
volume_grow(int fd, uint64_t bytes)
{
	(void)fd, (void)bytes;
	return true; /* a directory has the size that is said of it */
}

bool
volume_sync(int fd)
{
	return op_step("sync") && syncfs(fd) == 0;
}

bool
volume_reflink(int src, int dir, const char *name)
{
	(void)src, (void)dir, (void)name;
	errno = EOPNOTSUPP;
	return false;
}

bool
volume_remove(int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	if (!S_ISDIR(st.st_mode))
		return op_unlink(dir, name, 0);
	return op_step(name) && tree_remove(dir, name);
}

/* Copying: directories wait, by their paths below the top. */

struct todo {
	struct todo *next;
	char path[];
};

struct hard { /* a file with several names: where it is now */
	struct hard *next;
	ino_t ino;
	char path[];
};

struct copy {
	int src, dst;
	dev_t dev;
	bool import; /* from Dom0's own directory: owners are not shifted yet */
	const struct storage_progress *p;
	uint64_t done;
	struct todo *first;
	struct hard *hard[HARD_BUCKETS];
	char *chunk;
};

static uid_t
owner(const struct copy *c, uid_t uid)
{
	const uid_t nobody = STORAGE_UID + 65534;

	if (c->import)
		return uid < LOCAL_UID_RANGE ? STORAGE_UID + uid : nobody;
	return uid >= STORAGE_UID && uid < STORAGE_UID + LOCAL_UID_RANGE ? uid : nobody;
}

static int
open_below(int top, const char *path, int flags)
{
	const struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, top, path, &how, sizeof how);
}

static bool
put_todo(struct copy *c, const char *path)
{
	const size_t n = strlen(path) + 1;
	struct todo *t = malloc(sizeof *t + n);

	if (!t)
		return false;
	memcpy(t->path, path, n);
	t->next = c->first;
	c->first = t;
	return true;
}

static struct todo *
take_todo(struct copy *c)
{
	struct todo *t = c->first;

	if (t)
		c->first = t->next;
	return t;
}

static bool
join(char out[PATH_MAX], const char *dir, const char *name)
{
	const int n = snprintf(out, PATH_MAX, "%s%s%s", strcmp(dir, ".") == 0 ? "" : dir,
	    strcmp(dir, ".") == 0 ? "" : "/", name);

	errno = ENAMETOOLONG;
	return n >= 0 && n < PATH_MAX;
}

/* Capabilities of a file of Dom0's are made its future root's; others' labels stay behind. */
static bool
copy_xattr(const struct copy *c, int from, int to, const char *name)
{
	static char value[XATTR_MAX];
	ssize_t n;

	if (strncmp(name, "user.", 5) != 0 && strcmp(name, CAPS) != 0 &&
	    (c->import || strncmp(name, "system.posix_acl", 16) != 0))
		return true;
	n = fgetxattr(from, name, value, sizeof value - 4);
	if (n < 0)
		return false;
	if (c->import && strcmp(name, CAPS) == 0 && n == 20) {
		const uint32_t root = STORAGE_UID; /* revision 2 has no owner, 3 has */

		value[3] = 3;
		memcpy(value + n, &root, sizeof root);
		n += (ssize_t)sizeof root;
	}
	return fsetxattr(to, name, value, (size_t)n, 0) == 0;
}

static bool
copy_xattrs(const struct copy *c, int from, int to)
{
	static char names[XATTR_MAX];
	const ssize_t n = flistxattr(from, names, sizeof names);

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
		if (!copy_xattr(c, from, to, names + i))
			return false;
	return n >= 0 || errno == ENOTSUP;
}

/* Owners, then mode (a change of owner clears setuid), then what hangs on it, then times. */
static bool
dress(const struct copy *c, int from, int to, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	return fchown(to, owner(c, st->st_uid), owner(c, st->st_gid)) == 0 &&
	       fchmod(to, st->st_mode & 07777) == 0 && copy_xattrs(c, from, to) &&
	       futimens(to, times) == 0;
}

static bool
copy_data(struct copy *c, int from, int to, off_t size)
{
	off_t off = 0, data, hole;

	if (size == 0 || ioctl(to, FICLONE, from) == 0)
		return true;
	if (ftruncate(to, size) < 0)
		return false;
	while (off < size && (data = lseek(from, off, SEEK_DATA)) >= 0) {
		hole = lseek(from, data, SEEK_HOLE);
		for (off = data; off < hole;) {
			const size_t want =
			    hole - off < (off_t)CHUNK ? (size_t)(hole - off) : CHUNK;
			const ssize_t n = pread(from, c->chunk, want, off);

			errno = n < 0 ? errno : ENOSPC;
			if (n < 0 || (n > 0 && pwrite(to, c->chunk, (size_t)n, off) != n))
				return false;
			if (n == 0)
				return true; /* somebody makes it shorter */
			off += n;
			c->done += (uint64_t)n;
		}
		if (c->p)
			c->p->fn(c->p->arg, c->done, 0);
	}
	return true;
}

static struct hard **
hard_slot(struct copy *c, ino_t ino)
{
	struct hard **at = &c->hard[ino % HARD_BUCKETS];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static bool
copy_file(struct copy *c, int sd, int dd, const char *name, const char *path, struct stat *st)
{
	struct hard **slot = st->st_nlink > 1 ? hard_slot(c, st->st_ino) : NULL;
	int from, to;
	bool ok;

	if (slot && *slot) {
		to = open_below(c->dst, (*slot)->path, O_PATH);
		ok = to >= 0 && linkat(to, "", dd, name, AT_EMPTY_PATH) == 0;
		close_fd(&to);
		return ok;
	}
	if (slot) {
		const size_t n = strlen(path) + 1;

		if ((*slot = malloc(sizeof **slot + n)) == NULL)
			return false;
		(*slot)->next = NULL;
		(*slot)->ino = st->st_ino;
		memcpy((*slot)->path, path, n);
	}
	from = openat(sd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	to = openat(dd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* it is another file by now: whoever changes it while it is copied gets what he gets */
	ok = from >= 0 && to >= 0 && fstat(from, st) == 0 && S_ISREG(st->st_mode) &&
	     copy_data(c, from, to, st->st_size) && dress(c, from, to, st);
	close_fd(&from);
	close_fd(&to);
	return ok;
}

static bool
copy_link(const struct copy *c, int sd, int dd, const char *name, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	char target[PATH_MAX];
	const ssize_t n = readlinkat(sd, name, target, sizeof target - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return symlinkat(target, dd, name) == 0 &&
	       fchownat(dd, name, owner(c, st->st_uid), owner(c, st->st_gid),
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	       utimensat(dd, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
copy_fifo(const struct copy *c, int dd, const char *name, const struct stat *st)
{
	return mkfifoat(dd, name, 0600) == 0 &&
	       fchownat(dd, name, owner(c, st->st_uid), owner(c, st->st_gid),
		   AT_SYMLINK_NOFOLLOW) == 0 &&
	       fchmodat(dd, name, st->st_mode & 07777, 0) == 0;
}

static bool
copy_entry(struct copy *c, int sd, int dd, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (!join(path, dir, name) || !op_step(name))
		return false;
	if (fstatat(sd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return mkdirat(dd, name, 0700) == 0 && put_todo(c, path);
	case S_IFREG:
		return copy_file(c, sd, dd, name, path, &st);
	case S_IFLNK:
		return copy_link(c, sd, dd, name, &st);
	case S_IFIFO:
		return copy_fifo(c, dd, name, &st);
	default: /* devices are none of a qube's; a socket is of no use without its process */
		return true;
	}
}

/* Nobody else can change names in it, and so what we have just made in it stays what it is. */
static bool
is_ours(int dd)
{
	struct stat st;

	errno = EPERM;
	return fstat(dd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

/* One directory; those in it wait. What is mounted there is not of this tree. */
static bool
copy_dir(struct copy *c, const char *path)
{
	const int sd = open_below(c->src, path, O_RDONLY | O_DIRECTORY);
	const int dd = open_below(c->dst, path, O_RDONLY | O_DIRECTORY);
	DIR *d = sd >= 0 ? list_dir(sd) : NULL;
	const struct dirent *f;
	struct stat st;
	bool ok = d && dd >= 0 && is_ours(dd) && fstat(sd, &st) == 0;
	int err;

	while (ok && st.st_dev == c->dev && (f = readdir(d)) != NULL)
		ok = is_dots(f->d_name) || copy_entry(c, sd, dd, path, f->d_name);
	ok = ok && dress(c, sd, dd, &st);
	err = errno;
	if (d)
		closedir(d);
	if (sd >= 0)
		close(sd);
	if (dd >= 0)
		close(dd);
	errno = err;
	return ok;
}

static void
free_copy(struct copy *c)
{
	struct todo *t;
	struct hard *h;

	while ((t = take_todo(c)) != NULL)
		free(t);
	for (size_t i = 0; i < HARD_BUCKETS; i++)
		while ((h = c->hard[i]) != NULL) {
			c->hard[i] = h->next;
			free(h);
		}
	free(c->chunk);
	free(c);
}

/* src into the new directory name. */
static bool
copy_tree(int src, int dir, const char *name, bool import, const struct storage_progress *p)
{
	struct copy *c = calloc(1, sizeof *c);
	struct todo *t;
	struct stat st = {0};
	int dst = -1, err;
	bool ok = c && op_mkdir(dir, name, 0700) && (dst = open_dir(dir, name)) >= 0 &&
		  fstat(src, &st) == 0;

	if (c) {
		*c = (struct copy){.src = src, .dst = dst, .import = import, .p = p};
		c->dev = st.st_dev;
		ok = ok && (c->chunk = malloc(CHUNK)) != NULL && put_todo(c, ".");
	}
	while (ok && (t = take_todo(c)) != NULL) {
		ok = copy_dir(c, t->path);
		free(t);
	}
	ok = ok && volume_sync(dst);
	err = errno;
	if (c)
		free_copy(c);
	close_fd(&dst);
	errno = err;
	return ok;
}

bool
volume_copy(int src, int dir, const char *name, const struct storage_progress *p)
{
	return copy_tree(src, dir, name, false, p);
}

/* No more than these: the guest's root is to be able to enter its own. */
static bool
top_is_root_s(int dir, const char *name)
{
	int fd = open_dir(dir, name);
	const bool ok = fd >= 0 && fchown(fd, STORAGE_UID, STORAGE_UID) == 0 &&
			fchmod(fd, 0755) == 0 && op_sync(fd);

	close_fd(&fd);
	return ok;
}

const char *
volume_import(
    const char *path, int dir, const char *name, uint64_t bytes, const struct storage_progress *p)
{
	int src = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char part[LEAF + 8];
	const char *e = NULL;
	int err;

	(void)bytes;
	if (src < 0 && errno == ENOTDIR)
		return refuse("%s: not a directory, and this backend has no images", path);
	if (src < 0)
		return failure("%s", path);
	snprintf(part, sizeof part, ".%s.part", name);
	if (!volume_remove(dir, part) || !copy_tree(src, dir, part, true, p) ||
	    !top_is_root_s(dir, part) || !op_rename(dir, part, name)) {
		e = failure("copying %s", path);
		err = errno;
		(void)volume_remove(dir, part);
		errno = err;
	}
	close_fd(&src);
	return e;
}

/* What it takes; directories of a guest's tree are looked at as when they are copied. */
static void
usage_of(struct copy *c, const char *path, uint64_t *usage)
{
	const int sd = open_below(c->src, path, O_RDONLY | O_DIRECTORY);
	DIR *d = sd >= 0 ? fdopendir(sd) : NULL;
	const struct dirent *f;
	char sub[PATH_MAX];
	struct stat st;

	while (d && (f = readdir(d)) != NULL) {
		if (is_dots(f->d_name) || fstatat(sd, f->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*usage += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && join(sub, path, f->d_name))
			(void)put_todo(c, sub);
	}
	if (d)
		closedir(d);
	else if (sd >= 0)
		close(sd);
}

void
volume_size(int fd, uint64_t *size, uint64_t *usage)
{
	struct copy *c = calloc(1, sizeof *c);
	struct todo *t;

	*size = *usage = 0;
	if (!c)
		return;
	c->src = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)put_todo(c, ".");
	while (c->src >= 0 && (t = take_todo(c)) != NULL) {
		usage_of(c, t->path, usage);
		free(t);
	}
	close_fd(&c->src);
	free_copy(c);
}
