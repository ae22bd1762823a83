/* SPDX-License-Identifier: ISC */
#include "filecopy/io.h"

#include <errno.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

size_t
read_all(int from, void *to, size_t n)
{
	size_t have = 0;

	while (have < n) {
		const ssize_t got = read(from, (uint8_t *)to + have, n - have);

		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		if (got > 0)
			have += (size_t)got;
	}
	return have;
}

bool
write_all(int to, const void *from, size_t n)
{
	for (const uint8_t *at = from; n > 0;) {
		const ssize_t did = write(to, at, n);

		if (did < 0 && errno != EINTR)
			return false;
		if (did > 0)
			at += did, n -= (size_t)did;
	}
	return true;
}

bool
copy_fd(int from, int to)
{
	uint8_t bytes[65536];
	size_t n;

	do {
		errno = 0;
		n = read_all(from, bytes, sizeof bytes);
		if (errno != 0 && errno != EINTR && n < sizeof bytes)
			return false;
		if (!write_all(to, bytes, n))
			return false;
	} while (n == sizeof bytes);
	return true;
}

int
status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 111;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
