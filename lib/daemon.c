/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "names.h"
#include "sock.h"

#define FD_MAX 1023

int
daemon_options(int argc, char **argv, const char *name)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	uint32_t fd = 0;
	int c;

	log_open(name, NULL);
	while ((c = getopt_long(argc, argv, "n:h", longs, NULL)) != -1) {
		if (c == 'h') {
			printf(
			    "usage: %s [-n FD]\n  -n FD  write a newline to FD when ready\n", name);
			exit(0);
		}
		if (c != 'n' || !parse_u32(optarg, FD_MAX, &fd) || fd < 3)
			usage_die("usage: %s [-n FD]", name);
	}
	if (optind != argc)
		usage_die("usage: %s [-n FD]", name);
	if (fd == 0)
		return -1;
	(void)fd_cloexec((int)fd);
	return (int)fd;
}

void
daemon_ready(int fd)
{
	if (fd < 0)
		return;
	if (write(fd, "\n", 1) != 1)
		logit("readiness: %s", strerror(errno));
	close(fd);
}
