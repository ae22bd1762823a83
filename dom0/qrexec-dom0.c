/* SPDX-License-Identifier: ISC */
/*
 * The parent: it accepts, counts and forks, and never reads a byte. What a qrexecd says is read by
 * the child of that one call (qrexec-dom0-child.c).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "ids.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "qrexec-dom0.h"
#include "qrexecd/peer.h"
#include "running.h"
#include "sock.h"

#define CALLS_MAX 512 /* running, of all qubes */
#define CALLS_QUBE 32 /* of one */
#define BAD_MAX 64    /* requests of one that were refused, ... */
#define BAD_MS                                                                                     \
	10000 /* ... in this time: then it waits, or it would cost a process and a line each */
#define KILL_MS 900 /* after SIGTERM, when its qube has gone */
#define LISTEN_PATH RUN_Q "/dom0/" PEER_SOCK

struct qube_calls {
	uint16_t running, bad;
	uint64_t since; /* the first of bad */
	struct log_limit refused;
};

static struct {
	struct loop *loop;
	int listen;
	size_t running;
	struct {
		pid_t pid;
		uint32_t qid;
		bool over; /* its qube has gone */
	} call[CALLS_MAX];
	uint32_t kill_timer;
	struct qube_calls qube[QID_MAX + 1]; /* pages of qubes that never call are never touched */
	struct log_limit strangers, out_of;
} d;

static void
refuse(int fd, const char *reason)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "result=refused\nreason=%s\n\n", reason);

	/* A socket just accepted has room for it; who does not read it sees the end of file. */
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_limited(&d.out_of, "refusal not sent: %s", strerror(errno));
}

static void
start_child(int fd, uint32_t qid)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid < 0) {
		refuse(fd, "fork");
		log_limited(&d.out_of, "fork: %s", strerror(errno));
		return;
	}
	if (pid == 0) {
		close(d.listen);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dom0_child(fd, qid);
	}
	d.call[d.running].pid = pid;
	d.call[d.running].over = false;
	d.call[d.running++].qid = qid;
	d.qube[qid].running++;
}

static void
accepted(int fd)
{
	uid_t uid;
	pid_t pid;
	int64_t qid = sock_peer(fd, &uid, &pid) ? uid_qid(uid, PROG_QREXECD) : -1;

	if (qid <= 0) {
		log_limited(&d.strangers, "refused: a peer that is no qrexecd");
		return;
	}
	running_look(); /* a session that has ended must not take the next one's calls along */
	struct qube_calls *q = &d.qube[qid];
	if (q->bad >= BAD_MAX && now_ms() - q->since < BAD_MS) {
		refuse(fd, "limit");
		log_limited(&q->refused, "refused: qid %u brought %d bad requests in %d s",
		    (unsigned)qid, BAD_MAX, BAD_MS / 1000);
		return;
	}
	if (q->running >= CALLS_QUBE || d.running >= CALLS_MAX) {
		refuse(fd, "limit");
		log_limited(&q->refused, "refused: qid %u has %u calls, all %zu: limit",
		    (unsigned)qid, q->running, d.running);
		return;
	}
	start_child(fd, (uint32_t)qid);
}

static void
on_listen(struct loop *l, int fd, short revents, void *arg)
{
	(void)revents, (void)arg;
	int conn = sock_accept(fd);

	if (conn >= 0) {
		accepted(conn);
		close(conn);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	log_limited(&d.out_of, "accept: %s", strerror(errno));
	loop_rest(l, fd);
}

static void
count_bad(struct qube_calls *q)
{
	const uint64_t now = now_ms();

	if (q->bad == 0 || now - q->since >= BAD_MS) {
		q->since = now;
		q->bad = 0;
	}
	q->bad++;
}

static void
ended(pid_t pid, int status)
{
	for (size_t i = 0; i < d.running; i++) {
		if (d.call[i].pid != pid)
			continue;
		struct qube_calls *q = &d.qube[d.call[i].qid];
		if (WIFEXITED(status) && WEXITSTATUS(status) == DOM0_REFUSED)
			count_bad(q);
		if (--q->running == 0)
			log_flush(&q->refused, "refused: limit");
		d.call[i] = d.call[--d.running];
		return;
	}
}

static void
on_killing(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents, (void)arg;
	d.kill_timer = 0;
	for (size_t i = 0; i < d.running; i++)
		if (d.call[i].over)
			kill(d.call[i].pid, SIGKILL);
}

/* Nobody may hold pages of a domain that has gone, whoever else was killed. */
static void
on_qube_ended(struct domain *q)
{
	for (size_t i = 0; i < d.running; i++) {
		if (d.call[i].qid != q->qid)
			continue;
		d.call[i].over = true;
		kill(d.call[i].pid, SIGTERM);
		if (d.kill_timer == 0)
			d.kill_timer = loop_after(d.loop, KILL_MS, on_killing, NULL);
	}
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)revents, (void)arg;
	pid_t pid;
	int status;

	if (sig != SIGCHLD) {
		loop_stop(l, 0);
		return;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
}

/* qrexecds, which are in GID_DAEMONS, may connect; nobody else. */
static int
listen_for_daemons(void)
{
	if (setegid(GID_DAEMONS) < 0)
		die("setegid");
	int fd = sock_listen(LISTEN_PATH, 0660);
	if (fd < 0)
		die("%s", LISTEN_PATH);
	if (setegid(getgid()) < 0)
		die("setegid");
	return fd;
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT};
	static const struct running_fns fns = {NULL, on_qube_ended};
	const int ready = daemon_options(argc, argv, "qrexec-dom0");

	signal(SIGPIPE, SIG_IGN);
	d.listen = listen_for_daemons();
	d.loop = loop_new();
	if (!loop_signals(d.loop, sigs, 3, on_signal, NULL) ||
	    !loop_add(d.loop, d.listen, POLLIN, on_listen, NULL))
		die("loop");
	running_start(d.loop, &fns);
	daemon_ready(ready);
	return loop_run(d.loop);
}
