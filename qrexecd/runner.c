/* SPDX-License-Identifier: ISC */
/*
 * By hand only: a second process, outside the sandbox, that never reads a byte from the qube. It
 * opens the channel to the agent, and for a call that qrexecd has checked it runs the policy
 * program (or asks policyd) and, on allow, qrexec-client -c. It ends when qrexecd does.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "paths.h"
#include "policy/policysock.h"
#include "qrexecd.h"
#include "sock.h"

#define AGAIN_MS 200u
#define ASK_MS 300000
#define DISP "@dispvm:"

struct run {
	struct run *next;
	pid_t pid;
	uint32_t id;
};

struct runner {
	const struct qd *q;
	struct loop *loop;
	int sock, fd; /* fd: as the loop has the channel's */
	struct vchan *v;
	const char *program;
	struct run *runs;
	char client[4096];
};

/* What policy says is fixed before its text is looked at: fork, wait, read to the end. */
static const char *
ask_program(const struct runner *r, const struct trigger *t, struct buf *b)
{
	char program[] = "qrexec-policy-exec", sep[] = "--";
	const char *argv[] = {program, sep, r->q->name, t->target, t->service, NULL};
	int s[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
		return "socketpair failed";
	pid = fork();
	if (pid == 0) {
		dup2(s[1], STDIN_FILENO);
		dup2(s[1], STDOUT_FILENO);
		execv(r->program, (char *const *)(uintptr_t)argv);
		logit("cannot run %s: %s", r->program, strerror(errno));
		_exit(EXIT_QREXEC);
	}
	close(s[1]);
	while (pid > 0 && (n = buf_read_fd(b, s[0], b->max)) != 0)
		if (n == -1 || buf_room(b) == 0)
			break;
	close(s[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "fork failed";
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : "denied";
}

static const char *
ask_policyd(const struct runner *r, const struct trigger *t, struct buf *b)
{
	struct kv kv = {.n = 0};
	struct buf rq = {.max = KV_BYTES};
	const char *why = "no memory";

	if (kv_put(&rq, "source", r->q->name) && kv_put(&rq, "intended_target", t->target) &&
	    kv_put(&rq, "service_and_arg", t->service) &&
	    (!t->has_source || kv_put(&rq, "requested_source", t->source)) && buf_put(&rq, "\n", 1))
		why = kv_call(POLICY_SOCK, buf_bytes(&rq), rq.len, ASK_MS, &kv, NULL);
	buf_free(&rq);
	for (size_t i = 0; why == NULL && i < kv.n; i++)
		if (!kv_put(b, kv.item[i].key, kv.item[i].val))
			why = "the answer is too long";
	return why;
}

/*
 * By hand or not, startd alone makes disposables. It lasts as long as the connection, which
 * qrexec-client -W inherits: until the call is over. The answer's target is the qube's name then.
 */
static const char *
make_disposable(struct answer *a)
{
	struct kv kv = {.n = 0};
	char request[TARGET_LEN + 32];
	int n =
	    snprintf(request, sizeof(request), "op=start\ndisp=%s\n\n", a->target + strlen(DISP));
	int s = sock_connect_wait(START_SOCK, ASK_MS);
	const char *why, *name;

	if (s < 0)
		return "startd cannot be reached";
	why = kv_ask(s, request, (size_t)n, START_MS, &kv, NULL);
	name = kv_get(&kv, "name");
	if (why != NULL || name == NULL || !name_ok(name))
		return why != NULL ? why : "startd makes no disposable";
	snprintf(a->target, sizeof(a->target), "%s", name);
	a->target_uuid[0] = '\0';
	return dup(s) >= 0 ? NULL : "dup failed"; /* not closed by exec */
}

/* Becomes qrexec-client; only returns on failure. spec/qrexec 4 (4) and (5). */
static void
run_client(const struct runner *r, const struct trigger *t, const struct answer *a, bool disposable)
{
	const char *service = a->service[0] != '\0' ? a->service : t->service;
	const char *source = a->policy_source[0] != '\0' ? a->policy_source : r->q->name;
	const char *target = a->target_uuid[0] != '\0' ? a->target_uuid : a->target;
	bool dom0 = is_dom0(a->target), keyword = a->requested_target[0] == '@';
	char dir[4096], who[160], command[2 * CONTROL_BODY_MAX], to_dom0[160] = "";
	const char *argv[] = {
	    "qrexec-client", dir, "-d", dom0 ? "dom0" : target, "-c", who, command, NULL, NULL};
	size_t n;

	if (dom0)
		snprintf(to_dom0, sizeof(to_dom0), " %s %s", keyword ? "keyword" : "name",
		    a->requested_target + keyword);
	snprintf(dir, sizeof(dir), "--socket-dir=%s", r->q->dir);
	snprintf(who, sizeof(who), "%s,%s,%u", t->ident, r->q->name, r->q->domid);
	n = route_command(
	    command, sizeof(command) - sizeof(to_dom0), dom0 ? "" : a->user, service, source);
	if (n == 0)
		return;
	snprintf(command + n - 1, sizeof(to_dom0), "%s", to_dom0);
	if (disposable) {
		argv[6] = "-W";
		argv[7] = command;
	}
	execv(r->client, (char *const *)(uintptr_t)argv);
	logit("cannot run %s: %s", r->client, strerror(errno));
}

static _Noreturn void
run_call(const struct runner *r, const struct trigger *t)
{
	struct buf b = {.max = POLICY_ANSWER_MAX + 1};
	struct answer a = {0};
	struct kv kv;
	const char *why;
	bool disposable = false;

	why = r->program != NULL ? ask_program(r, t, &b) : ask_policyd(r, t, &b);
	if (why == NULL)
		why = answer_parse(&a, &kv, buf_bytes(&b), b.len);
	if (why == NULL && !a.allow)
		why = "denied";
	disposable = why == NULL && strncmp(a.target, DISP, strlen(DISP)) == 0;
	if (disposable)
		why = make_disposable(&a);
	if (why != NULL && strcmp(why, "denied") != 0)
		logit("policy for %s to %s: %s", t->service, t->target, why);
	if (why != NULL)
		_exit(EXIT_REFUSED);
	run_client(r, t, &a, disposable);
	_exit(EXIT_QREXEC);
}

static void
reply(struct runner *r, enum run_kind kind, uint32_t id, int status, int fd)
{
	struct run_msg m = {.kind = kind, .id = id, .status = status};

	if (!sock_send_fd(r->sock, &m, offsetof(struct run_msg, t), fd) && errno != EAGAIN)
		exit(0);
}

static void
on_call(struct runner *r, const struct run_msg *m)
{
	struct run *run = calloc(1, sizeof(*run));
	sigset_t none;

	if (run == NULL || (run->pid = fork()) < 0) {
		free(run);
		reply(r, RUN_DONE, m->id, EXIT_QREXEC, -1);
		return;
	}
	if (run->pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		run_call(r, &m->t);
	}
	run->id = m->id;
	run->next = r->runs;
	r->runs = run;
}

static void
on_child(struct loop *l, int sig, short revents, void *arg)
{
	struct runner *r = arg;
	struct run **at, *run;
	int status;
	pid_t pid;

	(void)l, (void)sig, (void)revents;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (at = &r->runs; *at != NULL && (*at)->pid != pid; at = &(*at)->next)
			;
		run = *at;
		if (run == NULL)
			continue;
		reply(r, RUN_DONE, run->id,
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), -1);
		*at = run->next;
		free(run);
	}
}

static void on_channel(struct loop *l, int fd, short revents, void *arg);

/* Waits for the agent's end; then qrexecd gets it (by hand the backend is local: one descriptor).
 */
static void
on_channel(struct loop *l, int fd, short revents, void *arg)
{
	struct runner *r = arg;
	struct pollfd p;

	(void)fd, (void)revents;
	if (r->v == NULL)
		r->v =
		    vchan_open(VCHAN_CLIENT, NULL, vchan_self(), r->q->domid, QREXEC_CONTROL_PORT);
	else
		vchan_turn(r->v);
	loop_del(l, r->fd);
	r->fd = -1;
	if (r->v == NULL) {
		loop_after(l, AGAIN_MS, on_channel, r);
		return;
	}
	vchan_poll(r->v, POLLIN, &p);
	if (vchan_state(r->v) == VCHAN_WAITING && loop_add(l, p.fd, p.events, on_channel, r)) {
		r->fd = p.fd;
		return;
	}
	reply(r, RUN_OPEN, 0, 0, p.fd);
	vchan_close(r->v);
	r->v = NULL;
}

static void
on_sock(struct loop *l, int fd, short revents, void *arg)
{
	struct runner *r = arg;
	struct run_msg m;
	ssize_t n;

	(void)revents;
	memset(&m, 0, sizeof(m));
	n = read(fd, &m, sizeof(m));
	if (n == 0 || (n < 0 && errno != EAGAIN))
		exit(0);
	if (n < (ssize_t)offsetof(struct run_msg, t))
		return;
	if (m.kind == RUN_CALL)
		on_call(r, &m);
	else if (m.kind == RUN_OPEN && r->v == NULL)
		on_channel(l, -1, 0, r);
}

/* Beside us (a tree that was built and not installed), or where it is installed. */
static void
find_client(struct runner *r)
{
	ssize_t n = readlink("/proc/self/exe", r->client, sizeof(r->client) - 32);
	char *slash;

	r->client[n > 0 ? n : 0] = '\0';
	slash = strrchr(r->client, '/');
	snprintf(slash != NULL ? slash : r->client, 32, "/qrexec-client");
	if (slash == NULL || access(r->client, X_OK) < 0)
		snprintf(r->client, sizeof(r->client), "%s", BINDIR "/qrexec-client");
}

static _Noreturn void
runner_main(const struct qd *q, int sock, const char *program)
{
	struct runner r = {.q = q, .loop = loop_new(), .sock = sock, .fd = -1, .program = program};
	const int chld = SIGCHLD;

	if (q->notify >= 0)
		close(q->notify);
	find_client(&r);
	if (!loop_add(r.loop, sock, POLLIN, on_sock, &r) ||
	    !loop_signals(r.loop, &chld, 1, on_child, &r))
		die("runner");
	exit(loop_run(r.loop));
}

/* Grandchild: whoever waits for the daemon's children is not kept waiting by this one. */
void
runner_start(struct qd *q, const char *policy_program)
{
	int s[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (fork() != 0)
			_exit(0);
		close(s[0]);
		runner_main(q, s[1], policy_program);
	}
	close(s[1]);
	waitpid(pid, NULL, 0);
	q->runner = s[0];
}

/* --- qrexecd's side --- */

bool
runner_send(struct qd *q, const struct run_msg *m)
{
	size_t n = offsetof(struct run_msg, t);

	if (m->kind == RUN_CALL)
		n = offsetof(struct run_msg, t.service) + strlen(m->t.service) + 1;
	return sock_send_fd(q->runner, m, n, -1);
}

static void
on_reply(struct loop *l, int sock, short revents, void *arg)
{
	struct qd *q = arg;
	struct run_msg m;
	int fd = -1;
	ssize_t n;

	(void)l, (void)revents;
	memset(&m, 0, sizeof(m));
	n = sock_recv_fd(sock, &m, sizeof(m), &fd);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("the runner is gone");
	if (n > 0 && m.kind == RUN_DONE)
		route_ran(q, m.id, m.status);
	else if (n > 0 && m.kind == RUN_OPEN && fd >= 0)
		link_take(q, fd);
}

void
runner_listen(struct qd *q)
{
	if (q->runner >= 0 && !loop_add(q->loop, q->runner, POLLIN, on_reply, q))
		die("no memory");
}
