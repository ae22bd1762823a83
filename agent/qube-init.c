/* SPDX-License-Identifier: ISC */
/*
 * qube-init: process 1 of a minimal qube on Xen. Mounts, loads what its devices need, makes /rw of
 * the private volume, starts qdbd, the agent and the console's shell, starts them again when they
 * end, reaps. Dom0's wish to shut down (control/shutdown) is answered by the kernel, which runs
 * /sbin/poweroff or, to reboot, sends SIGINT: so what comes here are busybox's signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"
#include "names.h"
#include "programs.h"
#include "qube-root.h"
#include "xen/store.h"

#define MODULES "/etc/modules"
#define ROOT_DISK "/dev/xvda"
#define ROOT_NODE "device/vbd/51712"
#define PRIVATE "/dev/xvdb"
#define PRIVATE_NODE "device/vbd/51728" /* its number: major 202, minor 16 */
#define PRIVATE_MS 30000

static const struct {
	const char *what, *where, *options;
	unsigned long flags;
} mounts[] = {
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC},
};

static const struct {
	const char *target, *path;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* What a qube keeps; there from its first start on. */
static const struct {
	const char *path;
	mode_t mode;
	uid_t uid;
} kept[] = {
    {"/rw/home", 0755, 0},
    {"/rw/home/user", 0700, 1000},
    {"/rw/usrlocal", 0755, 0},
    {"/rw/usrlocal/etc", 0755, 0},
    {"/rw/usrlocal/etc/qubes-rpc", 0755, 1000},
};

/* Opening a channel takes these. Who is what in a qube is the qube's own affair. */
static const char *const xen_devices[] = {
    "/dev/xen/xenbus", "/dev/xen/gntdev", "/dev/xen/gntalloc", "/dev/xen/evtchn"};

static struct program programs[] = {
    PROGRAMS_OF_EACH_QUBE,
    {.tty = "/dev/hvc0", .argv = {"/bin/sh", "-l", NULL}},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

static void
say(const char *what, const char *why)
{
	dprintf(2, "qube-init: %s%s%s\n", what, why ? ": " : "", why ? why : "");
}

static void
try(bool ok, const char *what)
{
	if (!ok)
		say(what, strerror(errno));
}

static struct timespec
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts;
}

static void
file_systems(void)
{
	for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
		(void)mkdir(mounts[i].where, 0755);
		try(mount(mounts[i].what, mounts[i].where, mounts[i].what, mounts[i].flags,
			mounts[i].options) == 0,
		    mounts[i].where);
	}
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		try(symlink(links[i].target, links[i].path) == 0, links[i].path);
	try(mkdir("/dev/shm", 01777) == 0 && chmod("/dev/shm", 01777) == 0, "/dev/shm");
	try(mkdir("/run/qubes", 0755) == 0 || errno == EEXIST, "/run/qubes");
}

static bool
node(struct store *s, const char *path)
{
	char value[8];

	return s && (store_read(s, 0, path, value, sizeof value) >= 0 || errno == E2BIG);
}

/* Each line: a path, the node in this qube's directory that says that somebody needs it, or -, and
 * options. */
static void
load_modules(struct store *s)
{
	char line[256];
	FILE *f = fopen(MODULES, "re");

	while (f && fgets(line, sizeof line, f)) {
		char *save;
		const char *path = strtok_r(line, " \n", &save);
		const char *need = strtok_r(NULL, " \n", &save);
		const char *options = strtok_r(NULL, "\n", &save);
		const bool later = need && *need == '~';
		int fd;

		if (!path || !need || (*need != '-' && !node(s, need + later)))
			continue;
		/* The kernel waits for the other side, up to five minutes. */
		if (later && fork() != 0)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		try(fd >= 0 && syscall(SYS_finit_module, fd, options ? options : "", 0) == 0, path);
		close(fd);
		if (later)
			_exit(0);
	}
	if (f)
		fclose(f);
}

static void
be_named(struct store *s)
{
	char name[NAME_LEN_MAX + 1] = "qube";
	FILE *f;

	try(s && store_read(s, 0, "name", name, sizeof name) > 0, "name");
	try(sethostname(name, strlen(name)) == 0, "hostname");
	if ((f = fopen("/etc/hostname", "we")) != NULL) {
		fprintf(f, "%s\n", name);
		fclose(f);
	}
	if ((f = fopen("/etc/hosts", "we")) != NULL) {
		fprintf(f, "127.0.0.1 localhost %s\n::1 localhost\n", name);
		fclose(f);
	}
}

static void
loopback(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	try(s >= 0 && ioctl(s, SIOCSIFFLAGS, &r) == 0, "lo");
	close(s);
}

/* The kernel makes it when Dom0's side has answered. */
static bool
disk_there(const char *path)
{
	const uint64_t until = now_ms() + PRIVATE_MS;
	const int w = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char events[1024];
	bool there;

	try(w >= 0 && inotify_add_watch(w, "/dev", IN_CREATE) >= 0, "inotify");
	there = access(path, F_OK) == 0;
	while (!there && now_ms() < until) {
		struct pollfd p = {.fd = w, .events = POLLIN};

		(void)poll(&p, 1, (int)(until - now_ms()));
		while (read(w, events, sizeof events) > 0)
			;
		there = access(path, F_OK) == 0;
	}
	close(w);
	return there;
}

static bool
blank(const char *path)
{
	static char block[65536];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, block, sizeof block);

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (block[i])
			return false;
	return n > 0;
}

static bool
run(char *const argv[])
{
	const pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

/* Without one, or with one that nobody can read, the root is the initramfs. */
static void
own_root(struct store *s)
{
	const char *e;

	if (!node(s, ROOT_NODE))
		return;
	if (!disk_there(ROOT_DISK))
		say(ROOT_DISK, "it does not come");
	else if ((e = root_of_disk(ROOT_DISK)) != NULL)
		say(e, strerror(errno));
}

/* Without a private volume, or with one that nobody can read, all is thrown away. */
static void
make_rw(struct store *s)
{
	char *const mkfs[] = {LIBDIR "/mkfs-private", PRIVATE, NULL};

	if (node(s, PRIVATE_NODE)) {
		if (!disk_there(PRIVATE))
			say(PRIVATE, "it does not come");
		else if (blank(PRIVATE) && !run(mkfs))
			say(PRIVATE, "no file system can be made");
		try(mount(PRIVATE, "/rw", "ext4", MS_NOSUID | MS_NODEV, NULL) == 0, "/rw");
	}
	own_root(s);
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (mkdir(kept[i].path, kept[i].mode) == 0)
			try(chown(kept[i].path, kept[i].uid, kept[i].uid) == 0, kept[i].path);
	try(mount("/rw/home/user", "/home/user", NULL, MS_BIND, NULL) == 0, "/home/user");
}

static _Noreturn void
end(const sigset_t *set, bool again)
{
	say(again ? "reboot" : "power off", NULL);
	programs_end(programs, PROGRAMS, set);
	sync();
	umount2("/home/user", MNT_DETACH);
	(void)umount2("/rw", 0);
	(void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	reboot(again ? RB_AUTOBOOT : RB_POWER_OFF);
	_exit(0);
}

int
main(int argc, char **argv)
{
	static const int wanted[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, 0};
	struct store *s;
	sigset_t set;
	int sig;

	/* It ends by killing all that it can see: elsewhere that would be the whole machine. */
	if (getpid() != 1) {
		puts("usage: qube-init, as process 1 of a qube");
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 100;
	}
	programs_signals(&set, wanted);
	umask(022);
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	file_systems();
	reboot(RB_DISABLE_CAD);
	s = store_open();
	try(s != NULL, "xenstore");
	load_modules(s);
	for (size_t i = 0; i < sizeof xen_devices / sizeof *xen_devices; i++)
		try(chmod(xen_devices[i], 0666) == 0, xen_devices[i]);
	loopback();
	make_rw(s);
	be_named(s);
	store_close(s);
	dprintf(
	    2, "qube-init: up after %ld.%02ld s\n", (long)now().tv_sec, now().tv_nsec / 10000000);
	sig = programs_run(programs, PROGRAMS, &set);
	end(&set, sig == SIGINT || sig == SIGTERM);
}
