/* SPDX-License-Identifier: ISC */
/*
 * For tests on Xen, in a qube: what it may do to xenstore, and tries to.
 *
 *   scribble all       over whatever Dom0 could look at; prints each path and what became of it
 *   scribble quota     as many nodes as it gets; prints how many
 *   scribble storm S   makes and removes nodes of channels for S seconds, as fast as it can
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xen/store.h"

static char huge[2000];

static void
scribble(struct store *s, const char *path, const char *value)
{
	const bool ok = store_write(s, 0, path, "%s", value);

	printf("%s %.20s %s\n", path, value, ok ? "written" : strerror(errno));
}

static int
all(struct store *s)
{
	static const char *const single[] = {"name", "domid", "vm", "store/port", "store/ring-ref",
	    "console/port", "console/ring-ref", "console/type", "memory/target",
	    "memory/static-max", "cpu/0/availability", "control/shutdown", "control/sysrq",
	    "control/feature-poweroff", "device/vbd/51728/backend", "device/vbd/51728/backend-id",
	    "device/vbd/51728/state", "device/vbd/51728/ring-ref", "device/vbd/51728/event-channel",
	    "device/vbd/1/backend", "device/vif/0/backend", "device/suspend/event-channel",
	    "data/vchan", "data/vchan/0", "data/vchan/0/512/ring-ref",
	    "data/vchan/0/512/event-channel", "data/vchan/0/513/ring-ref",
	    "data/vchan/0/4294967296/ring-ref", "data/vchan/1/512/ring-ref", "data/vchan/-1/x",
	    "data/updates", "drivers/0", "feature/x", "attr/x", "error/device/vbd/51728/error",
	    "/local/domain/0/name", "/local/domain/0/data/vchan/1/512/ring-ref",
	    "/local/domain/0/backend/vbd/1/51728/params", "/local/domain/1/data/x",
	    "/tool/cubicle/1/name", "/tool/cubicle/disk/x", "/tool/x", "/vm/x", "/local/x"};
	static const char *const values[] = {
	    huge, "-1", "4294967295", "0", "/local/domain/0/backend/vbd/1/51728"};

	memset(huge, '9', sizeof huge - 1);
	for (size_t i = 0; i < sizeof single / sizeof *single; i++)
		for (size_t k = 0; k < sizeof values / sizeof *values; k++)
			scribble(s, single[i], values[k]);
	for (unsigned i = 0; i < 64; i++) { /* each node at its largest */
		char path[64];

		snprintf(path, sizeof path, "data/vchan/0/%u/ring-ref", 600 + i);
		if (!store_write(s, 0, path, "%s", huge))
			break;
	}
	(void)store_rm(s, 0, "data/vchan/0/512");
	(void)store_own(s, 0, "data", 0, STORE_NOBODY); /* its own are not its own any more */
	(void)store_own(s, 0, "control/shutdown", 0, STORE_NOBODY);
	return 0;
}

static int
quota(struct store *s)
{
	unsigned n = 0;

	for (; n < 100000; n++) {
		char path[64];

		snprintf(path, sizeof path, "%s/%u", n % 2 ? "data/vchan" : "device/suspend", n);
		if (!store_write(s, 0, path, "1"))
			break;
	}
	printf("%u %s\n", n, strerror(errno));
	return 0;
}

static int
storm(struct store *s, int seconds)
{
	const time_t until = time(NULL) + seconds;
	unsigned n = 0;

	do {
		char path[64];

		snprintf(path, sizeof path, "data/vchan/%u/7", n++ % 50);
		(void)store_write(s, 0, path, "1");
		*strrchr(path, '/') = '\0';
		(void)store_rm(s, 0, path);
	} while (time(NULL) < until);
	printf("%u\n", n);
	return 0;
}

int
main(int argc, char **argv)
{
	struct store *s = store_open();

	if (!s)
		return 1;
	if (argc == 2 && strcmp(argv[1], "all") == 0)
		return all(s);
	if (argc == 2 && strcmp(argv[1], "quota") == 0)
		return quota(s);
	if (argc == 3 && strcmp(argv[1], "storm") == 0)
		return storm(s, atoi(argv[2]));
	return 100;
}
