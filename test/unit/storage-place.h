/* SPDX-License-Identifier: ISC */
/* What the tests of storage share: a place of their own, and definitions in it. */
#ifndef STORAGE_PLACE_H
#define STORAGE_PLACE_H

#include "tap.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "log.h"
#include "storage/storage-int.h"

static char var[128], etc[128], run[128];

static void
shell(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

static void
write_conf(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", etc, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct vmconf *
conf(const char *name)
{
	static struct vmconf c[4];
	static unsigned turn;
	struct vmconf *r = &c[turn++ % 4];
	struct vmconf_error e;
	const int dir = open(etc, O_RDONLY | O_DIRECTORY);

	if (!vmconf_read(dir, name, r, &e))
		fail_msg("%s: %s", e.file, e.text);
	close(dir);
	return r;
}

#endif
