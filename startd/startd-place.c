/* SPDX-License-Identifier: ISC */
/* q/NAME, where a running qube's daemons have their sockets, and the names that scripts know. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids.h"
#include "paths.h"
#include "startd.h"
#include "state.h"

/* q/NAME is there for the qube's daemons to make their sockets in. */
const char *
place_make(const struct startd *s, const char *name)
{
	struct vm_state st;
	char dir[128], target[128], path[160];
	uid_t uid;

	if (!state_read(s->state_dir, name, &st))
		return "no state";
	uid = prog_uid(st.qid, PROG_QREXECD);
	snprintf(dir, sizeof dir, RUN_Q "/%s", name);
	if (mkdir(dir, 0711) < 0 && errno != EEXIST)
		return strerror(errno);
	/* Others: people of group qubes, who alone get as far as RUN_DIR. */
	if (chown(dir, uid, GID_DAEMONS) < 0 || chmod(dir, 0711) < 0)
		return strerror(errno);
	snprintf(target, sizeof target, "q/%s/qrexec", name);
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			snprintf(path, sizeof path, RUN_DIR "/qrexec.%s", name);
		else if (i == 1)
			snprintf(path, sizeof path, RUN_DIR "/qrexec.%u", st.domid);
		else
			snprintf(path, sizeof path, RUN_DIR "/qrexec.uuid:%s", st.uuid);
		(void)unlink(path);
		if (symlink(target, path) < 0)
			return strerror(errno);
	}
	return NULL;
}

void
place_remove(const char *name)
{
	char path[160], want[128], got[128];
	DIR *d = opendir(RUN_DIR);
	const struct dirent *f;
	ssize_t n;

	snprintf(want, sizeof want, "q/%s/qrexec", name);
	while (d && (f = readdir(d)) != NULL) {
		if (strncmp(f->d_name, "qrexec.", 7) != 0)
			continue;
		n = readlinkat(dirfd(d), f->d_name, got, sizeof got - 1);
		got[n > 0 ? n : 0] = '\0';
		if (strcmp(got, want) == 0)
			(void)unlinkat(dirfd(d), f->d_name, 0);
	}
	if (d)
		closedir(d);
	/* What qrexecd's uid has made there goes too: sockets, one level. */
	snprintf(path, sizeof path, RUN_Q "/%s", name);
	d = opendir(path);
	while (d && (f = readdir(d)) != NULL)
		if (f->d_name[0] != '.' || (f->d_name[1] != '\0' && f->d_name[1] != '.'))
			(void)unlinkat(dirfd(d), f->d_name, 0);
	if (d)
		closedir(d);
	if (rmdir(path) < 0 && errno != ENOENT)
		logit("%s: %s", path, strerror(errno));
}
