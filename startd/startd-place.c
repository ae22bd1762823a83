/* SPDX-License-Identifier: ISC */
/* q/NAME and qdb/NAME, where a running qube's daemons have their sockets, and the names that
 * scripts know. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids.h"
#include "paths.h"
#include "qdb/qdb.h"
#include "startd.h"
#include "state.h"

/* The names that scripts know, and where they lead. */
static const struct {
	const char *prefix;
	enum { BY_NAME, BY_DOMID, BY_UUID } by;
	const char *suffix, *dir, *leaf;
} links[] = {
    {"qrexec.", BY_NAME, "", "q", CLIENT_SOCK},
    {"qrexec.", BY_DOMID, "", "q", CLIENT_SOCK},
    {"qrexec.uuid:", BY_UUID, "", "q", CLIENT_SOCK},
    {"qubesdb.", BY_NAME, ".sock", "qdb", QDB_SOCK},
    {"qubesdb.", BY_NAME, ".ro.sock", "qdb", QDB_RO_SOCK},
};

static const char *
link_to(const char *target, const char *path)
{
	char there[128];
	const ssize_t n = readlink(path, there, sizeof there);

	if (n == (ssize_t)strlen(target) && memcmp(there, target, (size_t)n) == 0)
		return NULL;
	(void)unlink(path);
	return symlink(target, path) < 0 ? strerror(errno) : NULL;
}

/* q/NAME and qdb/NAME are there for the qube's daemons to make their sockets in. */
const char *
place_make(const struct startd *s, const char *name)
{
	struct vm_state st;
	char dir[128], target[128], path[160], number[12];
	const char *e = NULL;
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
	snprintf(dir, sizeof dir, RUN_QDB "/%s", name);
	if (mkdir(dir, 0711) < 0 && errno != EEXIST)
		return strerror(errno);
	for (size_t i = 0; !e && i < sizeof links / sizeof *links; i++) {
		snprintf(number, sizeof number, "%u", st.domid);
		snprintf(path, sizeof path, RUN_DIR "/%s%s%s", links[i].prefix,
		    links[i].by == BY_DOMID  ? number
		    : links[i].by == BY_UUID ? st.uuid
					     : name,
		    links[i].suffix);
		snprintf(target, sizeof target, "%s/%s/%s", links[i].dir, name, links[i].leaf);
		e = link_to(target, path);
	}
	return e;
}

/* Its files, and then itself. */
static void
remove_flat(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;

	while (d && (f = readdir(d)) != NULL)
		if (f->d_name[0] != '.' || (f->d_name[1] != '\0' && f->d_name[1] != '.'))
			(void)unlinkat(dirfd(d), f->d_name, 0);
	if (d)
		closedir(d);
	if (rmdir(path) < 0 && errno != ENOENT)
		logit("%s: %s", path, strerror(errno));
}

/* With the links that lead there, and what the daemons have made in it: sockets and a mark, one
 * level. */
static void
remove_place(const char *parent, const char *name)
{
	char path[160], want[128], got[128];
	DIR *d = opendir(RUN_DIR);
	const struct dirent *f;
	ssize_t n;

	snprintf(want, sizeof want, "%s/%s/", parent, name);
	while (d && (f = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), f->d_name, got, sizeof got - 1);
		got[n > 0 ? n : 0] = '\0';
		if (strncmp(got, want, strlen(want)) == 0)
			(void)unlinkat(dirfd(d), f->d_name, 0);
	}
	if (d)
		closedir(d);
	snprintf(path, sizeof path, RUN_DIR "/%s/%s", parent, name);
	remove_flat(path);
}

void
place_remove(const char *name)
{
	remove_place("q", name);
	remove_place("qdb", name);
}

/* What qubes.SyncAppMenus has made of it. */
void
place_remove_menu(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, VAR_DIR "/appmenus/%s", name);
	remove_flat(path);
}

/* A disposable's: what it printed is nobody's any more. What was decided about its calls stays. */
void
place_remove_logs(const char *name)
{
	char path[160], sub[416];
	DIR *d;
	const struct dirent *f;

	snprintf(path, sizeof path, LOG_DIR "/%s", name);
	d = opendir(path);
	while (d && (f = readdir(d)) != NULL) {
		snprintf(sub, sizeof sub, "%s/%s", path, f->d_name);
		if (f->d_name[0] != '.')
			remove_flat(sub);
	}
	if (d) {
		closedir(d);
		remove_flat(path);
	}
}
