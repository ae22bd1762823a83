/* SPDX-License-Identifier: ISC */
/*
 * qubes.GetDate and qubes.GetRandomizedTime (by its name): what the time is, in UTC. Nothing of the
 * caller is read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "date.h"
#include "log.h"
#include "names.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* No secret in Dom0, but no qube knows it. Without it there is no answer. */
static int64_t
offset(void)
{
	const char *source = getenv("QREXEC_REMOTE_DOMAIN");
	const int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	char id[64];
	ssize_t n = fd >= 0 ? read(fd, id, sizeof(id)) : -1;

	if (source == NULL || !name_ok(source))
		usage_die("a service of Dom0's: QREXEC_REMOTE_DOMAIN is not a qube");
	if (n < UUID_LEN)
		die(BOOT_ID);
	close(fd);
	return date_offset(id, (size_t)n, source);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash != NULL ? slash + 1 : argv[0];
	const bool exact = strcmp(name, "qubes.GetDate") == 0;
	char text[DATE_LEN + 1];
	struct timespec now;
	int64_t ns;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		printf("usage: %s, called by a qube (dom0-services(8))\n", name);
		return 0;
	}
	log_open(name, NULL);
	if (argc > 1)
		usage_die("it takes no argument");
	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		die("the clock");
	ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (exact ? 0 : offset());
	if (ns < 0 || !date_text((time_t)(ns / 1000000000), text))
		die("the clock is wrong");
	return puts(text) < 0 || fflush(stdout) != 0 ? 111 : 0;
}
