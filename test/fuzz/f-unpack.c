/* SPDX-License-Identifier: ISC */
/* A sender's whole stream, into a directory that is emptied each time; nothing may appear beside
 * it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filecopy/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char above[] = "/tmp/f-unpack.XXXXXX";

static int
empty(int dir)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0)
			continue;
		(void)fchmodat(dirfd(d), e->d_name, 0700, 0);
		(void)empty(openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
		(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct unpack_result r;
	static int base = -1, proc, in;
	struct unpack_rules rules = {0};
	int root;

	if (base < 0) {
		if (!mkdtemp(above))
			abort();
		umask(0);
		base = open(above, O_RDONLY | O_DIRECTORY);
		proc = open("/proc/self/fd", O_PATH | O_DIRECTORY);
		in = memfd_create("stream", 0);
	}
	if (size < 1)
		return 0;
	rules.any_name = data[0] & 1;
	rules.any_link = data[0] & 2;
	rules.no_merge = data[0] & 4;
	rules.files_max = data[0] & 8 ? 3 : 0;
	rules.depth_max = data[0] & 16 ? 2 : 0;
	if (ftruncate(in, 0) < 0 || pwrite(in, data + 1, size - 1, 0) < 0)
		abort();
	(void)lseek(in, 0, SEEK_SET);
	(void)mkdirat(base, "in", 0700);
	root = openat(base, "in", O_RDONLY | O_DIRECTORY);
	unpack(in, root, proc, &rules, &r);
	if (r.last[QFILE_PATH_MAX] != '\0')
		abort();
	(void)empty(root);
	(void)unlinkat(base, "in", AT_REMOVEDIR);
	if (empty(open(above, O_RDONLY | O_DIRECTORY)) != 0)
		abort(); /* something got out */
	return 0;
}
