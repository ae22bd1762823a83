/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "call.h"
#include "chan.h"
#include "ids.h"
#include "names.h"
#include "paths.h"
#include "qrexecd/qrexec.h"
#include "sock.h"
#include "state.h"
#include "vchan.h"

#define ANSWER_S 60 /* qrexecd paces and queues calls, but it always answers or closes */
#define LATE_MS                                                                                    \
	1000 /* qrexecd says the call is over: the agent's connection may still be on its way */

/* From here on reads and writes wait, at most so long each. */
static int
connect_wait(const char *path)
{
	const struct timeval tv = {.tv_sec = ANSWER_S};
	int fd = sock_connect_wait(path, ANSWER_S * 1000);

	if (fd < 0)
		return -1;
	if (fd_nonblock(fd, false) &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Exactly n bytes, or false. */
static bool
read_all(int fd, void *p, size_t n)
{
	uint8_t *to = p;

	while (n > 0) {
		ssize_t got = recv(fd, to, n, MSG_WAITALL);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

static bool
write_all(int fd, const void *p, size_t n)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t put = send(fd, from, n, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		from += put;
		n -= (size_t)put;
	}
	return true;
}

/* One message of exactly this type and length. */
static bool
read_message(int fd, uint32_t type, void *body, uint32_t len)
{
	uint8_t head[MSG_HEADER_LEN];

	errno = 0;
	if (!read_all(fd, head, sizeof(head)))
		return false;
	struct rd r = rd_over(head, sizeof(head));
	if (rd_u32(&r) != type || rd_u32(&r) != len) {
		errno = EPROTO;
		return false;
	}
	return read_all(fd, body, len);
}

bool
call_hello(int fd, const char **why)
{
	uint8_t body[HELLO_LEN];

	if (!read_message(fd, MSG_HELLO, body, sizeof(body))) {
		*why = "qrexecd did not say HELLO";
		return false;
	}
	struct rd r = rd_over(body, sizeof(body));
	if (rd_u32(&r) >= QREXEC_CLIENT_VERSION)
		return true;
	*why = "qrexecd speaks too old a version";
	return false;
}

void
call_std_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* TARGET of RUN_DIR/qrexec.TARGET: a name, a domid or uuid:UUID. */
static bool
goes_by(const struct vm_state *st, const char *target)
{
	uint32_t domid;

	if (strncmp(target, "uuid:", 5) == 0)
		return strcasecmp(target + 5, st->uuid) == 0;
	return parse_u32(target, UINT32_MAX, &domid) && domid == st->domid;
}

/* What RUN_STATE knows of the target. false: nothing, or dir is not where startd's qubes are. */
static bool
managed(const char *dir, const char *target, struct vm_state *st)
{
	int fd =
	    strcmp(dir, RUN_DIR) == 0 ? open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool found = fd >= 0 && name_ok(target) && state_read(fd, target, st);
	DIR *d = fd >= 0 && !found && !name_ok(target) ? fdopendir(fd) : NULL;
	const struct dirent *f;

	while (d != NULL && !found && (f = readdir(d)) != NULL)
		found = state_read(fd, f->d_name, st) && goes_by(st, target);
	if (d != NULL)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return found;
}

/*
 * Where a qube's sockets stand belongs to its qrexecd. One that was taken over may put a link to
 * another qube's socket there: what is meant for this qube must not be done by that one.
 */
static bool
right_peer(int fd, const char *dir, const char *target)
{
	struct vm_state st;
	uid_t uid;

	if (strcmp(dir, RUN_DIR) != 0)
		return true;
	if (!sock_peer(fd, &uid, NULL))
		return false;
	if (managed(dir, target, &st))
		return uid == prog_uid(st.qid, PROG_QREXECD);
	return uid_qid(uid, PROG_QREXECD) <= 0;
}

int
call_open(const char *dir, const char *target, const char **why)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/qrexec.%s", dir, target);

	*why = "bad target name";
	errno = EINVAL;
	if (*target == '\0' || strchr(target, '/') != NULL || n < 0 || (size_t)n >= sizeof(path))
		return -1;
	int fd = connect_wait(path);
	if (fd < 0) {
		*why = errno == ENOENT || errno == ECONNREFUSED ? "the qube does not run"
								: strerror(errno);
		return -1;
	}
	if (!right_peer(fd, dir, target))
		*why = "its socket leads to somebody else";
	else if (call_hello(fd, why))
		return fd;
	close(fd);
	errno = EPROTO;
	return -1;
}

bool
call_request(int link, uint32_t type, struct call_answer params, const void *body, size_t n,
    struct call_answer *out, const char **why)
{
	uint8_t msg[2 * MSG_HEADER_LEN + HELLO_LEN + CONTROL_BODY_MAX];
	struct wr w = wr_over(msg, sizeof(msg));
	uint8_t got[EXEC_PARAMS_LEN];

	*why = "the command is too long (at most 4087 bytes)";
	if (n > CONTROL_BODY_MAX - EXEC_PARAMS_LEN)
		return false;
	wr_u32(&w, MSG_HELLO);
	wr_u32(&w, HELLO_LEN);
	wr_u32(&w, QREXEC_CLIENT_VERSION);
	wr_u32(&w, type);
	wr_u32(&w, EXEC_PARAMS_LEN + (uint32_t)n);
	wr_u32(&w, params.domid);
	wr_u32(&w, params.port);
	wr_bytes(&w, body, n);
	*why = "qrexecd closed the connection";
	if (w.full || !write_all(link, msg, w.len))
		return false;
	if (out == NULL)
		return true;
	if (!read_message(link, type, got, sizeof(got))) {
		*why = errno == EPROTO ? "qrexecd sent something else than an answer"
				       : "qrexecd closed the connection without an answer";
		return false;
	}
	struct rd r = rd_over(got, sizeof(got));
	out->domid = rd_u32(&r);
	out->port = rd_u32(&r);
	return true;
}

/* The server end, open. link: its end of file says that the agent has given the call up. */
static struct vchan *
channel(struct call *c, int link, struct call_answer a, const char **why)
{
	struct vm_state st;

	/* Nobody but this qube may find our end of the channel. */
	*why = "qrexecd names another domain than its own";
	if (managed(c->dir, c->target, &st) && st.domid != a.domid)
		return NULL;
	struct vchan *v = chan_open(VCHAN_SERVER, a.domid, a.port, c->ms, &c->relay.control, why);

	if (v == NULL)
		return NULL;
	c->relay.control_domid = a.domid;
	char b;
	bool came = vchan_wait(v, c->ms, link) || vchan_wait(v, 0, -1);
	bool over = !came && recv(link, &b, 1, MSG_DONTWAIT) == 0;
	if (came || (over && vchan_wait(v, LATE_MS, -1))) {
		chan_came(c->relay.control);
		return v;
	}
	*why = over ? "the qube gave the call up" : "the qube did not connect in time";
	vchan_close(v);
	return NULL;
}

int
call_run(struct call *c, const char **why)
{
	struct call_answer a;

	c->relay.control = -1;
	int link = call_open(c->dir, c->target, why);
	if (link < 0) {
		c->absent = errno == ENOENT || errno == ECONNREFUSED;
		return EXIT_QREXEC;
	}
	c->t.connected = now_us();
	struct call_answer here = {0, 0};
	if (call_request(link, c->type, here, c->command, strlen(c->command) + 1, &a, why)) {
		c->t.answered = now_us();
		c->relay.v = channel(c, link, a, why);
	}
	close(link);
	if (c->relay.v == NULL)
		return EXIT_QREXEC;
	c->t.channel = now_us();
	*why = NULL;
	int code = c->start == NULL ? 0 : c->start(c, c->arg);
	if (code != 0) {
		vchan_close(c->relay.v);
		return code;
	}
	c->relay.side = RELAY_CALLER;
	c->relay.t_first = &c->t.first;
	code = relay_run(&c->relay);
	c->t.end = now_us();
	return code;
}

static _Noreturn void
spawned(const int in[2], const int out[2], int (*run)(void *), void *arg)
{
	sigset_t none;
	char pid[16];

	snprintf(pid, sizeof(pid), "%ld", (long)getppid());
	if (setenv("QREXEC_AGENT_PID", pid, 1) < 0 || dup2(in[1], 0) < 0 || dup2(out[1], 1) < 0)
		_exit(EXIT_QREXEC);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	_exit(run(arg));
}

pid_t
call_spawn(struct relay *r, int (*run)(void *), void *arg)
{
	int in[2], out[2] = {-1, -1};
	sigset_t chld;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0)
		return -1;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	pid_t pid = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) == 0)
		pid = fork();
	if (pid == 0)
		spawned(in, out, run, arg);
	close(in[1]);
	if (out[1] >= 0)
		close(out[1]);
	if (pid < 0) {
		close(in[0]);
		if (out[0] >= 0)
			close(out[0]);
		return -1;
	}
	r->out = in[0];
	r->in = out[0];
	return pid;
}

int
call_shell(void *arg)
{
	const struct call_shell *s = arg;

	execlp(s->shell, s->shell, "-c", s->cmd, (char *)NULL);
	fprintf(stderr, "%s: %s\n", s->shell, strerror(errno));
	return EXIT_NOT_FOUND;
}

int
call_status(pid_t pid)
{
	int st;

	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return EXIT_QREXEC;
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}
