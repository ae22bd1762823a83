/* SPDX-License-Identifier: ISC */
/*
 * A root of its own for a minimal qube, on the disk that Dom0 gives it. One that is shared is read
 * only: a layer of memory over it takes what is written, and is thrown away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qube-root.h"

#define LOWER "/.root"
#define OVER "/.over"
#define ROOT "/.new"

static bool
read_only(const char *device)
{
	const int fd = open(device, O_RDONLY | O_CLOEXEC);
	int ro = 1;

	if (fd >= 0) {
		(void)ioctl(fd, BLKROGET, &ro);
		close(fd);
	}
	return ro != 0;
}

/* The shared one's journal is not replayed: it was left clean, or is what its template left. */
static const char *
mount_root(const char *device)
{
	static const char layers[] =
	    "lowerdir=" LOWER ",upperdir=" OVER "/upper,workdir=" OVER "/work";

	(void)mkdir(LOWER, 0755);
	(void)mkdir(OVER, 0755);
	(void)mkdir(ROOT, 0755);
	if (!read_only(device))
		return mount(device, ROOT, "ext4", MS_NODEV, NULL) < 0 ? ROOT : NULL;
	if (mount(device, LOWER, "ext4", MS_RDONLY | MS_NODEV, "noload") < 0)
		return LOWER;
	if (mount("over", OVER, "tmpfs", MS_NODEV, "mode=0755,size=75%") < 0 ||
	    mkdir(OVER "/upper", 0755) < 0 || mkdir(OVER "/work", 0755) < 0)
		return OVER;
	return mount("overlay", ROOT, "overlay", MS_NODEV, layers) < 0 ? ROOT : NULL;
}

static void
make_parents(char *path)
{
	for (char *p = path + strlen(ROOT) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		(void)mkdir(path, 0755);
	}
}

/* What the qube's first root has there, in the new one too. */
static bool
bring(const char *path)
{
	char to[256];
	struct stat st;

	snprintf(to, sizeof to, ROOT "%s", path);
	make_parents(to);
	if (stat(path, &st) < 0)
		return false;
	if (S_ISDIR(st.st_mode))
		(void)mkdir(to, 0755);
	else
		close(open(to, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0755));
	return mount(path, to, NULL, MS_BIND | MS_REC, NULL) == 0;
}

/* Each of ours in dir that the new root has none of: programs by their files, services by links. */
static void
bring_all(const char *dir, const char *prefix)
{
	char path[300], to[320], target[256];
	DIR *d = opendir(dir);
	const struct dirent *f;
	ssize_t n;

	while (d && (f = readdir(d)) != NULL) {
		if (f->d_name[0] == '.' || strncmp(f->d_name, prefix, strlen(prefix)) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
		snprintf(to, sizeof to, ROOT "%s", path);
		make_parents(to);
		n = readlink(path, target, sizeof target - 1);
		if (access(to, F_OK) == 0)
			continue;
		target[n > 0 ? n : 0] = '\0';
		if (n > 0 ? symlink(target, to) < 0 : !bring(path))
			dprintf(2, "qube-init: %s: %s\n", to, strerror(errno));
	}
	if (d)
		closedir(d);
}

const char *
root_of_disk(const char *device)
{
	static const char *const ours[] = {"/dev", "/proc", "/sys", "/run", "/rw", LIBDIR};
	const char *e = mount_root(device);

	if (e)
		return e;
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (!bring(ours[i]))
			return ours[i];
	bring_all(BINDIR, "qrexec-");
	bring_all(BINDIR, "qubesdb-");
	bring_all("/etc/qubes-rpc", "");
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return "/";
	(void)mkdir("/home", 0755);
	if (mkdir("/home/user", 0700) == 0 && chown("/home/user", 1000, 1000) < 0)
		dprintf(2, "qube-init: /home/user: %s\n", strerror(errno));
	(void)mkdir("/tmp", 01777);
	(void)mount("tmp", "/tmp", "tmpfs", MS_NODEV | MS_NOSUID, "mode=1777");
	return NULL;
}
