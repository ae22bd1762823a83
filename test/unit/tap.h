/* SPDX-License-Identifier: ISC */
/* What every unit test includes. */
#ifndef TAP_H
#define TAP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

/* A fresh directory of the test's own; in_dir() gives a path in it (until the next call). */
static inline const char *
test_dir(void)
{
	static char dir[64];

	if (dir[0] == '\0') {
		snprintf(dir, sizeof(dir), "/tmp/t-unit.XXXXXX");
		assert_non_null(mkdtemp(dir));
	}
	return dir;
}

static inline const char *
in_dir(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	return path;
}

static inline int
rm_test_dir(void **state)
{
	char cmd[96];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", test_dir());
	return system(cmd);
}

static inline void
put_file(const char *name, const void *p, size_t n)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	close(fd);
}

static inline int
open_test_dir(void)
{
	int fd = open(test_dir(), O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

#endif
