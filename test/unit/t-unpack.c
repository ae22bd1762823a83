/* SPDX-License-Identifier: ISC */
/* What the system test cannot bring about: a file system that has no files without a name; and all
 * characters. The receiver itself: test/system/filecopy.t. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static int
refusing(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return openat(dir, path, flags, mode);
}
#define openat refusing
#include "filecopy/unpack.c"
#undef openat

#include "filecopy/qnames.h"

static char dir[] = "/tmp/t-unpack.XXXXXX";

static size_t
item(uint8_t *to, const char *name, uint32_t mode, const char *body, size_t size)
{
	const struct qfile_header h = {
	    .namelen = (uint32_t)strlen(name) + 1, .mode = mode, .filelen = size, .mtime = 5};

	memcpy(to, &h, sizeof h);
	memcpy(to + sizeof h, name, h.namelen);
	memcpy(to + sizeof h + h.namelen, body, strlen(body));
	return sizeof h + h.namelen + strlen(body);
}

static uint32_t
take(const uint8_t *data, size_t n)
{
	const struct unpack_rules rules = {0};
	static struct unpack_result r;
	const int root = open(dir, O_RDONLY | O_DIRECTORY),
		  proc = open("/proc/self/fd", O_PATH | O_DIRECTORY);
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], data, n), n);
	close(p[1]);
	unpack(p[0], root, proc, &rules, &r);
	close(p[0]);
	close(root);
	close(proc);
	return r.error;
}

static void
path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", dir, name);
}

static size_t
entries(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void
part(void **state)
{
	uint8_t data[512] = {0};
	char path[64];
	struct stat st;
	size_t n;

	(void)state;
	umask(0);
	n = item(data, "f", S_IFREG | 0640, "text", 4);
	path_of(path, sizeof path, "f");
	assert_int_equal(take(data, n + sizeof(struct qfile_header)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_mtime, 5);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(entries(), 1);
	/* there already */
	n = item(data, "f", S_IFREG | 0600, "tex", 3);
	memset(data + n, 0, sizeof(struct qfile_header));
	assert_int_equal(take(data, n + sizeof(struct qfile_header)), EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(entries(), 1);
	/* half of it */
	n = item(data, "g", S_IFREG | 0640, "text", 5);
	assert_int_equal(take(data, n), QFILE_CUT);
	assert_int_equal(entries(), 1);
}

/* spec/filecopy 3: 115,608 code points in 217 ranges; ASCII is one of these. */
static void
characters_of_unicode_15(void **state)
{
	size_t n = 0;

	(void)state;
	for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
		char s[5] = {0};

		if (c < 0x800) {
			s[0] = (char)(0xc0 | c >> 6), s[1] = (char)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			s[0] = (char)(0xe0 | c >> 12), s[1] = (char)(0x80 | (c >> 6 & 63)),
			s[2] = (char)(0x80 | (c & 63));
		} else {
			s[0] = (char)(0xf0 | c >> 18), s[1] = (char)(0x80 | (c >> 12 & 63));
			s[2] = (char)(0x80 | (c >> 6 & 63)), s[3] = (char)(0x80 | (c & 63));
		}
		n += path_readable(s);
	}
	for (int c = 1; c < 0x80; c++)
		n += path_readable((const char[]){(char)c, '\0'});
	assert_int_equal(n, 115608);
}

static void
clean(void)
{
	char path[64];

	path_of(path, sizeof path, "f");
	(void)unlink(path);
	(void)rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(part), cmocka_unit_test(characters_of_unicode_15)};

	if (!mkdtemp(dir))
		return 1;
	atexit(clean);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
