/* SPDX-License-Identifier: ISC */
/*
 * inject PID WHAT [ARGUMENT]: makes a live process, which somebody is supposed to have taken over,
 * execute a system call, and prints what came of it: "refused ERRNO", "refused SIGSYS" (the process
 * is gone then) or "done". By ptrace, as root; x86-64. Exit: 0 however it ended, 100 usage, 111 the
 * tool itself failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "inject knows x86-64 only"
#endif

#define ROOM 512 /* bytes of the victim's stack that are borrowed */

struct victim {
	pid_t pid;
	int mem;
	struct user_regs_struct saved;
	uint64_t gate; /* a syscall instruction */
	uint64_t room;
	uint8_t kept[ROOM];
};

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(111);
}

static _Noreturn void
refused_by_death(int status)
{
	if (WIFSIGNALED(status))
		printf("refused SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else
		printf("refused, it exited\n");
	exit(0);
}

/* Until the next stop. The process can die of the call instead. */
static void
next_stop(struct victim *v)
{
	int status;

	if (waitpid(v->pid, &status, __WALL) < 0)
		fail("wait");
	if (!WIFSTOPPED(status))
		refused_by_death(status);
}

static bool
is_gate(const struct victim *v, uint64_t at)
{
	uint8_t code[2];
	return pread(v->mem, code, 2, (off_t)at) == 2 && code[0] == 0x0f && code[1] == 0x05;
}

/* It mostly stands just behind one. Else any in its code will do. */
static uint64_t
find_gate(const struct victim *v)
{
	char name[64], line[512];
	unsigned long from, to;
	FILE *f;

	if (is_gate(v, v->saved.rip - 2))
		return v->saved.rip - 2;
	snprintf(name, sizeof name, "/proc/%d/maps", v->pid);
	f = fopen(name, "re");
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx r-x", &from, &to) != 2 || !strstr(line, "r-x"))
			continue;
		for (; from < to; from++)
			if (is_gate(v, from)) {
				fclose(f);
				return from;
			}
	}
	errno = ENOEXEC;
	fail("no system call in its code");
}

static void
seize(struct victim *v, pid_t pid)
{
	char name[64];

	v->pid = pid;
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0)
		fail("attach");
	next_stop(v);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC));
	snprintf(name, sizeof name, "/proc/%d/mem", pid);
	v->mem = open(name, O_RDWR | O_CLOEXEC);
	if (v->mem < 0 || ptrace(PTRACE_GETREGS, pid, NULL, &v->saved) < 0)
		fail("look inside");
	v->room = v->saved.rsp & ~(uint64_t)15;
	if (pread(v->mem, v->kept, ROOM, (off_t)v->room) != ROOM)
		fail("read its stack");
	v->gate = find_gate(v);
}

/* As if nothing had been: an interrupted system call is made again. */
static void
let_go(struct victim *v)
{
	struct user_regs_struct r = v->saved;
	const int64_t result = (int64_t)r.rax;

	if ((int64_t)r.orig_rax >= 0 && result <= -512 && result >= -516) {
		r.rip -= 2;
		r.rax = r.orig_rax;
	}
	r.orig_rax = (unsigned long long)-1;
	if (pwrite(v->mem, v->kept, ROOM, (off_t)v->room) != ROOM ||
	    ptrace(PTRACE_SETREGS, v->pid, NULL, &r) < 0 ||
	    ptrace(PTRACE_DETACH, v->pid, NULL, NULL) < 0)
		fail("let go");
}

static long
call(struct victim *v, long nr, long a, long b, long c, long d)
{
	struct user_regs_struct r = v->saved;

	r.rip = v->gate;
	r.rax = (unsigned long long)nr;
	r.orig_rax = (unsigned long long)-1;
	r.rdi = (unsigned long long)a;
	r.rsi = (unsigned long long)b;
	r.rdx = (unsigned long long)c;
	r.r10 = (unsigned long long)d;
	if (ptrace(PTRACE_SETREGS, v->pid, NULL, &r) < 0)
		fail("set registers");
	/* One step: a stop at the end of the call would come before the filter's SIGSYS. */
	if (ptrace(PTRACE_SINGLESTEP, v->pid, NULL, NULL) < 0)
		fail("go on");
	next_stop(v);
	if (ptrace(PTRACE_GETREGS, v->pid, NULL, &r) < 0)
		fail("get registers");
	return (long)r.rax;
}

/* Lends it bytes; returns where they are for it. */
static long
lend(struct victim *v, const void *p, size_t n)
{
	if (n > ROOM || pwrite(v->mem, p, n, (off_t)v->room) != (ssize_t)n)
		fail("write its stack");
	return (long)v->room;
}

static long
do_open(struct victim *v, const char *arg)
{
	return call(v, SYS_openat, AT_FDCWD, lend(v, arg, strlen(arg) + 1), O_RDONLY, 0);
}

static long
do_create(struct victim *v, const char *arg)
{
	return call(
	    v, SYS_openat, AT_FDCWD, lend(v, arg, strlen(arg) + 1), O_WRONLY | O_CREAT, 0600);
}

/* FD:PATH, by a directory that it already has open. */
static long
do_openat(struct victim *v, const char *arg)
{
	const char *path = strchr(arg, ':');

	if (!path)
		return -EINVAL;
	return call(v, SYS_openat, atoi(arg), lend(v, path + 1, strlen(path)), O_RDONLY, 0);
}

static long
do_socket_inet(struct victim *v, const char *arg)
{
	return call(v, SYS_socket, AF_INET, SOCK_STREAM, 0, 0);
}

static long
connect_to(struct victim *v, int family, const void *addr, size_t n)
{
	const long fd = call(v, SYS_socket, family, SOCK_STREAM, 0, 0);
	return fd < 0 ? fd : call(v, SYS_connect, fd, lend(v, addr, n), (long)n, 0);
}

/* PATH, or @NAME in the abstract name space. */
static long
do_connect(struct victim *v, const char *arg)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const size_t n = strlen(arg);

	if (n >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, arg, n);
	if (*arg == '@')
		a.sun_path[0] = '\0';
	return connect_to(v, AF_UNIX, &a, offsetof(struct sockaddr_un, sun_path) + n);
}

static long
do_tcp(struct victim *v, const char *arg)
{
	const struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(arg)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return connect_to(v, AF_INET, &a, sizeof a);
}

static long
do_exec(struct victim *v, const char *arg)
{
	const long r = call(v, SYS_execve, lend(v, arg, strlen(arg) + 1), 0, 0, 0);

	if (r < 0 && r != -ENOSYS)
		return r;
	printf("done\n"); /* there is nobody left to go back to */
	kill(v->pid, SIGKILL);
	exit(0);
}

static long
do_ptrace(struct victim *v, const char *arg)
{
	return call(v, SYS_ptrace, PTRACE_SEIZE, atoi(arg), 0, 0);
}

static long
do_kill(struct victim *v, const char *arg)
{
	return call(v, SYS_kill, atoi(arg), 0, 0, 0);
}

/* To do with memory what only loaders do. */
static long
do_mprotect_exec(struct victim *v, const char *arg)
{
	return call(v, SYS_mprotect, (long)(v->room & ~(uint64_t)4095), 4096, 7, 0);
}

static const struct {
	const char *name;
	bool takes;
	long (*run)(struct victim *, const char *);
} deeds[] = {
    {"open", true, do_open},
    {"create", true, do_create},
    {"openat", true, do_openat},
    {"socket-inet", false, do_socket_inet},
    {"connect", true, do_connect},
    {"tcp", true, do_tcp},
    {"exec", true, do_exec},
    {"ptrace", true, do_ptrace},
    {"kill", true, do_kill},
    {"mprotect-exec", false, do_mprotect_exec},
};

int
main(int argc, char **argv)
{
	struct victim v = {0};

	for (size_t i = 0; argc >= 3 && i < sizeof deeds / sizeof *deeds; i++) {
		if (strcmp(argv[2], deeds[i].name) != 0 || argc != 3 + deeds[i].takes)
			continue;
		seize(&v, (pid_t)atoi(argv[1]));
		const long r = deeds[i].run(&v, argv[3]);
		if (r < 0)
			printf("refused %s\n", strerrorname_np((int)-r));
		else
			printf("done\n");
		let_go(&v);
		return 0;
	}
	fprintf(stderr, "usage: inject PID open|create|connect|exec PATH | openat FD:PATH | "
			"connect @NAME | tcp PORT |\n"
			"       ptrace PID | kill PID | socket-inet | mprotect-exec\n");
	return 100;
}
