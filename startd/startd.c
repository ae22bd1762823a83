/* SPDX-License-Identifier: ISC */
/* startd: the one who may start and stop qubes (startsock.h). Root, so kept away from what a qube
 * says. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "ids.h"
#include "kv.h"
#include "log.h"
#include "paths.h"
#include "qids.h"
#include "sock.h"
#include "startd-req.h"
#include "startd.h"
#include "state.h"
#include "vmstart/startsock.h"

/* By its name each time: it may be missing now, and another one may be put in its place. */
int
vm_dir(void)
{
	return open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool
load_conf(const char *name, struct vmconf *c, struct vmconf_error *e)
{
	const int dir = vm_dir();
	bool ok = false;

	if (dir < 0) {
		*e = (struct vmconf_error){.file = ETC_VM};
		snprintf(e->text, sizeof e->text, "%s", strerror(errno));
		return false;
	}
	if (faccessat(dir, name, F_OK, 0) < 0)
		*e = (struct vmconf_error){.text = "no such qube"};
	else
		ok = vmconf_load(dir, name, c, e);
	close(dir);
	return ok;
}

static size_t
qid_or_0(const struct client *c)
{
	const int64_t qid = uid_qid(c->uid, PROG_QREXECD);

	return qid > 0 ? (size_t)qid : 0;
}

void
client_drop(struct client *c)
{
	struct startd *s = c->s;

	disp_left(c);
	loop_cancel(s->loop, c->timer);
	if (c->policy >= 0) {
		loop_del(s->loop, c->policy);
		close(c->policy);
	}
	loop_del(s->loop, c->fd);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->redeem);
	s->nclients--;
	if (!c->person) {
		s->ndaemons--;
		s->held[qid_or_0(c)]--;
	}
	free(c);
}

void
client_answer(struct client *c, bool ok, const char *state, const char *reason, int code)
{
	struct buf b = {.max = KV_BYTES};

	if (ok)
		buf_printf(&b, "result=ok\nstate=%s\n\n", state);
	else if (!buf_printf(&b, "result=refused\n") || !kv_put(&b, "reason", reason) ||
		 !buf_printf(&b, "code=%d\n\n", code))
		logit("an answer does not fit");
	(void)buf_write_fd(&b, c->fd);
	buf_free(&b);
	client_drop(c);
}

void
client_give(struct client *c, const char *name)
{
	struct buf b = {.max = KV_BYTES};
	struct vm_state st;

	if (!state_read(c->s->state_dir, name, &st))
		logit("%s: its state cannot be read", name);
	else if (buf_printf(&b, "result=ok\nstate=running\nname=%s\ndomid=%u\n\n", name, st.domid))
		(void)buf_write_fd(&b, c->fd);
	buf_free(&b);
}

/* It has said all that it has to say. */
static void
on_held(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	client_drop(arg);
}

void
client_hold(struct client *c)
{
	loop_del(c->s->loop, c->fd);
	if (!loop_add(c->s->loop, c->fd, POLLIN, on_held, c))
		logit("no memory to hear of the end of a connection");
}

static void
refuse(struct client *c, const char *reason, int code)
{
	size_t i = 0;

	/* reasons are constants */
	while (i < REASONS - 1 && c->s->refused[i].reason && c->s->refused[i].reason != reason)
		i++;
	c->s->refused[i].reason = reason;
	log_limited(&c->s->refused[i].limit, "uid %u: refused: %s", c->uid, reason);
	client_answer(c, false, NULL, reason, code);
}

static void
policy_done(struct client *c)
{
	loop_del(c->s->loop, c->policy);
	close(c->policy);
	c->policy = -1;
	buf_free(&c->redeem);
	loop_cancel(c->s->loop, c->timer);
	c->timer = 0;
}

/* The whole answer in kv; false: it is not there yet. *bad: there will be none. */
static bool
policy_answer(struct client *c, int fd, struct kv *kv, const char **bad)
{
	const ssize_t n = buf_read_fd(&c->redeem, fd, KV_BYTES);

	if (n > 0 || (n == -2 && buf_room(&c->redeem) > 0))
		return false;
	*bad =
	    n == 0 ? kv_parse(kv, buf_bytes(&c->redeem), c->redeem.len) : "no answer from policyd";
	return true;
}

/* policyd says what a ticket stands for; its source must be the qube whose qrexecd presents it. */
static void
on_redeemed(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	static struct kv kv;
	const char *bad, *target, *why;
	bool disp;

	(void)revents;
	(void)l;
	if (!policy_answer(c, fd, &kv, &bad))
		return;
	if (bad)
		return refuse(c, bad, 126);
	why = ticket_answer(
	    &kv, c->person ? -1 : uid_qid(c->uid, PROG_QREXECD), qid_of, &target, &disp);
	if (why)
		return refuse(c, why, 126);
	policy_done(c);
	if (disp)
		return disp_start(c->s, target, c);
	c->ticket[0] = '\0';
	job_add(c->s, &(struct job_order){
			  .kind = JOB_START, .name = target, .client = c, .by_qube = !c->person});
}

static void
on_bound(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	static struct kv kv;
	const char *bad, *result;

	(void)revents;
	(void)l;
	if (!policy_answer(c, fd, &kv, &bad))
		return;
	result = bad ? NULL : kv_get(&kv, "result");
	if (!result || strcmp(result, "ok") != 0)
		return refuse(c, bad ? bad : "the ticket is not valid any more", 126);
	policy_done(c);
	disp_bound(c);
}

static bool
ask_policy(struct client *c, const char *request, loop_fn *fn)
{
	struct buf req = {.max = START_REQUEST_MAX};
	bool ok;

	c->redeem = (struct buf){.max = KV_BYTES};
	c->policy = sock_connect(POLICY_SOCK);
	ok = c->policy >= 0 && buf_put(&req, request, strlen(request)) &&
	     buf_write_fd(&req, c->policy) >= 0 && loop_add(c->s->loop, c->policy, POLLIN, fn, c);
	buf_free(&req);
	return ok;
}

static void
redeem(struct client *c, const char *ticket)
{
	char text[96];

	snprintf(c->ticket, sizeof c->ticket, "%s", ticket);
	snprintf(text, sizeof text, "redeem=%s\nuse=start\n\n", ticket);
	if (!ask_policy(c, text, on_redeemed))
		refuse(c, "policyd cannot be reached", 126);
}

static void on_deadline(struct loop *l, int fd, short revents, void *arg);

bool
client_bind(struct client *c, const char *name)
{
	char text[128];

	snprintf(text, sizeof text, "bind=%s\ntarget=%s\n\n", c->ticket, name);
	c->timer = loop_after(c->s->loop, REQUEST_MS, on_deadline, c);
	return ask_policy(c, text, on_bound);
}

static void
dispose(struct client *c, const char *name)
{
	const char *why = disp_dispose(c->s, name, c);

	if (why)
		refuse(c, why, 1);
}

static void
act(struct client *c, const struct start_request *r)
{
	static const enum job_kind kinds[] = {[OP_START] = JOB_START,
	    [OP_SHUTDOWN] = JOB_STOP,
	    [OP_KILL] = JOB_STOP,
	    [OP_PAUSE] = JOB_PAUSE,
	    [OP_UNPAUSE] = JOB_UNPAUSE,
	    [OP_STORE] = JOB_STORE,
	    [OP_UP] = JOB_UP,
	    [OP_DOWN] = JOB_DOWN};
	struct job_order o = {.name = r->name,
	    .client = c,
	    .limit_ms = r->timeout_s < 0 ? 0 : (uint64_t)r->timeout_s * 1000 + 1,
	    .kill = r->op == OP_KILL,
	    .force = r->force,
	    .ordered = r->ordered,
	    .by_qube = !c->person, /* by way of adminapid */
	    .code = r->code,
	    .reason = r->reason};

	if (r->ticket[0])
		return redeem(c, r->ticket); /* the time limit of the request goes on */
	loop_cancel(c->s->loop, c->timer);
	c->timer = 0;
	if (r->disp)
		return disp_start(c->s, r->name, c);
	if (r->op == OP_DISPOSE)
		return dispose(c, r->name);
	if ((r->op == OP_PAUSE || r->op == OP_UNPAUSE) && disp_is_kept(c->s, r->name))
		return refuse(c, "it is kept ready as a disposable, and nobody's yet", 1);
	o.kind = kinds[r->op];
	job_add(c->s, &o);
}

/* The answer is all that still goes over this connection; who hangs up does not undo a start. */
static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	static struct kv kv;
	struct start_request r;
	const char *bad;
	size_t whole;
	ssize_t n = buf_read_fd(&c->in, fd, START_REQUEST_MAX);

	(void)revents;
	whole = kv_whole(buf_bytes(&c->in), c->in.len);
	if (whole == 0 && n > 0 && buf_room(&c->in) > 0)
		return;
	loop_del(l, fd);
	if (whole == 0)
		return refuse(c, n > 0 ? "request too long" : "request not whole", 100);
	bad = kv_parse(&kv, buf_bytes(&c->in), whole);
	if (!bad)
		bad = request_parse(&kv, &r);
	if (!bad)
		bad = request_allowed(&r, c->uid, c->person, qid_of);
	if (bad)
		return refuse(c, bad, 100);
	act(c, &r);
}

static void
on_deadline(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)fd, (void)revents;
	c->timer = 0;
	refuse(c, "not whole, or no answer from policyd, after 5 s", 100);
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	struct startd *s = arg;
	const int fd = sock_accept(sock);
	struct client *c = fd >= 0 && s->nclients < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;

	(void)revents;
	if (!c) {
		if (fd >= 0) {
			log_limited(&s->crowd, "one more connection was closed");
			close(fd);
		} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_limited(&s->crowd, "nobody is let in: %s", strerror(errno));
			loop_rest(l, sock);
		}
		return;
	}
	*c = (struct client){.s = s, .fd = fd, .policy = -1, .in = {.max = START_REQUEST_MAX}};
	s->nclients++;
	c->uid = (uid_t)-1;
	(void)sock_peer(fd, &c->uid, NULL);
	c->person = uid_qid(c->uid, PROG_QREXECD) < 0 && sock_peer_is_person(fd, s->people);
	/* One that was taken over must leave room for the others, and all of them for people. */
	if (!c->person) {
		const size_t all = ++s->ndaemons, own = ++s->held[qid_or_0(c)];

		if (own > CLIENTS_PER_DAEMON || all > CLIENTS_BY_DAEMONS) {
			log_limited(&s->crowd, "uid %u: %zu connections, %zu of all: closed",
			    c->uid, own, all);
			return client_drop(c);
		}
	}
	c->timer = loop_after(l, REQUEST_MS, on_deadline, c);
	if (!loop_add(l, fd, POLLIN, on_client, c))
		client_drop(c);
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	int status;
	pid_t pid;

	(void)revents;
	if (sig == SIGTERM)
		return loop_stop(l, 0); /* the qubes stay: s6 and their vmstarts hold them */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		job_child_ended(arg, pid, status);
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGTERM, SIGCHLD};
	static struct startd s;
	const struct rlimit files = {NOFILE, NOFILE};
	const int ready_fd = daemon_options(argc, argv, "startd");

	umask(022);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	s.jobs_end = &s.jobs;
	s.people = people_gid();
	s.loop = loop_new();
	s.state_dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s.sock = sock_listen(START_SOCK, 0666);
	if (s.state_dir < 0 || s.sock < 0)
		die("%s", s.state_dir < 0 ? RUN_STATE : START_SOCK);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs");
	if (!loop_signals(s.loop, sigs, 2, on_signal, &s) ||
	    !loop_add(s.loop, s.sock, POLLIN, on_accept, &s))
		die("loop");
	pause_watch(&s);
	daemon_ready(ready_fd);
	disp_recover(&s);
	jobs_recover(&s);
	spawn_sweep();
	jobs_autostart(&s);
	prepare_start(&s);
	return loop_run(s.loop);
}
