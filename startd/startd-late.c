/* SPDX-License-Identifier: ISC */
/*
 * Daemons that still run when their qube has ended and s6 has taken down its own: qrexec-dom0's
 * children, and what a daemon that was taken over has left behind. Xen keeps a domain as long as
 * anything of it is mapped.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ids.h"
#include "startd.h"

static bool
is_theirs(uid_t uid, uint32_t qid)
{
	/* The console belongs to vmstart, who may be starting the qube again. */
	static const enum prog progs[] = {PROG_QREXECD, PROG_RELAY, PROG_GUID, PROG_QDB};

	for (size_t i = 0; i < sizeof progs / sizeof *progs; i++)
		if (uid == prog_uid(qid, progs[i]))
			return true;
	return false;
}

/* The real uid of a process. A directory's owner does not tell: who has changed his uid is root's
 * there. */
static bool
uid_of(int proc, const char *pid, uid_t *uid)
{
	char text[1024];
	const char *line;
	const int dir = openat(proc, pid, O_PATH | O_DIRECTORY | O_CLOEXEC),
		  fd = dir < 0 ? -1 : openat(dir, "status", O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (dir >= 0)
		close(dir);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	line = strstr(text, "\nUid:");
	if (!line)
		return false;
	*uid = (uid_t)strtoul(line + 5, NULL, 10);
	return true;
}

size_t
late_daemons(uint32_t qid, int sig)
{
	DIR *d = qid > 0 ? opendir("/proc") : NULL;
	const struct dirent *f;
	size_t n = 0;
	uint32_t pid;
	uid_t uid;

	while (d && (f = readdir(d)) != NULL)
		if (parse_u32(f->d_name, INT32_MAX, &pid) && pid > 1 &&
		    uid_of(dirfd(d), f->d_name, &uid) && is_theirs(uid, qid)) {
			n++;
			kill((pid_t)pid, sig);
		}
	if (d)
		closedir(d);
	return n;
}
