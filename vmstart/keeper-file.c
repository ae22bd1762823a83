/* SPDX-License-Identifier: ISC */
/* The qube's file, which may be gone when its domain is still there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ahead.h"
#include "keeper.h"
#include "log.h"
#include "paths.h"
#include "storage/storage.h"

/* Its file was removed, or spoilt, since it was started or built ahead: as much as is needed to
 * hold what there is, and to undo it. */
static void
without_file(struct keeper *k, const char *name)
{
	struct vm_state st;
	int dir = -1;

	k->conf = (struct vmconf){.qrexec_timeout = 60, .shutdown_timeout = 60};
	snprintf(k->conf.name, sizeof k->conf.name, "%s", name);
	snprintf(k->conf.type, sizeof k->conf.type, "AppVM");
	if (state_read(k->state_dir, name, &st) ||
	    ((dir = open(RUN_PREPARED, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 &&
		state_read(dir, name, &st)))
		memcpy(k->conf.uuid, st.uuid, sizeof k->conf.uuid);
	if (dir >= 0)
		close(dir);
}

static const char *
vm_file(const char *name)
{
	static char path[sizeof ETC_VM + NAME_LEN_MAX + 1];

	snprintf(path, sizeof path, ETC_VM "/%s", name);
	return path;
}

bool
keeper_load(struct keeper *k, const char *name, bool start)
{
	const int etc = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vmconf_error e = {0};
	struct vm_state st;
	bool ok;

	if (etc < 0)
		die(ETC_VM);
	k->state_dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->state_dir < 0)
		die(RUN_STATE);
	ok = vmconf_load(etc, name, &k->conf, &e);
	if (!ok) {
		if (start || faccessat(etc, name, F_OK, 0) == 0)
			logit(ETC_VM "/%s:%u: %s", e.file, e.line, e.text);
		if (start && !state_read(k->state_dir, name, &st))
			exit(END_FAILURE);
		without_file(k, name);
	}
	close(etc);
	return ok;
}

int
keeper_aside(struct keeper *k, int what, const char *name)
{
	const char *e;
	int code;

	(void)keeper_load(k, name, false);
	code = what == 'p' ? ahead_build(&k->dom, name) : ahead_drop(&k->dom, name);
	if (what != 'x' || faccessat(AT_FDCWD, vm_file(name), F_OK, 0) == 0)
		return code;
	e = storage_remove(name); /* nobody can start it any more */
	if (e)
		logit("%s%s%s", e, errno ? ": " : "", errno ? strerror(errno) : "");
	return e ? END_FAILURE : code;
}
