/* SPDX-License-Identifier: ISC */
/* Volumes as image files: sparse, copied without taking space where the file system can. Nothing
 * here looks at what is in one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage-int.h"

#define CHUNK (1u << 20)
#define MKE2FS "/sbin/mke2fs"

bool
volume_may(void)
{
	return true;
}

bool
volume_ok(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int
make(int dir, const char *name)
{
	const int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0660);

	if (fd >= 0)
		(void)fchmod(fd, 0660);
	return fd;
}

bool
volume_make(int dir, const char *name, uint64_t bytes)
{
	int fd = op_step(name) ? make(dir, name) : -1;
	const bool ok = fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && op_sync(fd);

	close_fd(&fd);
	return ok;
}

bool
volume_remove(int dir, const char *name)
{
	return op_unlink(dir, name, 0);
}

bool
volume_grow(int fd, uint64_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if ((uint64_t)st.st_size > bytes) {
		errno = ERANGE;
		return false;
	}
	return op_step("size") && ftruncate(fd, (off_t)bytes) == 0 && op_sync(fd);
}

bool
volume_sync(int fd)
{
	return op_sync(fd);
}

void
volume_size(int fd, uint64_t *size, uint64_t *usage)
{
	struct stat st;

	*size = *usage = 0;
	if (fstat(fd, &st) == 0) {
		*size = (uint64_t)st.st_size;
		*usage = (uint64_t)st.st_blocks * 512;
	}
}

bool
volume_reflink(int src, int dir, const char *name)
{
	char part[LEAF + 8];
	int fd, err;
	bool ok;

	snprintf(part, sizeof part, ".%s.part", name);
	if (!volume_remove(dir, part) || (fd = make(dir, part)) < 0)
		return false;
	ok = ioctl(fd, FICLONE, src) == 0 && op_sync(fd) && op_rename(dir, part, name);
	err = errno;
	close(fd);
	if (!ok)
		(void)volume_remove(dir, part);
	errno = err;
	return ok;
}

static bool
all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

struct job {
	const struct storage_progress *p;
	uint64_t done, of;
	char *chunk;
};

/* From off to end, where there are data; what is zero stays a hole. */
static bool
copy_extent(struct job *j, int src, int fd, off_t off, off_t end)
{
	while (off < end) {
		const size_t want = end - off < (off_t)CHUNK ? (size_t)(end - off) : CHUNK;
		const ssize_t n = pread(src, j->chunk, want, off);

		if (n < 0)
			return false;
		if (n == 0)
			break;
		if (!op_step("data") ||
		    (!all_zero(j->chunk, (size_t)n) && pwrite(fd, j->chunk, (size_t)n, off) != n)) {
			errno = errno ? errno : ENOSPC;
			return false;
		}
		off += n;
		j->done += (uint64_t)n;
		if (j->p)
			j->p->fn(j->p->arg, j->done, j->of);
	}
	return true;
}

static bool
copy_data(struct job *j, int src, int fd, off_t size)
{
	off_t data, hole = 0;

	while (hole < size) {
		data = lseek(src, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* the rest is a hole */
		if (data < 0) {
			data = hole;
			hole = size;
		} else {
			hole = lseek(src, data, SEEK_HOLE);
		}
		if (hole < 0)
			hole = size;
		if (!copy_extent(j, src, fd, data, hole < size ? hole : size))
			return false;
	}
	return true;
}

bool
volume_copy(int src, int dir, const char *name, const struct storage_progress *p)
{
	struct job j = {.p = p};
	struct stat st;
	int fd = op_step(name) ? make(dir, name) : -1, err;
	bool ok = fd >= 0 && fstat(src, &st) == 0;

	if (ok && ioctl(fd, FICLONE, src) < 0) {
		j.of = (uint64_t)st.st_blocks * 512;
		j.chunk = malloc(CHUNK);
		errno = 0;
		ok =
		    j.chunk && ftruncate(fd, st.st_size) == 0 && copy_data(&j, src, fd, st.st_size);
		free(j.chunk);
	}
	ok = ok && op_sync(fd);
	err = errno;
	close_fd(&fd);
	errno = err;
	return ok;
}

/* A block device's content, or a file's. */
static const char *
import_image(int src, int dir, const char *name, uint64_t bytes, const struct storage_progress *p)
{
	const off_t size = lseek(src, 0, SEEK_END);
	struct job j = {.p = p, .of = size < 0 ? 0 : (uint64_t)size};
	char part[LEAF + 8];
	int fd = -1, err;
	bool ok;

	snprintf(part, sizeof part, ".%s.part", name);
	ok = size >= 0 && volume_remove(dir, part) && (fd = make(dir, part)) >= 0 &&
	     (j.chunk = malloc(CHUNK)) != NULL;
	errno = 0;
	ok = ok && copy_data(&j, src, fd, size) &&
	     ftruncate(fd, (uint64_t)size < bytes ? (off_t)bytes : size) == 0 && op_sync(fd) &&
	     op_rename(dir, part, name);
	err = errno;
	free(j.chunk);
	close_fd(&fd);
	if (!ok)
		(void)volume_remove(dir, part);
	errno = err;
	return ok ? NULL : failure("the image");
}

/* mke2fs reads the directory, which is Dom0's own, and puts it into the file. */
static const char *
import_dir(const char *path, int dir, const char *name, uint64_t bytes)
{
	char part[LEAF + 8], target[64];
	int fd = -1, status = -1;
	pid_t pid = -1;

	snprintf(part, sizeof part, ".%s.part", name);
	if (!volume_remove(dir, part) || (fd = make(dir, part)) < 0 ||
	    ftruncate(fd, (off_t)bytes) < 0)
		goto out;
	snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
	pid = fork();
	if (pid == 0) {
		const int null = open("/dev/null", O_RDWR);
		const int keep = dup(fd); /* without close-on-exec */

		snprintf(target, sizeof target, "/proc/self/fd/%d", keep);
		if (null < 0 || keep < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
			_exit(127);
		execl(MKE2FS, "mke2fs", "-q", "-F", "-t", "ext4", "-d", path, target, (char *)0);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status == 0 && op_sync(fd) && op_rename(dir, part, name)) {
		close(fd);
		return NULL;
	}
out:
	close_fd(&fd);
	(void)volume_remove(dir, part);
	if (pid <= 0)
		return failure("an image for %s", path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return refuse("%s is not there: it makes an image of a directory", MKE2FS);
	return refuse("mke2fs could not make an image of %s: is it too big for root_size?", path);
}

const char *
volume_import(
    const char *path, int dir, const char *name, uint64_t bytes, const struct storage_progress *p)
{
	int src = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	const char *e;

	if (src < 0 || fstat(src, &st) < 0)
		e = failure("%s", path);
	else if (S_ISDIR(st.st_mode))
		e = import_dir(path, dir, name, bytes);
	else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		e = import_image(src, dir, name, bytes, p);
	else
		e = refuse("%s: neither a directory, nor an image file, nor a block device", path);
	close_fd(&src);
	return e;
}
