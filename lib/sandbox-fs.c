/* SPDX-License-Identifier: ISC */
/*
 * Descriptors of all listed paths are taken before anything is covered, so a path may be anywhere,
 * below another one too (list that after it). Needs Linux 5.12.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "sandbox-fs.h"

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* ---- the mount namespace ---- */

static void
write_proc(const char *file, const char *text)
{
	const int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("sandbox: %s", file);
	close(fd);
}

/* We stay who we are: the one uid and gid that a new user namespace may map without privilege. */
static void
map_self(uid_t uid, gid_t gid)
{
	char line[64];

	write_proc("/proc/self/setgroups", "deny");
	snprintf(line, sizeof line, "%u %u 1", uid, uid);
	write_proc("/proc/self/uid_map", line);
	snprintf(line, sizeof line, "%u %u 1", gid, gid);
	write_proc("/proc/self/gid_map", line);
}

static bool
leave_namespaces(const struct sandbox_fs *fs, bool by_hand)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	/* Abstract sockets and TCP: Landlock's job where it can, else there is just no network. */
	const int net = fs->abi < 6 ? CLONE_NEWNET : 0;
	bool ok = unshare(CLONE_NEWNS | net | (uid != 0 ? CLONE_NEWUSER : 0)) == 0;

	if (ok && uid != 0)
		map_self(uid, gid);
	/* who is in a Landlock of others may not mount (sandbox_scope) */
	ok = ok && syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	if (!ok && !by_hand)
		die("sandbox: private mounts");
	if (!ok)
		logit("sandbox: no namespaces for us here (%s): going on without", strerror(errno));
	return ok;
}

static void
take_paths(struct sandbox_fs *fs, const struct sandbox *sb, bool clone)
{
	if (sb->npaths > SANDBOX_PATHS)
		die("sandbox: %zu paths", sb->npaths);
	for (size_t i = 0; i < sb->npaths; i++) {
		const char *p = sb->paths[i].path;
		fs->path[i] = clone ? (int)syscall(SYS_open_tree, AT_FDCWD, p,
					  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)
				    : open(p, O_PATH | O_CLOEXEC);
		if (fs->path[i] < 0 && !(errno == ENOENT && (sb->paths[i].flags & SB_MAYBE)))
			die("sandbox: %s", p);
	}
}

static void
mount_flags(int fd, int flags, uint64_t set)
{
	struct mount_attr a = {.attr_set = set | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};

	if (syscall(SYS_mount_setattr, fd, "", (unsigned)(AT_EMPTY_PATH | flags), &a, sizeof a) < 0)
		die("sandbox: mount_setattr");
}

/* The new root, mounted over the old one, which stays our root until the pivot. */
static int
new_root(void)
{
	const int conf = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int root;

	if (conf < 0 || syscall(SYS_fsconfig, conf, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
	    syscall(SYS_fsconfig, conf, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		die("sandbox: tmpfs");
	root = (int)syscall(SYS_fsmount, conf, FSMOUNT_CLOEXEC, 0);
	if (root < 0 ||
	    syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die("sandbox: new root");
	close(conf);
	return root;
}

/* A place for path below the new root: the directories to it, and at its end a directory or file as
 * fd is. */
static void
make_place(int root, const char *path, bool dir)
{
	char p[4096];
	int fd;

	if (path[0] != '/' || !path[1] || (size_t)snprintf(p, sizeof p, "%s", path + 1) >= sizeof p)
		die("sandbox: bad path %s", path);
	for (char *s = strchr(p, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdirat(root, p, 0755) < 0 && errno != EEXIST)
			die("sandbox: place for %s", path);
		*s = '/';
	}
	fd = dir ? mkdirat(root, p, 0755)
		 : openat(root, p, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0644);
	if (fd < 0 && errno != EEXIST)
		die("sandbox: place for %s", path);
	if (!dir && fd >= 0)
		close(fd);
}

static void
place(int root, int fd, const struct sandbox_path *p)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		die("sandbox: %s", p->path);
	make_place(root, p->path, S_ISDIR(st.st_mode));
	mount_flags(fd, AT_RECURSIVE,
	    (p->flags & SB_WRITE ? 0 : MOUNT_ATTR_RDONLY) |
		(S_ISCHR(st.st_mode) ? 0 : MOUNT_ATTR_NODEV));
	if (syscall(SYS_move_mount, fd, "", root, p->path + 1, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		die("sandbox: mounting %s", p->path);
}

/* The initial ramfs can not be pivoted away from: there the old root stays, covered and without a
 * name. */
static void
swap_root(int root)
{
	if (fchdir(root) < 0)
		die("sandbox: new root");
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (syscall(SYS_umount2, ".", MNT_DETACH) < 0)
			die("sandbox: old root");
	} else if (errno != EINVAL || chroot(".") < 0) {
		die("sandbox: pivot_root");
	}
	if (chdir("/") < 0)
		die("sandbox: new root");
	close(root);
}

static int landlock_abi(void);

void
sandbox_fs_private(struct sandbox_fs *fs, const struct sandbox *sb, bool by_hand)
{
	mode_t mask;
	int root;

	fs->abi = landlock_abi();
	if ((sb->peers && geteuid() != 0) || !leave_namespaces(fs, by_hand)) {
		take_paths(fs, sb, false);
		return;
	}
	take_paths(fs, sb, true);
	mask = umask(0);
	root = new_root();
	for (size_t i = 0; i < sb->npaths; i++)
		if (fs->path[i] >= 0)
			place(root, fs->path[i], &sb->paths[i]);
	umask(mask);
	mount_flags(root, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV);
	swap_root(root);
}

/* ---- Landlock: the numbers of linux/landlock.h, whose older versions lack some ---- */

#define LL_IOCTL (1u << 15) /* of devices */
#define LL_FILE                                                                                    \
	(1u << 1 | 1u << 2 | 1u << 14 | LL_IOCTL) /* what a file that is no directory can have */
#define LL_READ (1u << 2 | 1u << 3)
/* write, remove directories and files, make directories, files, sockets and links, refer, truncate
 */
#define LL_WRITE                                                                                   \
	(1u << 1 | 1u << 4 | 1u << 5 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 14)

struct ll_path {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

static int
landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
}

/* Every right that this version knows is taken away; binding and connecting TCP, foreign abstract
 * sockets and signals too. */
static int
ll_ruleset(int abi, uint64_t *handled)
{
	static const unsigned char rights[] = {0, 13, 14, 15, 15, 16};
	/* struct landlock_ruleset_attr: files, net, scopes; older versions know less of it. */
	const uint64_t attr[3] = {
	    (1u << rights[abi < 5 ? abi : 5]) - 1, abi >= 4 ? 3 : 0, abi >= 6 ? 3 : 0};
	const size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;

	*handled = attr[0];
	return (int)syscall(SYS_landlock_create_ruleset, attr, size, 0);
}

static uint64_t
ll_access(int fd, int flags)
{
	struct stat st;
	uint64_t access = 0;

	if (fstat(fd, &st) < 0)
		die("sandbox: fstat");
	if (flags & (SB_READ | SB_WRITE))
		access |= LL_READ;
	if (flags & SB_WRITE)
		access |= LL_WRITE;
	if (S_ISCHR(st.st_mode) && (flags & SB_WRITE))
		access |= LL_IOCTL;
	return S_ISDIR(st.st_mode) ? access : access & LL_FILE;
}

static void
ll_rules(const struct sandbox_fs *fs, const struct sandbox *sb)
{
	uint64_t handled;
	const int rules = ll_ruleset(fs->abi, &handled);

	if (rules < 0)
		die("sandbox: Landlock");
	for (size_t i = 0; i < sb->npaths; i++) {
		struct ll_path p = {.fd = fs->path[i]};
		p.access = p.fd >= 0 ? ll_access(p.fd, sb->paths[i].flags) & handled : 0;
		if (p.access && syscall(SYS_landlock_add_rule, rules, 1, &p, 0) < 0)
			die("sandbox: Landlock: %s", sb->paths[i].path);
	}
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		die("sandbox: Landlock");
	close(rules);
}

void
sandbox_fs_restrict(struct sandbox_fs *fs, const struct sandbox *sb)
{
	if (fs->abi > 0)
		ll_rules(fs, sb);
	else
		logit("sandbox: no Landlock in this kernel: going on without");
	for (size_t i = 0; i < sb->npaths; i++)
		if (fs->path[i] >= 0)
			close(fs->path[i]);
}

/* Before Linux 6.12 a ruleset takes care of files, or is none: it takes two rights away and gives
 * both back for the whole tree. Who is in a domain of its own traces none outside. */
static int
ll_nothing(void)
{
	static const uint64_t handled = 1u << 11 | 1u << 13; /* make block devices, refer */
	const int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
	struct ll_path p = {.access = handled, .fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};

	if (rules < 0 || p.fd < 0 || syscall(SYS_landlock_add_rule, rules, 1, &p, 0) < 0)
		return -1;
	close(p.fd);
	return rules;
}

void
sandbox_scope(void)
{
	static const uint64_t attr[3] = {0, 0, 2}; /* no right over files or net; signals */
	const int abi = landlock_abi();
	int rules;

	if (abi < 2)
		return;
	rules = abi < 6 ? ll_nothing()
			: (int)syscall(SYS_landlock_create_ruleset, attr, sizeof(attr), 0);
	if (rules < 0 || syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		die("sandbox: Landlock");
	close(rules);
}
