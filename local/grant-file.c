/* SPDX-License-Identifier: ISC */
/* grant.h, spec/gui 6.4: page n of a file is reference FIRST + n. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grant.h"

/* errno, or 0. */
static int
looks(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return st.st_size < 0 || (uint64_t)st.st_size < size ? ENODATA : 0;
}

int
grant_file(int dir, const uint32_t *untrusted_refs, size_t n)
{
	char name[12];
	int fd, e;

	for (size_t i = 1; i < n; i++)
		if (untrusted_refs[i] - untrusted_refs[0] != i) {
			errno = EINVAL;
			return -1;
		}
	snprintf(name, sizeof name, "%u", untrusted_refs[0]);
	/* Not blocking: on a fifo, and on a file with somebody's lease. */
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		errno = errno == ELOOP || errno == ENXIO ? EACCES : errno;
		return -1;
	}
	e = looks(fd, (uint64_t)n * GRANT_PAGE);
	if (e != 0) {
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

const char *
grant_file_why(int error)
{
	switch (error) {
	case EINVAL:
		return "references of more than one file";
	case EACCES:
		return "no file of the qube's";
	case ENODATA:
		return "fewer pages than references";
	case ENOENT:
		return "there are no such pages";
	default:
		return strerror(error);
	}
}

const char *
grant_by_hand(struct grant *g, const char *top, uint32_t domid, const uint32_t *refs, size_t n)
{
	char path[300];
	const char *bad = NULL;
	void *p = MAP_FAILED;
	int dir, fd;

	*g = (struct grant){.len = n * GRANT_PAGE, .control = -1};
	snprintf(path, sizeof path, "%s/%u", top, domid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = grant_file(dir, refs, n);
	if (fd >= 0)
		p = mmap(NULL, g->len, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		bad = grant_file_why(errno);
	else
		g->p = p;
	close(dir);
	close(fd);
	return bad;
}
