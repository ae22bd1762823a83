/* SPDX-License-Identifier: ISC */
/* Managed (--session), by hand in Dom0, or in a qube: what is taken before the sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ids.h"
#include "keys.h"
#include "paths.h"
#include "qdbd-hand.filter.h"
#include "qdbd-qube.filter.h"
#include "qdbd.filter.h"
#include "qdbd.h"
#include "sandbox.h"
#include "sock.h"

#define NOFILE (CLIENTS_MAX + 64)
#define MEMORY (256u << 20) /* all clients with all their places full, and both layers */
#define BACKLOG 1024
/* The session whose qube has its keys; startd removes it with qdb/NAME. */
#define MARK "qubesdb.was"

struct options {
	const char *session, *dir, *wait;
	uint32_t perms;
	bool front;
};

static const char help[] =
    "usage: qdbd --session NAME [-n FD] [-w FIFO]\n"
    "       qdbd [-f] [-n FD] [--rw-socket-perms=OCT] [--socket-dir=DIR] ID [NAME]\n"
    "  --session=NAME         as startd runs it\n"
    "  ID NAME                by hand in Dom0, for domain ID (0 dom0: Dom0's own)\n"
    "  ID                     in a qube; ID is 0\n"
    "  --rw-socket-perms=OCT  who may write (666)\n"
    "  --socket-dir=DIR       where the sockets are made (" RUN_DIR ")\n"
    "  -f                     stay in the foreground (so do -n and NOTIFY_SOCKET)\n"
    "  -n FD                  a newline there when ready\n"
    "  -w FIFO                begin when somebody opens it for writing, or it is not there\n";

static _Noreturn void
usage(FILE *to, int code)
{
	fputs(help, to);
	exit(code);
}

static void
parse(struct qdbd *d, struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"session", required_argument, NULL, 's'},
	    {"rw-socket-perms", required_argument, NULL, 'p'},
	    {"socket-dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	uint32_t fd;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "fn:w:h", longs, NULL)) != -1) {
		if (c == 's') {
			o->session = optarg;
		} else if (c == 'd') {
			o->dir = optarg;
		} else if (c == 'w') {
			o->wait = optarg;
		} else if (c == 'f') {
			o->front = true;
		} else if (c == 'p') {
			o->perms = (uint32_t)strtoul(optarg, &end, 8);
			if (*end != '\0' || end == optarg || o->perms > 0777)
				usage_die("qdbd: --rw-socket-perms: no octal mode");
		} else if (c == 'n') {
			if (!parse_u32(optarg, 65535, &fd) || fd < 3)
				usage_die("qdbd: -n: no descriptor");
			d->notify = (int)fd;
			o->front = true;
		} else {
			usage(c == 'h' ? stdout : stderr, c == 'h' ? 0 : 100);
		}
	}
}

/* Bound under another name, then renamed: the name never shows a socket that refuses. */
static void
listen_at(struct qdbd *d, bool ro, mode_t mode, const char *path)
{
	struct listener *l = &d->listen[ro];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int n = snprintf(a.sun_path, sizeof a.sun_path, "%s.new", path);

	l->ro = ro;
	snprintf(l->path, sizeof l->path, "%s", path);
	if (n < 0 || (size_t)n >= sizeof a.sun_path || (size_t)n >= sizeof l->path)
		die("%s: too long", path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(a.sun_path);
	umask(0);
	if (l->fd < 0 || fchmod(l->fd, mode) < 0 ||
	    bind(l->fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(l->fd, BACKLOG) < 0 ||
	    rename(a.sun_path, path) < 0)
		die("cannot make %s", path);
	umask(022);
}

static void
link_at(const char *target, const char *path)
{
	(void)unlink(path);
	if (symlink(target, path) < 0)
		die("cannot make %s", path);
}

/* ---- managed ---- */

static bool
on_key(void *arg, const char *path, const char *value, size_t len)
{
	struct qdbd *d = arg;
	char field[QDB_PATH] = "";
	struct key k;

	if (strlen(path) >= sizeof field)
		return false;
	snprintf(field, sizeof field, "%s", path);
	return key_take(&k, field) && key_writable(&k) && len <= QDB_VALUE_MAX &&
	       store_put(&d->store, DOM0, &k, value, len) != NULL;
}

static void
fill(struct qdbd *d, const struct vm_state *s, bool was)
{
	const int dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *bad = dir < 0 ? ETC_VM " cannot be opened" : qdb_keys(dir, s, was, on_key, d);

	if (dir >= 0)
		close(dir);
	errno = 0;
	if (bad != NULL && d->has_peer)
		die("%s", bad);
	if (bad != NULL)
		logit("no keys of Dom0's own: %s", bad);
}

/* Was this session's qube given its keys by one before? Then it may know more than its file. Else
 * the mark is made, for synced(). */
static bool
had_one(struct qdbd *d, const struct vm_state *s)
{
	char before[HEXID_LEN + 1] = "";
	const int fd = open(MARK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const ssize_t n = fd >= 0 ? read(fd, before, HEXID_LEN) : 0;

	if (fd >= 0)
		close(fd);
	if (n == HEXID_LEN && strcmp(before, s->session) == 0)
		return true;
	snprintf(d->session, sizeof d->session, "%s", s->session);
	(void)unlink(MARK);
	d->mark = open(MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (d->mark < 0)
		die("cannot make %s", MARK);
	return false;
}

static void
read_state(struct vm_state *s, const char *name)
{
	const int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || !state_read(dir, name, s))
		die("cannot read " RUN_STATE "/%s", name);
	close(dir);
}

/* Started before its qube is. Who lets it go has the fifo open to write, then removes it. */
static void
wait_at(const char *fifo)
{
	const int fd = open(fifo, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		die("cannot wait at %s", fifo);
	if (fd >= 0)
		close(fd);
}

static void
setup_managed(struct qdbd *d, const struct options *o)
{
	struct vm_state s = {.state = "Running"};
	bool was = false;
	int dir = open(RUN_QDB, O_RDONLY | O_DIRECTORY | O_CLOEXEC), own;

	if (!name_ok(o->session))
		usage_die("qdbd: --session: no qube's name");
	log_open("qdbd", o->session);
	if (o->wait != NULL)
		wait_at(o->wait);
	d->managed = true;
	d->has_peer = strcmp(o->session, "dom0") != 0;
	snprintf(d->name, sizeof d->name, "%s", o->session);
	if (d->has_peer)
		read_state(&s, d->name);
	else
		snprintf(s.name, sizeof s.name, "dom0");
	d->domid = s.domid;
	d->qid = s.qid;
	d->people = people_gid();
	if (dir < 0 || (mkdirat(dir, d->name, 0711) < 0 && errno != EEXIST))
		die("cannot make " RUN_QDB "/%s", d->name);
	own = openat(dir, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0 || fchdir(own) < 0)
		die("cannot enter " RUN_QDB "/%s", d->name);
	close(own);
	close(dir);
	if (d->has_peer)
		was = had_one(d, &s);
	d->peer.ask = was;
	fill(d, &s, was);
	/* Of group qubes: no daemon of another qube's gets as far as being refused. */
	if (d->people != (gid_t)-1 && setegid(d->people) < 0)
		die("group qubes");
	listen_at(d, false, 0660, QDB_SOCK);
	listen_at(d, true, 0660, QDB_RO_SOCK);
	if (setegid(0) < 0)
		die("setegid");
}

/* ---- by hand ---- */

static void
to_log(const struct qdbd *d)
{
	char path[sizeof LOG_DIR + NAME_BUF + 16];
	int fd;

	snprintf(path, sizeof path, LOG_DIR "/qubesdb.%s.log", d->side == DOM0 ? d->name : "dom0");
	(void)mkdir(LOG_DIR, 0755); /* a qube may have none yet */
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0640);
	if (fd < 0)
		die("cannot open %s", path);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	setsid();
}

/* The parent ends when the child is ready, or has ended. */
static void
into_background(struct qdbd *d)
{
	int p[2];
	pid_t pid;
	char c;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		die("fork");
	if (pid != 0) {
		close(p[1]);
		_exit(read(p[0], &c, 1) == 1 ? 0 : 1);
	}
	close(p[0]);
	d->notify = p[1];
	to_log(d);
}

/* NOTIFY_SOCKET: a path, or an abstract name after @. */
static void
notify_socket(struct qdbd *d, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const size_t n = strlen(name);

	if (n == 0 || n >= sizeof a.sun_path)
		die("NOTIFY_SOCKET: too long");
	memcpy(a.sun_path, name, n);
	if (name[0] == '@')
		a.sun_path[0] = '\0';
	d->notify_sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (d->notify_sock < 0 || connect(d->notify_sock, (struct sockaddr *)&a,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		die("NOTIFY_SOCKET");
}

static void
write_pid(const struct qdbd *d)
{
	const int fd =
	    open(d->pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		die("cannot write %s", d->pid_file);
	close(fd);
}

/* A name that is part of paths. */
static bool
plain(const char *s)
{
	const size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)s[i]))
			return false;
	return n > 0 && n < NAME_BUF && s[0] != '.';
}

static void
setup_by_hand(struct qdbd *d, const struct options *o, int argc, char **argv)
{
	char path[200], link[200], base[NAME_BUF + 16];
	const char *const notify = getenv("NOTIFY_SOCKET");

	if (argc < 1 || argc > 2 || !parse_u32(argv[0], INT32_MAX, &d->domid) ||
	    (argc == 2 && !plain(argv[1])) || (argc == 1 && d->domid != 0))
		usage(stderr, 100);
	d->side = argc == 2 ? DOM0 : QUBE;
	d->has_peer = d->side == QUBE || d->domid != 0;
	snprintf(d->name, sizeof d->name, "%s", argc == 2 ? argv[1] : "");
	log_open("qdbd", argc == 2 ? d->name : NULL);
#ifdef BACKEND_xen
	if (d->side == DOM0 && d->has_peer)
		die("by hand is for the local backend; here startd runs qdbd");
#endif
	if (d->has_peer)
		d->self = vchan_self();
	if (notify != NULL)
		notify_socket(d, notify);
	else if (!o->front)
		into_background(d);
	snprintf(base, sizeof base, "qubesdb%s%s", argc == 2 ? "." : "", d->name);
	snprintf(d->pid_file, sizeof d->pid_file, "%s/%s.pid", o->dir, base);
	write_pid(d);
	for (int ro = 0; ro < 2; ro++) {
		const char *const end = ro ? "ro.sock" : "sock";

		snprintf(path, sizeof path, "%s/%s.%s", o->dir, base, end);
		listen_at(d, ro, ro ? 0666 : o->perms, path);
		snprintf(link, sizeof link, "%s/qubesdb.%s", o->dir, end);
		if (d->side == DOM0 && !d->has_peer)
			link_at(strrchr(path, '/') + 1, link);
	}
}

void
names_remove(const struct qdbd *d)
{
	if (d->managed || d->side == QUBE)
		return;
	unlink(d->pid_file);
	unlink(d->listen[0].path);
	unlink(d->listen[1].path);
}

void
setup(struct qdbd *d, int argc, char **argv)
{
	struct options o = {.dir = RUN_DIR, .perms = 0666};
	const int null = open("/dev/null", O_RDWR);

	log_open("qdbd", NULL);
	parse(d, &o, argc, argv);
	if (null > STDIN_FILENO) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	d->dir = o.dir;
	if (o.session == NULL)
		setup_by_hand(d, &o, argc - optind, argv + optind);
	else if (optind == argc)
		setup_managed(d, &o);
	else
		usage(stderr, 100);
	if (d->notify > STDERR_FILENO)
		fd_cloexec(d->notify);
}

void
sandbox(struct qdbd *d)
{
	static const gid_t groups[] = {GID_DAEMONS};
	const char *const vchan = getenv("VCHAN_SOCKET_DIR");
	const struct sandbox_path managed[] = {{RUN_S, SB_SOCKET | SB_MAYBE}};
	const struct sandbox_path by_hand[] = {
	    {d->dir, SB_WRITE},
	    {vchan != NULL ? vchan : "/var/run/vchan", SB_WRITE | SB_MAYBE},
#ifdef BACKEND_xen
	    {"/dev/xen/xenbus", SB_WRITE | SB_MAYBE},
	    {"/dev/xen/gntdev", SB_WRITE | SB_MAYBE},
	    {"/dev/xen/evtchn", SB_WRITE | SB_MAYBE},
#endif
	};
	struct sandbox sb = {
	    .uid = SANDBOX_KEEP_UID,
	    .groups = groups,
	    .ngroups = 1,
	    .paths = by_hand,
	    .npaths = sizeof by_hand / sizeof *by_hand,
	    .filter = d->side == DOM0 ? qdbd_hand_filter : qdbd_qube_filter,
	    .nfilter = d->side == DOM0 ? qdbd_hand_filter_len : qdbd_qube_filter_len,
	    .nofile = NOFILE,
	    .memory = MEMORY,
	};

	if (d->managed) {
		sb.uid = prog_uid(d->qid, PROG_QDB);
		sb.paths = managed;
		sb.npaths = 1;
		sb.filter = qdbd_filter;
		sb.nfilter = qdbd_filter_len;
	}
	sandbox_enter(&sb);
}
