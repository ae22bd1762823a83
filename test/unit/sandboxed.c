/* SPDX-License-Identifier: ISC */
/*
 * sandboxed [-o] [-u UID] [PATH=FLAGS ...]: enters the sandbox as a daemon does, writes "ready" and
 * copies its standard input to its output. FLAGS as in sandbox.h, a sum. -o: with a filter that
 * lets through what the other layers have to refuse.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/sandbox.h"
#include "sandboxed-open.filter.h"
#include "sandboxed.filter.h"

static size_t
list(struct sandbox_path *paths, size_t max, char **argv)
{
	size_t n = 0;

	for (; *argv && n < max; argv++) {
		char *eq = strrchr(*argv, '=');
		if (!eq)
			usage_die("PATH=FLAGS");
		*eq = '\0';
		paths[n++] = (struct sandbox_path){*argv, atoi(eq + 1)};
	}
	return n;
}

int
main(int argc, char **argv)
{
	struct sandbox_path paths[16];
	struct sandbox sb = {.uid = SANDBOX_KEEP_UID,
	    .paths = paths,
	    .filter = sandboxed_filter,
	    .nfilter = sandboxed_filter_len,
	    .nofile = 64};
	char buf[4096];
	ssize_t n;

	log_open("sandboxed", NULL);
	for (int c; (c = getopt(argc, argv, "ou:")) != -1;) {
		if (c == 'u')
			sb.uid = (uid_t)strtoul(optarg, NULL, 10);
		else if (c == 'o')
			sb.filter = sandboxed_open_filter, sb.nfilter = sandboxed_open_filter_len;
		else
			usage_die("see the source");
	}
	sb.npaths = list(paths, 16, argv + optind);
	const uint64_t t = now_ms();
	sandbox_enter(&sb);
	n = snprintf(buf, sizeof buf, "ready %u ms\n", (unsigned)(now_ms() - t));
	for (; n > 0; n = read(0, buf, sizeof buf)) {
		/* Memory as malloc takes it and gives it back, small and large. */
		for (size_t size = 1; size < (size_t)1 << 24; size *= 8) {
			char *m = malloc(size);
			if (!m || !(m = realloc(m, 2 * size)))
				return 111;
			memset(m, 1, 2 * size);
			free(m);
		}
		if (write(1, buf, (size_t)n) != n)
			return 111;
	}
	return n < 0 ? 111 : 0;
}
