/* SPDX-License-Identifier: ISC */
/* Managed (--session) or by hand (spec/qrexec 3 "Command line"): what is taken before the sandbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ids.h"
#include "paths.h"
#include "qrexecd.filter.h"
#include "qrexecd.h"
#include "sandbox.h"
#include "sock.h"
#include "state.h"
#include "vmconf.h"

#define NOFILE 1280	    /* clients, peers, routes with a helper each, calls of Dom0 */
#define MEMORY (128u << 20) /* some 30 MiB when all places are taken and full */

struct options {
	const char *session, *dir, *program, *uuid;
	bool direct, quiet;
};

static const char help[] =
    "usage: qrexecd --session NAME [-n FD]\n"
    "       qrexecd --uuid=UUID [-Dqh] [--socket-dir=DIR] [-p PROGRAM] DOMID NAME [DEFAULT_USER]\n"
    "  -u, --uuid=UUID            of the qube\n"
    "      --socket-dir=DIR       where qrexec.DOMID is made (" RUN_DIR ")\n"
    "  -p, --policy-program=PROG  decides each call (else policyd does)\n"
    "  -D, --direct               stay in the foreground, log to standard error\n"
    "  -q, --quiet                no dots while waiting\n"
    "      --rate=N --burst=N     calls a second, at once (20, 128; 0: any)\n"
    "      --session=NAME         as startd runs it\n"
    "  -n FD                      a newline there when ready\n";

static _Noreturn void
usage(FILE *to, int code)
{
	fputs(help, to);
	exit(code);
}

static uint32_t
number(const char *s, uint32_t max, const char *what)
{
	uint32_t n;

	if (parse_u32(s, max, &n))
		return n;
	fprintf(stderr, "qrexecd: %s: not a number up to %u\n", what, max);
	exit(1);
}

static void
parse(struct qd *q, struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"uuid", required_argument, NULL, 'u'},
	    {"socket-dir", required_argument, NULL, 'd'},
	    {"policy-program", required_argument, NULL, 'p'}, {"direct", no_argument, NULL, 'D'},
	    {"quiet", no_argument, NULL, 'q'}, {"session", required_argument, NULL, 's'},
	    {"rate", required_argument, NULL, 'r'}, {"burst", required_argument, NULL, 'b'},
	    {"help", no_argument, NULL, 'H'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "u:p:Dqhn:", longs, NULL)) != -1) {
		switch (c) {
		case 'u':
			o->uuid = optarg;
			break;
		case 'd':
			o->dir = optarg;
			break;
		case 'p':
			o->program = optarg;
			break;
		case 'D':
			o->direct = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 's':
			o->session = optarg;
			break;
		case 'r':
			q->routes.rate = number(optarg, 100000, "--rate");
			break;
		case 'b':
			q->routes.burst = number(optarg, 100000, "--burst");
			break;
		case 'n':
			q->notify = (int)number(optarg, 65535, "-n");
			break;
		case 'H':
			usage(stdout, 0);
		default:
			usage(stderr, 1);
		}
	}
}

/* --- managed --- */

/* startd has made q/NAME; whose it is and who may enter matters too much to rely on that. */
static void
enter_own_dir(const struct qd *q, uid_t uid)
{
	int dir = open(RUN_Q, O_RDONLY | O_DIRECTORY | O_CLOEXEC), own;

	if (dir < 0 || (mkdirat(dir, q->name, 0710) < 0 && errno != EEXIST))
		die("cannot make " RUN_Q "/%s", q->name);
	own = openat(dir, q->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0 || fchown(own, uid, GID_DAEMONS) < 0 || fchmod(own, 0711) < 0 ||
	    fchdir(own) < 0)
		die("cannot take " RUN_Q "/%s", q->name);
	close(own);
	close(dir);
}

/* What a person has made and named is his to end, also with auto_cleanup. */
static bool
made_by_startd(const struct vmconf *c)
{
	uint32_t id;

	return strcmp(c->type, "DispVM") == 0 && c->auto_cleanup &&
	       strncmp(c->name, "disp", 4) == 0 && parse_u32(c->name + 4, 9999, &id);
}

static void
setup_managed(struct qd *q, const struct options *o)
{
	static char own[sizeof(RUN_Q) + NAME_BUF];
	struct vm_state state;
	struct vmconf conf;
	struct vmconf_error e;
	int dir;
	uid_t uid;

	if (!name_ok(o->session))
		usage_die("qrexecd: --session: no qube's name");
	log_open("qrexecd", o->session);
	q->managed = true;
	dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || !state_read(dir, o->session, &state))
		die("cannot read " RUN_STATE "/%s", o->session);
	close(dir);
	dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		die("cannot open " ETC_VM);
	if (!vmconf_load(dir, o->session, &conf, &e)) {
		logit("%s:%u: %s", e.file, e.line, e.text);
		exit(111);
	}
	close(dir);
	snprintf(q->name, sizeof(q->name), "%s", state.name);
	snprintf(q->user, sizeof(q->user), "%s", conf.default_user);
	q->dispose.on = made_by_startd(&conf);
	q->domid = state.domid;
	q->qid = state.qid;
	if (getrandom(&q->ports.first, sizeof(q->ports.first), 0) < 0)
		die("getrandom");
	q->ports.first = q->ports.first % QREXEC_PORTS & ~1u;
	q->people = people_gid();
	uid = prog_uid(q->qid, PROG_QREXECD);
	snprintf(own, sizeof(own), RUN_Q "/%s", q->name);
	q->dir = own;
	enter_own_dir(q, uid);
	/* In a directory of that uid, as that uid: what stands there already cannot lead root
	 * elsewhere. */
	if (seteuid(uid) < 0)
		die("seteuid");
	door_make(&q->door, q, CLIENT_SOCK, 0666);
	door_make(&q->peer_door, q, PEER_SOCK, 0666);
	if (seteuid(0) < 0)
		die("seteuid");
}

/* --- by hand --- */

/* 0 when the child says so, 3 if the agent did not come in time, else 1. */
static _Noreturn void
wait_for_child(const struct qd *q, const struct options *o, pid_t pid, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int status = 0;
	char c;

	if (q->startup_ms == 0)
		exit(0);
	if (!o->quiet)
		fprintf(stderr, "Waiting for the agent of %s", q->name);
	while (poll(&p, 1, 1000) == 0)
		if (!o->quiet)
			fputc('.', stderr);
	if (read(fd, &c, 1) == 1) {
		if (!o->quiet)
			fputs(" connected\n", stderr);
		exit(0);
	}
	waitpid(pid, &status, 0);
	if (!o->quiet)
		fputs(" failed, see the log\n", stderr);
	exit(WIFEXITED(status) && WEXITSTATUS(status) == 3 ? 3 : 1);
}

static void
to_log(const struct qd *q)
{
	char path[sizeof(LOG_DIR) + NAME_BUF + 16];
	int fd;

	snprintf(path, sizeof(path), LOG_DIR "/qrexec.%s.log", q->name);
	umask(0007);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0660);
	if (fd < 0) {
		logit("cannot open %s: %s", path, strerror(errno));
		exit(1);
	}
	umask(0);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	setsid();
}

static void
into_background(struct qd *q, const struct options *o)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		die("fork");
	if (pid != 0) {
		close(p[1]);
		wait_for_child(q, o, pid, p[0]);
	}
	close(p[0]);
	q->notify = p[1];
	to_log(q);
}

static uint32_t
startup_ms(void)
{
	const char *s = getenv("QREXEC_STARTUP_TIMEOUT");
	uint32_t n;

	if (getenv("QREXEC_STARTUP_NOWAIT") != NULL)
		return 0;
	return s != NULL && parse_u32(s, 1000000, &n) && n > 0 ? n * 1000 : 60000;
}

/* Names that are part of paths and commands. */
static bool
plain(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)s[i]))
			return false;
	return n > 0 && n < NAME_BUF && s[0] != '.';
}

static void
setup_by_hand(struct qd *q, const struct options *o, int argc, char **argv)
{
	static char door[24];

#ifdef BACKEND_xen
	logit("by hand is for the local backend (make BACKEND=local); here startd runs qrexecd");
	exit(1);
#endif
	if (o->uuid == NULL || !uuid_ok(o->uuid) || argc < 2 || argc > 3 || !plain(argv[1]) ||
	    (argc == 3 && !plain(argv[2])))
		usage(stderr, 1);
	q->domid = number(argv[0], INT32_MAX, "DOMID");
	if (q->domid == 0)
		usage(stderr, 1);
	snprintf(q->name, sizeof(q->name), "%s", argv[1]);
	snprintf(q->user, sizeof(q->user), "%s", argc == 3 ? argv[2] : "user");
	snprintf(q->uuid, sizeof(q->uuid), "%s", o->uuid);
	log_open("qrexecd", q->name);
	if (fcntl(STDOUT_FILENO, F_GETFD) < 0 || fcntl(STDERR_FILENO, F_GETFD) < 0)
		exit(1);
	if (chdir(o->dir) < 0 || (q->dir = getcwd(NULL, 0)) == NULL) {
		logit("cannot enter %s: %s", o->dir, strerror(errno));
		exit(1);
	}
	q->startup_ms = startup_ms();
	if (!o->direct)
		into_background(q, o);
	runner_start(q, o->program);
	snprintf(door, sizeof(door), "qrexec.%u", q->domid);
	door_make(&q->door, q, door, 0777);
}

void
setup(struct qd *q, int argc, char **argv)
{
	struct options o = {.dir = RUN_DIR};
	int null = open("/dev/null", O_RDWR);

	log_open("qrexecd", NULL);
	q->notify = -1;
	q->routes.rate = RATE_DEFAULT;
	q->routes.burst = BURST_DEFAULT;
	parse(q, &o, argc, argv);
	if (null != STDIN_FILENO) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	if (o.session != NULL && optind == argc)
		setup_managed(q, &o);
	else if (o.session != NULL)
		usage(stderr, 1);
	else
		setup_by_hand(q, &o, argc - optind, argv + optind);
	if (q->notify > STDERR_FILENO)
		fd_cloexec(q->notify);
	reserve_fd(q);
}

void
sandbox(struct qd *q)
{
	static const gid_t groups[] = {GID_DAEMONS};
	const struct sandbox_path managed[] = {
	    {RUN_Q, SB_SOCKET}, {q->dir, SB_WRITE}, {RUN_S, SB_SOCKET}};
	const struct sandbox_path by_hand[] = {{q->dir, SB_WRITE}};
	const struct sandbox sb = {
	    .uid = q->managed ? prog_uid(q->qid, PROG_QREXECD) : SANDBOX_KEEP_UID,
	    .groups = groups,
	    .ngroups = 1,
	    .paths = q->managed ? managed : by_hand,
	    .npaths = q->managed ? 3 : 1,
	    .filter = qrexecd_filter,
	    .nfilter = qrexecd_filter_len,
	    .nofile = NOFILE,
	    .memory = MEMORY,
	};

	sandbox_enter(&sb);
	if (chdir(q->dir) < 0)
		die("cannot enter %s again", q->dir);
}
