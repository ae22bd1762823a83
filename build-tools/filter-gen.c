/* SPDX-License-Identifier: ISC */
/*
 * filter-gen BACKEND X.filter > X.filter.h, when building. A filter file has one allowed system
 *call a line, with the arguments it must have if not any; lines for the same call are alternatives:
 *
 *	include base			lib/base.filter.inc, or first lib/base.BACKEND.filter.inc
 *	read
 *	socket arg0==AF_UNIX
 *	mmap arg2&PROT_EXEC==0		that bit not set
 *	prctl arg0==PR_SET_NAME arg2==0	both
 *
 * Values: decimal, 0x hexadecimal, a name from the table below, or several with | between them.
 * Arguments are compared as the kernel takes an int: by the low 32 bits. Everything else kills the
 *process, as do the calls of another architecture. A name that this architecture does not know is
 *an error, and so are more than MAX_CALLS calls: then the daemon does too much.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
typedef uint16_t domid_t; /* which the next headers lack */
typedef uint32_t grant_ref_t;
#include <xen/evtchn.h>
#include <xen/gntdev.h>

#define MAX_CALLS 30
#define ARGS 6
#define N(name)                                                                                    \
	{                                                                                          \
#name, (uint32_t)(name)                                                            \
	}

/* clang-format off */
static const struct {
	const char *name;
	uint32_t value;
} names[] = {
	N(AF_UNIX), N(AF_INET), N(AF_INET6), N(AF_NETLINK),
	N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_CLOEXEC), N(SOCK_NONBLOCK), N(SOL_SOCKET),
	N(SO_PEERCRED), N(SO_PEERGROUPS), N(SO_ERROR), N(SO_SNDBUF), N(SO_RCVBUF), N(SO_TYPE), N(SO_ACCEPTCONN),
	N(SHUT_RD), N(SHUT_WR), N(SHUT_RDWR),
	N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_NONE),
	N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_ANONYMOUS), N(MAP_FIXED),
	N(MADV_DONTNEED), N(MADV_FREE), N(MADV_DONTFORK),
	N(F_GETFD), N(F_SETFD), N(F_GETFL), N(F_SETFL), N(F_DUPFD), N(F_DUPFD_CLOEXEC), N(F_GETLK), N(F_SETLK), N(F_SETLKW),
	N(F_OFD_SETLK),
	N(O_RDONLY), N(O_WRONLY), N(O_RDWR), N(O_ACCMODE), N(O_CREAT), N(O_TRUNC), N(O_DIRECTORY), N(O_PATH), N(AT_FDCWD),
	N(AT_EMPTY_PATH),
	N(FIONREAD), N(FIONBIO), N(TCGETS), N(TIOCGWINSZ), N(TIOCSWINSZ),
	N(PR_SET_NAME), N(PR_SET_PDEATHSIG), N(PR_SET_DUMPABLE), N(PR_SET_NO_NEW_PRIVS),
	N(CLONE_VM), N(CLONE_VFORK), N(CLONE_NEWUSER), N(CLONE_NEWNS), N(SIGCHLD), N(SIGTERM), N(SIGKILL), N(SIGHUP),
	N(WNOHANG), N(S_IFMT),
	N(IOCTL_EVTCHN_NOTIFY), N(IOCTL_EVTCHN_BIND_INTERDOMAIN), N(IOCTL_GNTDEV_MAP_GRANT_REF),
	N(IOCTL_GNTDEV_SET_UNMAP_NOTIFY),
};
/* clang-format on */

struct gen {
	scmp_filter_ctx ctx;
	int calls[MAX_CALLS + 1];
	size_t ncalls;
	const char *backend, *file;
	int line;
};

static _Noreturn void
bad(const struct gen *g, const char *what, const char *arg)
{
	fprintf(stderr, "%s:%d: %s%s%s\n", g->file, g->line, what, arg ? ": " : "", arg ? arg : "");
	exit(100);
}

static uint32_t
one_value(const struct gen *g, const char *word)
{
	char *end;
	const unsigned long v = strtoul(word, &end, 0);

	if (*word >= '0' && *word <= '9' && !*end && v <= UINT32_MAX)
		return (uint32_t)v;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(word, names[i].name) == 0)
			return names[i].value;
	bad(g, "unknown value", word);
}

static uint32_t
value(const struct gen *g, char *text)
{
	uint32_t v = 0;
	char *save, *word = strtok_r(text, "|", &save);

	if (!word)
		bad(g, "value expected", NULL);
	for (; word; word = strtok_r(NULL, "|", &save))
		v |= one_value(g, word);
	return v;
}

/* argN==VALUE or argN&MASK==VALUE */
static struct scmp_arg_cmp
condition(const struct gen *g, char *word)
{
	char *eq = strstr(word, "==");
	uint32_t mask = UINT32_MAX;

	if (strncmp(word, "arg", 3) != 0 || word[3] < '0' || word[3] >= '0' + ARGS || !eq)
		bad(g, "argN==VALUE or argN&MASK==VALUE expected", word);
	*eq = '\0';
	if (word[4] == '&')
		mask = value(g, word + 5);
	else if (word[4])
		bad(g, "argN==VALUE or argN&MASK==VALUE expected", word);
	return (struct scmp_arg_cmp){.arg = (unsigned)(word[3] - '0'),
	    .op = SCMP_CMP_MASKED_EQ,
	    .datum_a = mask,
	    .datum_b = value(g, eq + 2)};
}

static void
count(struct gen *g, int call)
{
	for (size_t i = 0; i < g->ncalls; i++)
		if (g->calls[i] == call)
			return;
	if (g->ncalls == MAX_CALLS)
		bad(g, "too many system calls", NULL);
	g->calls[g->ncalls++] = call;
}

static void
allow(struct gen *g, const char *name, char **save)
{
	const int call = seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, name);
	struct scmp_arg_cmp args[ARGS];
	unsigned n = 0;
	int rc;

	if (call < 0)
		bad(g, "no such system call on this architecture", name);
	for (char *w; (w = strtok_r(NULL, " \t", save)); n++) {
		if (n == ARGS)
			bad(g, "too many conditions", w);
		args[n] = condition(g, w);
	}
	rc = seccomp_rule_add_array(g->ctx, SCMP_ACT_ALLOW, call, n, args);
	if (rc < 0 && rc != -EEXIST)
		bad(g, strerror(-rc), name);
	count(g, call);
}

static void read_filter(struct gen *g, const char *path, int depth);

static void
include(struct gen *g, const char *name, int depth)
{
	const char *const file = g->file;
	const int line = g->line;
	char path[256];

	if (!name || depth == 3)
		bad(g, "bad include", name);
	snprintf(path, sizeof path, "lib/%s.%s.filter.inc", name, g->backend);
	if (access(path, F_OK) < 0)
		snprintf(path, sizeof path, "lib/%s.filter.inc", name);
	read_filter(g, path, depth + 1);
	g->file = file;
	g->line = line;
}

static void
read_filter(struct gen *g, const char *path, int depth)
{
	FILE *f = fopen(path, "r");
	char line[512], *save;

	g->file = path;
	g->line = 0;
	if (!f)
		bad(g, strerror(errno), NULL);
	while (fgets(line, sizeof line, f)) {
		g->line++;
		if (!strchr(line, '\n'))
			bad(g, "line too long or without an end", NULL);
		line[strcspn(line, "#\n")] = '\0';
		const char *word = strtok_r(line, " \t", &save);
		if (word && strcmp(word, "include") == 0)
			include(g, strtok_r(NULL, " \t", &save), depth);
		else if (word)
			allow(g, word, &save);
	}
	fclose(f);
}

static void
print_code(const struct gen *g)
{
	FILE *tmp = tmpfile();
	struct sock_filter f;
	size_t n = 0;

	if (!tmp || seccomp_export_bpf(g->ctx, fileno(tmp)) < 0 || fseek(tmp, 0, SEEK_SET) != 0)
		bad(g, "cannot make the code", NULL);
	for (; fread(&f, sizeof f, 1, tmp) == 1; n++)
		printf("\t{0x%02x, %u, %u, 0x%08x},\n", f.code, f.jt, f.jf, f.k);
	fclose(tmp);
}

static void
print_header(const struct gen *g, const char *path)
{
	const char *base = strrchr(path, '/');
	char name[64];

	snprintf(name, sizeof name, "%s", base ? base + 1 : path);
	name[strcspn(name, ".")] = '\0';
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	printf("/* Made from %s by filter-gen. */\n#include <linux/filter.h>\n", path);
	printf("static const struct sock_filter %s_filter[] = {\n", name);
	print_code(g);
	printf("};\nenum { %s_filter_len = sizeof %s_filter / sizeof *%s_filter, %s_filter_calls = "
	       "%zu };\n",
	    name, name, name, name, g->ncalls);
}

int
main(int argc, char **argv)
{
	struct gen g = {.ctx = seccomp_init(SCMP_ACT_KILL_PROCESS)};

	if (argc != 3) {
		fprintf(stderr, "usage: filter-gen BACKEND X.filter > X.filter.h\n");
		return 100;
	}
	g.backend = argv[1];
	if (!g.ctx || seccomp_attr_set(g.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
	    seccomp_attr_set(g.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		return 111;
	read_filter(&g, argv[2], 0);
	print_header(&g, argv[2]);
	seccomp_release(g.ctx);
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 111;
}
