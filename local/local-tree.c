/* SPDX-License-Identifier: ISC */
/*
 * A guest's root that is a whole tree from storage. Its owners are shifted on disk
 * (storage-tree.h); a mount of it maps them to the guest's own range.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local.h"
#include "log.h"
#include "storage/storage-tree.h"

/* Over what the tree has of these. */
static const char *const covers[] = {"dev", "run", "tmp", "sys", "rw", NULL};

const char *const own_programs[] = {"qrexec-client-vm", "qubesdb-read", "qubesdb-write",
    "qubesdb-rm", "qubesdb-list", "qubesdb-multiread", "qubesdb-watch", "qubesdb-read-bool",
    "qubesdb-cmd", "qvm-copy", "qvm-move", "qvm-copy-to-vm", "qvm-move-to-vm", "qvm-open-in-vm",
    "qvm-open-in-dvm", "qubes-fs-tree-check", NULL};

/* Written when the tree has none. */
static const struct {
	const char *path, *text;
} defaults[] = {
    {"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
		    "user:x:1000:1000:user:/home/user:/bin/sh\n"},
    {"/etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\nqubes:x:98:user\n"},
};

bool
write_map(pid_t pid, const char *file, const char *text)
{
	char path[48];
	int fd;
	bool ok;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* A user namespace that maps what stands on disk to the guest's range: a mount can take it from
 * there. -1: errno. */
static int
map_of(const struct domain *d)
{
	struct clone_args ca = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	const pid_t pid = (pid_t)syscall(SYS_clone3, &ca, sizeof ca);
	char map[64], path[32];
	int fd = -1, err;

	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		return -1;
	snprintf(map, sizeof map, "%u %u %u\n", STORAGE_UID, guest_uid(d, 0), LOCAL_UID_RANGE);
	snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
	if (write_map(pid, "uid_map", map) && write_map(pid, "gid_map", map))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	err = errno;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	errno = err;
	return fd;
}

/* The volume that fd is open on becomes a mount that is nowhere yet. */
static const char *
take(const struct domain *d, const struct storage_disk *k, int fd, uint64_t attr)
{
	struct mount_attr a = {.attr_set = attr | (k->whole ? MOUNT_ATTR_IDMAP : 0)};
	const int tree = (int)syscall(
	    SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	const int map = tree >= 0 && k->whole ? map_of(d) : -1;
	const char *e = NULL;

	a.userns_fd = (uint64_t)(unsigned)map;
	if (tree >= 0 && k->whole && map < 0)
		e = "a map of user ids";
	else if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &a, sizeof a) < 0)
		e = errno == EINVAL ? "volumes: their file system cannot map user ids (ext4, xfs, "
				      "btrfs and tmpfs can)"
				    : "volumes";
	else if (dup3(tree, fd, O_CLOEXEC) < 0)
		e = "a descriptor";
	if (map >= 0)
		close(map);
	if (tree >= 0)
		close(tree);
	return e;
}

const char *
tree_take(const struct domain *d)
{
	const struct storage_disk *root = &d->disks.disk[VOL_ROOT];
	const struct storage_disk *private = &d->disks.disk[VOL_PRIVATE];
	const char *e = NULL;

	if (root->fd >= 0)
		e = take(d, root, ROOT_FD,
		    MOUNT_ATTR_NODEV | (root->write ? 0 : (uint64_t)MOUNT_ATTR_RDONLY));
	if (!e && private->fd >= 0)
		e = take(d, private, PRIVATE_FD, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
	return e;
}

const char *
tree_attach(int fd, const char *to)
{
	return syscall(SYS_move_mount, fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? to
											  : NULL;
}

static bool
make(const struct domain *d, const char *path)
{
	return mkdir(path, 0755) == 0 && chown(path, guest_uid(d, 0), guest_uid(d, 0)) == 0;
}

const char *
tree_build(const struct domain *d, const char *to, const char *layers)
{
	static char lower[64], upper[64], work[64], opt[256];
	const char *e;

	if (d->disks.disk[VOL_ROOT].write)
		return tree_attach(ROOT_FD, to);
	snprintf(lower, sizeof lower, "%s/lower", layers);
	snprintf(upper, sizeof upper, "%s/upper", layers);
	snprintf(work, sizeof work, "%s/work", layers);
	if (mkdir(layers, 0700) < 0 || mkdir(lower, 0700) < 0 || mkdir(work, 0700) < 0 ||
	    !make(d, upper))
		return layers;
	if ((e = tree_attach(ROOT_FD, lower)) != NULL)
		return e;
	snprintf(opt, sizeof opt, "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
	return mount("overlay", to, "overlay", MS_NODEV, opt) < 0 ? to : NULL;
}

/* Here on as the guest's own root. */

static void
make_parents(char *path, size_t skip)
{
	for (char *p = path + skip; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		(void)mkdir(path, 0755);
	}
}

/* What is at skel/name over root/name, which is made if it is not there. */
static bool
cover(const char *skel, const char *root, const char *name, bool file)
{
	char from[300], to[300];
	int fd;

	snprintf(from, sizeof from, "%s/%s", skel, name);
	snprintf(to, sizeof to, "%s/%s", root, name);
	make_parents(to, strlen(root) + 1);
	if (!file) {
		(void)mkdir(to, 0755);
	} else {
		fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0755);
		if (fd >= 0)
			close(fd);
	}
	return mount(from, to, NULL, MS_BIND | MS_REC, NULL) == 0;
}

const char *
tree_fit(const char *skel, const char *root)
{
	static char name[128];
	struct stat st;

	for (size_t i = 0; covers[i]; i++)
		if (!cover(skel, root, covers[i], false))
			return covers[i];
	snprintf(name, sizeof name, "%s/proc", root);
	(void)mkdir(name, 0555);
	if (!cover(skel, root, &LIBDIR[1], false))
		return LIBDIR;
	for (size_t i = 0; own_programs[i]; i++) {
		snprintf(name, sizeof name, "%s/usr/bin/%s", root, own_programs[i]);
		if (stat(name, &st) == 0 && st.st_size > 0)
			continue; /* it has one of its own */
		snprintf(name, sizeof name, "usr/bin/%s", own_programs[i]);
		(void)cover(skel, root, name, true);
	}
	return NULL;
}

/* What is there stays. */
static void
put_link(const char *target, const char *path)
{
	if (symlink(target, path) < 0 && errno != EEXIST)
		logit("%s: %s", path, strerror(errno));
}

static void
write_file(const char *path, const char *text)
{
	char fresh[64];
	int fd;

	/* a fresh file: what stands there may be a pipe, or a link to somewhere */
	snprintf(fresh, sizeof fresh, "%s.new", path);
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		(void)rename(fresh, path);
	close(fd);
}

/* A service that is a port is a link with that very text: it is not looked for behind another. */
static const char *
service_link(DIR *dir, const char *from, const char *name, char *out, size_t size)
{
	const ssize_t n = readlinkat(dirfd(dir), name, out, size - 1);

	if (n > 0)
		out[n] = '\0';
	if (n <= 0 || strncmp(out, "/dev/tcp/", 9) != 0)
		snprintf(out, size, "%s/%s", from, name);
	return out;
}

const char *
tree_services(const struct domain *d, tree_link_fn *fn)
{
	static const struct {
		const char *from, *to;
	} dirs[] = {{LIBDIR "/agent-rpc", "/etc/qubes-rpc"},
	    {LIBDIR "/agent-rpc-config", "/etc/qubes/rpc-config"}};
	const char *e = NULL;
	const struct dirent *f;
	char target[400], path[400];

	for (size_t i = 0; !e && i < sizeof dirs / sizeof *dirs; i++) {
		DIR *dir = opendir(dirs[i].from);

		if (!dir && errno != ENOENT)
			return dirs[i].from;
		while (dir && !e && (f = readdir(dir)) != NULL) {
			if (f->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", dirs[i].to, f->d_name);
			e = fn(d, service_link(dir, dirs[i].from, f->d_name, target, sizeof target),
			    path);
		}
		if (dir)
			closedir(dir);
	}
	return e;
}

/* One that a template has itself stays. */
static const char *
link_service(const struct domain *d, const char *target, const char *path)
{
	(void)d;
	put_link(target, path);
	return NULL;
}

void
tree_files(const struct domain *d)
{
	static const char *const dirs[] = {"/etc", "/etc/qubes", "/etc/qubes/rpc-config",
	    "/etc/qubes-rpc", "/home", "/root", "/var", "/usr", "/usr/local", "/usr/local/etc"};
	char text[128];
	struct stat st;

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		(void)mkdir(dirs[i], 0755);
	if (mkdir("/home/user", 0700) == 0 && chown("/home/user", 1000, 1000) < 0)
		logit("/home/user: %s", strerror(errno));
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
		if (lstat(defaults[i].path, &st) < 0)
			write_file(defaults[i].path, defaults[i].text);
	put_link("/run", "/var/run");
	put_link("/rw/usrlocal/etc/qubes-rpc", "/usr/local/etc/qubes-rpc");
	(void)tree_services(d, link_service);
	snprintf(text, sizeof text, "%s\n", d->state->name);
	write_file("/etc/hostname", text);
	snprintf(text, sizeof text, "127.0.0.1 localhost %s\n::1 localhost\n", d->state->name);
	write_file("/etc/hosts", text);
}
