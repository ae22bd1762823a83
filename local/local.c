/* SPDX-License-Identifier: ISC */
/*
 * The local backend: a domain is a process (vm-init) in namespaces of its own, its root mapped to a
 * uid range of the qube's. It isolates no better than a container.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local.h"
#include "log.h"
#include "storage/storage-tree.h"

#define DOMID_FILE RUN_VM "/.domid"
#define GUEST_NPROC 8192

void
domain_warn(void)
{
	logit("the local backend: qubes are Linux namespaces, which isolate no better than a "
	      "container");
}

static char *
vm_path(const struct domain *d, const char *leaf)
{
	static char path[128];

	snprintf(
	    path, sizeof path, RUN_VM "/%s%s%s", d->state->name, leaf ? "/" : "", leaf ? leaf : "");
	return path;
}

/* Counts up from 1 for as long as the machine runs; two vmstarts never get the same. */
static const char *
next_domid(uint32_t *domid)
{
	const int fd = open(DOMID_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char text[16] = "";
	ssize_t n = -1;
	int len;

	if (fd < 0)
		return DOMID_FILE;
	if (fcntl(fd, F_SETLKW, &lock) == 0)
		n = pread(fd, text, sizeof text - 1, 0);
	*domid = (uint32_t)strtoul(text, NULL, 10) + 1;
	len = snprintf(text, sizeof text, "%010u", *domid);
	if (n >= 0 && pwrite(fd, text, (size_t)len, 0) != len)
		n = -1;
	close(fd);
	return n < 0 ? DOMID_FILE : NULL;
}

/* Non-blocking for us; the guest has its own open file, which waits. */
static int
open_console(const struct domain *d, int flags)
{
	return open(vm_path(d, "console"), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags);
}

/* Both ways, so that what the guest has said stays there until it is asked for. */
static bool
open_fifos(struct domain *d)
{
	d->console_fd = open_console(d, O_NONBLOCK);
	d->word_fd = open(vm_path(d, "end"), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return d->console_fd >= 0 && d->word_fd >= 0;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

const char *
domain_prepare(struct domain *d)
{
	const uid_t root = guest_uid(d, 0);
	static char dir[64];
	const char *e;

	snprintf(dir, sizeof dir, RUN_LOCAL "/%s", d->state->name);
	if ((e = next_domid(&d->state->domid)) != NULL)
		return e;
	if (mkdir(vm_path(d, NULL), 0700) < 0 || mkfifo(vm_path(d, "console"), 0600) < 0 ||
	    chown(vm_path(d, "console"), root, root) < 0 || mkfifo(vm_path(d, "end"), 0600) < 0)
		return RUN_VM;
	if (!open_fifos(d))
		return "console";
	if (mkdir(dir, 0700) < 0 || chown(dir, root, root) < 0 || chmod(dir, 01777) < 0)
		return dir;
	return NULL;
}

static bool
born(pid_t pid, uint64_t *out)
{
	char path[32], text[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The name in field 2 may hold anything: count from its last parenthesis. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return false;
	*out = strtoull(p + 1, NULL, 10);
	return true;
}

static bool
loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return false;
	ok = ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
	close(fd);
	return ok;
}

/* Process 1 of the guest, from its own namespaces on. */
static _Noreturn void
guest_main(const struct domain *d, int gate)
{
	const struct rlimit procs = {GUEST_NPROC, GUEST_NPROC};
	char domain[32], qube[64], *const argv[] = {"vm-init", NULL};
	char *const envp[] = {domain, qube,
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	    "VCHAN_SOCKET_DIR=/run/vchan", NULL};
	const char *e = NULL;
	sigset_t none;
	char c;

	if (read(gate, &c, 1) != 1) /* until the uid map is written */
		_exit(END_FAILURE);
	if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0)
		e = "uid 0";
	/* the keys of whoever started us stay outside; a kernel without keys is fine */
	if (!e && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		e = "keyring";
	if (!e)
		e = root_enter(d);
	if (!e && (sethostname(d->state->name, strlen(d->state->name)) < 0 || !loopback_up()))
		e = "host name, lo";
	if (e)
		die("the guest's %s", e);
	(void)setrlimit(RLIMIT_NPROC, &procs);
	snprintf(domain, sizeof domain, "VCHAN_DOMAIN=%u", d->state->domid);
	snprintf(qube, sizeof qube, "QUBE=%s", d->state->name);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	execve(LIBDIR "/vm-init", argv, envp);
	die("%s", LIBDIR "/vm-init");
}

/* Until it executes something. */
static bool
hold(int fd, int as)
{
	close(as);
	return fd < 0 || dup3(fd, as, O_CLOEXEC) == as;
}

/*
 * fds 0, 1, 2 and 3 as the guest gets them; nothing else of ours goes in but *keep, and until its
 * tree stands the volumes: ROOT_FD and PRIVATE_FD, closed where there is none.
 */
static bool
guest_fds(const struct domain *d, int *keep)
{
	const int root = fcntl(d->disks.disk[VOL_ROOT].fd, F_DUPFD, 14);
	const int private = fcntl(d->disks.disk[VOL_PRIVATE].fd, F_DUPFD, 14);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC), con = open_console(d, 0);
	const int end = open(vm_path(d, "end"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	const int high = fcntl(*keep, F_DUPFD, 10), con2 = fcntl(con, F_DUPFD, 11);
	const int end2 = fcntl(end, F_DUPFD, 12), null2 = fcntl(null, F_DUPFD, 13);

	if (null2 < 0 || con2 < 0 || end2 < 0 || high < 0)
		return false;
	*keep = 4;
	return dup2(null2, 0) == 0 && dup2(con2, 1) == 1 && dup2(con2, 2) == 2 &&
	       dup2(end2, GUEST_END_FD) == GUEST_END_FD && dup2(high, 4) == 4 &&
	       hold(root, ROOT_FD) && hold(private, PRIVATE_FD) &&
	       syscall(SYS_close_range, PRIVATE_FD + 1, ~0u, 0) == 0;
}

/*
 * What a user namespace's inhabitants use up (watches, namespaces, processes) is counted for its
 * maker too: not root, or a qube could leave Dom0 without. false: errno.
 */
static bool
act_as(uid_t uid)
{
	/* a change of uid makes /proc/PID root's */
	return seteuid(uid) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

struct born_msg {
	pid_t pid;
	int err;
	char what[120];
};

/*
 * The builder: root until the tree stands, then it makes process 1 as the keeper's child
 * (CLONE_PARENT), and is gone. *out: fd 4, where it reports.
 */
static _Noreturn void
builder(const struct domain *d, int out)
{
	struct clone_args ca = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					 CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
					 CLONE_PARENT};
	struct born_msg m = {0};
	int gate[2] = {-1, -1};
	const char *e = NULL;
	long pid = -1;

	signal(SIGPIPE, SIG_DFL);
	if (!guest_fds(d, &out) || fcntl(out, F_SETFD, FD_CLOEXEC) < 0)
		_exit(END_FAILURE);
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || (e = root_build(d)) != NULL ||
	    pipe2(gate, O_CLOEXEC) < 0) {
		m.err = errno;
		snprintf(m.what, sizeof m.what, "%s", e ? e : "pipe");
	} else if (act_as(guest_uid(d, 0)) && (pid = syscall(SYS_clone3, &ca, sizeof ca)) == 0) {
		close(gate[1]);
		close(out);
		guest_main(d, gate[0]);
	} else {
		char map[64];

		m.pid = (pid_t)pid;
		snprintf(map, sizeof map, "0 %u %u\n", guest_uid(d, 0), LOCAL_UID_RANGE);
		if (pid < 0 || !act_as(0) || kill(m.pid, SIGSTOP) < 0 ||
		    !write_map(m.pid, "uid_map", map) || !write_map(m.pid, "gid_map", map) ||
		    write(gate[1], "", 1) != 1) {
			m.err = errno;
			snprintf(m.what, sizeof m.what, "namespaces");
		}
	}
	_exit(write(out, &m, sizeof m) == (ssize_t)sizeof m ? 0 : END_FAILURE);
}

static bool
watch_init(struct domain *d)
{
	d->end_fd = (int)syscall(SYS_pidfd_open, (pid_t)d->state->init_pid, 0);
	return d->end_fd >= 0;
}

const char *
domain_build(struct domain *d)
{
	static struct born_msg m;
	int p[2];
	pid_t pid;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC) < 0)
		return "pipe";
	pid = fork();
	if (pid == 0)
		builder(d, p[1]);
	close(p[1]);
	n = pid < 0 ? -1 : read(p[0], &m, sizeof m);
	close(p[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (n != (ssize_t)sizeof m) {
		errno = ECHILD;
		return "the builder ended early";
	}
	d->state->init_pid = m.pid > 0 ? (uint64_t)m.pid : 0;
	if (m.err == 0 && watch_init(d) && born(m.pid, &d->state->init_born))
		return NULL;
	if (m.pid > 0)
		kill(m.pid, SIGKILL);
	errno = m.err ? m.err : errno;
	m.what[sizeof m.what - 1] = '\0';
	return m.what[0] ? m.what : "process 1";
}

bool
domain_adopt(struct domain *d)
{
	uint64_t when;

	if (d->state->init_pid < 2 || !watch_init(d))
		return false;
	/* The pidfd is open, so the number cannot pass to another process from here on. */
	if (born((pid_t)d->state->init_pid, &when) && when == d->state->init_born) {
		if (open_fifos(d))
			return true;
	}
	close_fd(&d->console_fd);
	close_fd(&d->word_fd);
	close_fd(&d->end_fd);
	return false;
}

/* It was stopped before its first step (builder). */
const char *
domain_start(struct domain *d)
{
	return syscall(SYS_pidfd_send_signal, d->end_fd, SIGCONT, NULL, 0) < 0 ? "process 1" : NULL;
}

uint64_t
domain_stamp(struct domain *d)
{
	(void)d;
	return 0;
}

bool
domain_held(struct domain *d)
{
	(void)d;
	return true;
}

bool
domain_gone(struct domain *d)
{
	(void)d;
	return true; /* a pidfd says nothing else */
}

bool
domain_console(struct domain *d, struct console_end *out)
{
	*out = (struct console_end){.fd = d->console_fd, .mem = -1};
	return true;
}

static void
tell(struct domain *d, int sig)
{
	if (d->end_fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, d->end_fd, sig, NULL, 0);
}

void
domain_shutdown(struct domain *d)
{
	tell(d, SIGTERM);
}

void
domain_destroy(struct domain *d)
{
	tell(d, SIGKILL);
}

/* The guest's last word, for who was not its parent: "0" or "10", nothing else counts. */
static int
last_word(const struct domain *d)
{
	char text[4] = "";
	const ssize_t n = read(d->word_fd, text, sizeof text - 1);

	if (n == 2 && strcmp(text, "10") == 0)
		return END_REBOOT;
	return n == 1 && text[0] == '0' ? END_POWEROFF : END_CRASH;
}

int
domain_end(struct domain *d)
{
	siginfo_t si = {0};

	if (waitid(P_PIDFD, (id_t)d->end_fd, &si, WEXITED) < 0)
		return last_word(d); /* adopted: not our child */
	if (si.si_code == CLD_EXITED)
		return si.si_status == END_POWEROFF || si.si_status == END_REBOOT ? si.si_status
										  : END_CRASH;
	/* reboot(2) in a pid namespace: the kernel ends process 1 by these. */
	if (si.si_status == SIGHUP)
		return END_REBOOT;
	return si.si_status == SIGINT ? END_POWEROFF : END_CRASH;
}

void
domain_cleanup(struct domain *d)
{
	char dir[64];

	close_fd(&d->end_fd);
	close_fd(&d->console_fd);
	close_fd(&d->word_fd);
	snprintf(dir, sizeof dir, RUN_LOCAL "/%s", d->state->name);
	(void)tree_remove(AT_FDCWD, dir);
	(void)tree_remove(AT_FDCWD, vm_path(d, NULL));
}
