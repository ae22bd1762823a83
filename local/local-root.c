/* SPDX-License-Identifier: ISC */
/*
 * The guest's file tree. A tmpfs holds everything that is thrown away: the tree itself and the
 * upper layers over the template's /usr and /etc (and /bin, /lib ... where they are not links into
 * /usr). What the template has is never written; Dom0's /home, /root, /var, /srv, /opt are not
 * there at all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "local.h"
#include "log.h"

#define TREE RUN_VM "/.mnt" /* the tmpfs, in the builder's own mount namespace */
#define ROOT TREE "/root"   /* the guest's root */
#define UPPER TREE "/upper"
#define WORK TREE "/work"
#define LOWER TREE "/lower"   /* a template that a key names */
#define LAYERS TREE "/layers" /* of a whole tree */
#define SKEL TREE "/skel"     /* what goes over a whole tree: in place of ROOT then */

struct entry {
	const char *path;
	mode_t mode;
	uid_t uid;
};

/* Directories of the guest that are its own, below its tree. */
static const struct entry dirs[] = {
    {"", 0755, 0},
    {"/dev", 0755, 0},
    {"/dev/pts", 0755, 0},
    {"/dev/shm", 01777, 0},
    {"/home", 0755, 0},
    {"/home/user", 0700, 1000},
    {"/mnt", 0755, 0},
    {"/opt", 0755, 0},
    {"/proc", 0555, 0},
    {"/root", 0700, 0},
    {"/run", 0755, 0},
    {"/run/qubes", 0755, 0},
    {"/run/user", 0755, 0},
    {"/run/user/1000", 0700, 1000},
    {"/run/vchan", 0755, 0},
    {"/rw", 0755, 0},
    {"/srv", 0755, 0},
    {"/sys", 0555, 0},
    {"/tmp", 01777, 0},
    {"/var", 0755, 0},
    {"/var/cache", 0755, 0},
    {"/var/lib", 0755, 0},
    {"/var/log", 0755, 0},
    {"/var/spool", 0755, 0},
    {"/var/tmp", 01777, 0},
};

/* The same in the layer over the template's. */
static const struct entry uppers[] = {
    {UPPER "/etc", 0755, 0},
    {UPPER "/etc/qubes", 0755, 0},
    {UPPER "/etc/qubes/rpc-config", 0755, 0},
    {UPPER "/etc/qubes-rpc", 0755, 0},
    {UPPER "/usr", 0755, 0},
    {UPPER "/usr/local", 0755, 0},
    {UPPER "/usr/local/bin", 0755, 0},
    {UPPER "/usr/local/etc", 0755, 0},
    {UPPER "/usr/local/sbin", 0755, 0},
    {UPPER "/usr/local/share", 0755, 0},
};

/* Where Dom0 has its own services and policy, the guest sees only what is in the upper layer. */
static const char *const opaque[] = {
    UPPER "/etc/qubes", UPPER "/etc/qubes-rpc", UPPER "/usr/local/etc"};

struct link {
	const char *target, *path;
};
static const struct link dev_links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
    {"pts/ptmx", "/dev/ptmx"},
    {"/proc/1/fd/1", "/dev/console"},
};
static const struct link links[] = {
    {"/run", ROOT "/var/run"},
    {"/run/lock", ROOT "/var/lock"},
    {"/proc/self/mounts", UPPER "/etc/mtab"},
    {"/rw/usrlocal/etc/qubes-rpc", UPPER "/usr/local/etc/qubes-rpc"},
};

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};

static const struct {
	const char *path, *text;
	mode_t mode;
} files[] = {
    {UPPER "/etc/passwd",
	"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
	"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	0644},
    {UPPER "/etc/group", "root:x:0:\ntty:x:5:\nuser:x:1000:\nqubes:x:98:user\nnogroup:x:65534:\n",
	0644},
    {UPPER "/etc/shadow", "root:*:::::::\nuser:*:::::::\nnobody:*:::::::\n", 0600},
    {UPPER "/etc/gshadow", "", 0600},
    {UPPER "/etc/fstab", "", 0644},
    {UPPER "/etc/resolv.conf", "", 0644},
};

/* The template's top directories that the guest sees; a link stays a link. */
static const char *const layers[] = {
    "usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};

static const char *
make_dir(const struct domain *d, const char *path, mode_t mode, uid_t uid)
{
	const uid_t owner = guest_uid(d, uid);

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return path;
	return chown(path, owner, owner) < 0 || chmod(path, mode) < 0 ? path : NULL;
}

static const char *
make_file(const struct domain *d, const char *path, const char *text, mode_t mode)
{
	const uid_t owner = guest_uid(d, 0);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	const size_t n = strlen(text);
	bool ok;

	if (fd < 0)
		return path;
	ok = write(fd, text, n) == (ssize_t)n && fchown(fd, owner, owner) == 0 &&
	     fchmod(fd, mode) == 0;
	close(fd);
	return ok ? NULL : path;
}

static const char *
make_link(const struct domain *d, const char *target, const char *path)
{
	const uid_t owner = guest_uid(d, 0);

	return symlink(target, path) < 0 || lchown(path, owner, owner) < 0 ? path : NULL;
}

static const char *
bind(const char *from, const char *to, unsigned long flags)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return to;
	return flags && mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0 ? to : NULL;
}

/* One of the template's top directories, with a throw-away layer over it. */
static const char *
layer(const struct domain *d, const char *name)
{
	static char to[128], up[128];
	char from[sizeof LOWER + 16], target[256], work[128], opt[1024];
	struct stat st;
	const char *e;
	ssize_t n;

	snprintf(from, sizeof from, "%s/%s", d->disks.disk[VOL_ROOT].fd >= 0 ? LOWER : "", name);
	snprintf(to, sizeof to, ROOT "/%s", name);
	snprintf(up, sizeof up, UPPER "/%s", name);
	snprintf(work, sizeof work, WORK "/%s", name);
	if (lstat(from, &st) < 0)
		return errno == ENOENT ? NULL : to;
	if (S_ISLNK(st.st_mode)) {
		n = readlink(from, target, sizeof target - 1);
		if (n < 0)
			return to;
		target[n] = '\0';
		return make_link(d, target, to);
	}
	if ((e = make_dir(d, to, 0755, 0)) != NULL || (e = make_dir(d, up, 0755, 0)) != NULL)
		return e;
	if (mkdir(work, 0700) < 0)
		return to;
	snprintf(opt, sizeof opt, "lowerdir=%s,upperdir=%s,workdir=%s", from, up, work);
	return mount("overlay", to, "overlay", MS_NODEV, opt) < 0 ? to : NULL;
}

/* mkdir -p below the guest's tree or its upper layer. */
static const char *
make_parents(const struct domain *d, const char *base, const char *path)
{
	static char full[512];
	const size_t skip = strlen(base) + 1;
	const char *e;

	snprintf(full, sizeof full, "%s%s", base, path);
	for (char *p = full + skip; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		if (access(full, F_OK) < 0 && (e = make_dir(d, full, 0755, 0)) != NULL)
			return e;
	}
	return access(full, F_OK) < 0 ? make_dir(d, full, 0755, 0) : NULL;
}

/* Directories, devices and links below base. */
static const char *
make_skeleton(const struct domain *d, const char *base)
{
	static char to[128];
	char from[32];
	const char *e;

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(to, sizeof to, "%s%s", base, dirs[i].path);
		if ((e = make_dir(d, to, dirs[i].mode, dirs[i].uid)) != NULL)
			return e;
	}
	for (size_t i = 0; i < sizeof dev_links / sizeof *dev_links; i++) {
		snprintf(to, sizeof to, "%s%s", base, dev_links[i].path);
		if ((e = make_link(d, dev_links[i].target, to)) != NULL)
			return e;
	}
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		snprintf(from, sizeof from, "/dev/%s", devices[i]);
		snprintf(to, sizeof to, "%s/dev/%s", base, devices[i]);
		if (mknod(to, S_IFREG | 0600, 0) < 0 || bind(from, to, MS_NOSUID | MS_NOEXEC))
			return devices[i];
	}
	return NULL;
}

/* The qube's own directory, kept between starts. */
static const char *private(const struct domain *d, const char *base)
{
	static char to[64];

	snprintf(to, sizeof to, "%s/rw", base);
	return d->disks.disk[VOL_PRIVATE].fd >= 0 ? tree_attach(PRIVATE_FD, to) : NULL;
}

static const char *
own_files(const struct domain *d)
{
	char hosts[128], host[64];
	const char *e = NULL;

	for (size_t i = 0; !e && i < sizeof files / sizeof *files; i++)
		e = make_file(d, files[i].path, files[i].text, files[i].mode);
	for (size_t i = 0; !e && i < sizeof links / sizeof *links; i++)
		e = make_link(d, links[i].target, links[i].path);
	for (size_t i = 0; !e && i < sizeof opaque / sizeof *opaque; i++)
		if (setxattr(opaque[i], "trusted.overlay.opaque", "y", 1, 0) < 0)
			e = opaque[i];
	snprintf(host, sizeof host, "%s\n", d->state->name);
	snprintf(hosts, sizeof hosts, "127.0.0.1 localhost %s\n::1 localhost\n", d->state->name);
	if (!e)
		e = make_file(d, UPPER "/etc/hostname", host, 0644);
	if (!e)
		e = make_file(d, UPPER "/etc/hosts", hosts, 0644);
	return e;
}

static const char *
own_service(const struct domain *d, const char *target, const char *path)
{
	static char at[600];

	snprintf(at, sizeof at, UPPER "%s", path);
	return make_link(d, target, at);
}

/* Our programs, whatever template it is. */
static const char *
bind_programs(const struct domain *d, const char *base)
{
	static char to[512];
	char from[256];
	const char *e;

	snprintf(to, sizeof to, "%s" LIBDIR, base);
	if ((e = make_parents(d, base, LIBDIR)) != NULL ||
	    (e = make_parents(d, base, "/usr/bin")) != NULL ||
	    (e = bind(LIBDIR, to, MS_RDONLY | MS_NODEV | MS_NOSUID)) != NULL)
		return e;
	for (size_t i = 0; own_programs[i]; i++) {
		snprintf(from, sizeof from, "%s/%s", BINDIR, own_programs[i]);
		snprintf(to, sizeof to, "%s/usr/bin/%s", base, own_programs[i]);
		if (access(to, X_OK) == 0 || access(from, X_OK) < 0)
			continue;
		if ((mknod(to, S_IFREG | 0755, 0) < 0 && errno != EEXIST) ||
		    bind(from, to, MS_RDONLY))
			return to;
	}
	return NULL;
}

/* What is the template's, and the layer over it. */
static const char *
layered(const struct domain *d)
{
	const char *e = NULL;

	if (d->disks.disk[VOL_ROOT].fd >= 0)
		e = mkdir(LOWER, 0700) < 0 ? LOWER : tree_attach(ROOT_FD, LOWER);
	for (size_t i = 0; !e && i < sizeof uppers / sizeof *uppers; i++)
		e = make_dir(d, uppers[i].path, uppers[i].mode, uppers[i].uid);
	if (!e && (e = own_files(d)) == NULL)
		e = tree_services(d, own_service);
	for (size_t i = 0; !e && i < sizeof layers / sizeof *layers; i++)
		e = layer(d, layers[i]);
	return e;
}

static bool
is_whole(const struct domain *d)
{
	return d->disks.disk[VOL_ROOT].whole && d->disks.disk[VOL_ROOT].path[0];
}

const char *
root_build(const struct domain *d)
{
	static char channels[64], vchan[64];
	const char *const base = is_whole(d) ? SKEL : ROOT;
	const char *e = NULL;

	umask(0);
	if (mkdir(TREE, 0700) < 0 && errno != EEXIST)
		return TREE;
	if ((e = tree_take(d)) != NULL)
		return e;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "mount namespace";
	if (mount("qube", TREE, "tmpfs", MS_NODEV, "mode=0755,size=50%,nr_inodes=500k") < 0)
		return TREE;
	if (mkdir(UPPER, 0755) < 0 || mkdir(WORK, 0700) < 0 || mkdir(TREE "/proc", 0755) < 0)
		return TREE;
	if ((e = make_skeleton(d, base)) != NULL)
		return e;
	snprintf(channels, sizeof channels, RUN_LOCAL "/%s", d->state->name);
	snprintf(vchan, sizeof vchan, "%s/run/vchan", base);
	if (is_whole(d))
		e = mkdir(ROOT, 0755) < 0 ? ROOT : tree_build(d, ROOT, LAYERS);
	else
		e = layered(d);
	if (e || (e = private(d, base)) != NULL || (e = bind_programs(d, base)) != NULL ||
	    (e = bind(channels, vchan, MS_NODEV | MS_NOSUID | MS_NOEXEC)) != NULL)
		return e;
	close(ROOT_FD);
	close(PRIVATE_FD);
	if (mount("/proc", TREE "/proc", NULL, MS_BIND, NULL) < 0)
		return "/proc";
	if (chdir(TREE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return "pivot_root";
	return NULL;
}

/* What a qube keeps; there from its first start on. Whatever it makes of it, it is inside. */
static void
keep_dirs(void)
{
	static const struct entry kept[] = {{"/rw/home", 0755, 0}, {"/rw/home/user", 0700, 1000},
	    {"/rw/usrlocal", 0755, 0}, {"/rw/usrlocal/etc", 0755, 0},
	    {"/rw/usrlocal/etc/qubes-rpc", 0755, 1000}};

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (mkdir(kept[i].path, kept[i].mode) == 0 &&
		    chown(kept[i].path, kept[i].uid, kept[i].uid) < 0)
			logit("%s: %s", kept[i].path, strerror(errno));
}

/* Dom0's /proc was visible until here: the kernel lets a user namespace mount its own only then. */
const char *
root_enter(const struct domain *d)
{
	struct stat st;
	const char *e;

	umask(022);
	if (mount("/root", "/root", NULL, MS_BIND | MS_REC, NULL) < 0)
		return "/";
	if (is_whole(d) && (e = tree_fit("/skel", "/root")) != NULL)
		return e;
	if (mount("proc", "/root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return "/proc";
	if (mount("devpts", "/root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		"newinstance,ptmxmode=0666,mode=0620,gid=5") < 0)
		return "/dev/pts";
	if (chdir("/root") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return "pivot_root";
	if (is_whole(d))
		tree_files(d);
	keep_dirs();
	/* The guest's own /rw decides: a link there must not lead anywhere, which inside it cannot.
	 */
	if (lstat("/rw/home/user", &st) == 0 && S_ISDIR(st.st_mode) &&
	    mount("/rw/home/user", "/home/user", NULL, MS_BIND, NULL) < 0)
		return "/home/user";
	return NULL;
}
