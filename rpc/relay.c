/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pump.h"
#include "relay-state.h"

#define LINGER_MS 100 /* for a peer that is still sending when we are done */

uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Both have said HELLO: the streams begin. */
void
begin(struct st *s)
{
	struct relay *r = s->r;

	s->chunk = data_chunk(r->version);
	if (s->mode == REFUSE_DOM0)
		tx_msg(s, MSG_DATA_STDERR, NULL, 0);
	if (s->mode == REFUSE_AGENT || s->mode == REFUSE_DOM0)
		tx_msg(s, MSG_DATA_STDOUT, NULL, 0);
	if (s->mode == REFUSE_AGENT)
		tx_msg(s, MSG_DATA_STDERR, NULL, 0);
	if (s->mode != RUN) {
		tx_code(s, s->code);
		return;
	}
	if (r->on_hello != NULL && !r->on_hello(r->arg)) {
		s->code = EXIT_QREXEC;
		s->over = true;
		return;
	}
	dst_open(&s->out, r->out, r->filter_out);
	src_open(&s->in, r->in, r->side == RELAY_CALLER ? MSG_DATA_STDIN : MSG_DATA_STDOUT);
	s->err = (struct src){.fd = -1, .type = MSG_DATA_STDERR};
	if (r->side == RELAY_CALLER) {
		dst_open(&s->errout, r->err, r->filter_err);
		return;
	}
	src_open(&s->err, r->log_err == NULL ? r->err : -1, MSG_DATA_STDERR);
	s->err_held = r->err_held;
	if (r->log_err != NULL)
		errlog_open(&s->log, r->err, r->log_err);
	if (!s->err.open) /* Dom0 and sockets: said first of all */
		tx_eof(s, &s->err);
}

void
put_hello(struct st *s)
{
	uint32_t v = QREXEC_VERSION;

	tx_msg(s, MSG_HELLO, &v, sizeof v);
	s->hello_put = true;
}

static void
reap(struct st *s, int flags)
{
	int st;

	if (s->r->child <= 0 || s->child_gone || waitpid(s->r->child, &st, flags) != s->r->child)
		return;
	s->child_gone = true;
	s->child_status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static void
signals(struct st *s)
{
	struct signalfd_siginfo si;

	while (read(s->sigfd, &si, sizeof si) == (ssize_t)sizeof si)
		if (si.ssi_signo == SIGUSR1)
			s->usr1 = true;
	reap(s, WNOHANG);
}

static bool
finished(const struct st *s)
{
	if (s->over || s->lost || s->bad)
		return true;
	return s->exit_put && (s->tx_end == 0 || s->tx_dead);
}

enum { P_CHAN, P_IN, P_ERR, P_DST, P_SIG, P_CONTROL, P_LOG, P_N };

static void
polled(struct pollfd *p, int fd, short events, bool want)
{
	*p = (struct pollfd){.fd = want ? fd : -1, .events = events};
}

static int
wait_for_work(struct st *s, struct pollfd *p)
{
	bool idle = s->tx_end == 0, rx = s->blocked == NULL;
	short want = (short)((rx ? POLLIN : 0) | (idle ? 0 : POLLOUT));

	vchan_poll(s->r->v, want, &p[P_CHAN]);
	if (want == 0)
		p[P_CHAN].fd = -1;
	polled(&p[P_IN], s->in.fd, POLLIN, s->in.open && idle);
	polled(&p[P_ERR], s->err.fd, POLLIN, s->err.open && idle);
	polled(&p[P_DST], rx ? -1 : s->blocked->fd, POLLOUT, !rx);
	polled(&p[P_SIG], s->sigfd, POLLIN, s->sigfd >= 0);
	polled(&p[P_LOG], s->log.fd, POLLIN, s->log.fd >= 0);
	polled(&p[P_CONTROL], s->control.fd, POLLIN, s->control.fd >= 0);
	if ((s->v_in && rx) || (s->usr1 && s->in.open && idle))
		return poll(p, P_N, 0);
	return poll(p, P_N, control_wait(&s->control));
}

/* Most programs say nothing: there is a pump from the first byte on. */
static bool
err_ready(struct st *s, short revents)
{
	if (revents == 0 || !s->err_held)
		return revents != 0;
	s->err_held = false;
	if (!(revents & POLLIN)) {
		src_end(s, &s->err);
		return false;
	}
	s->err.fd = pump_start(s->err.fd, NULL);
	s->err.sock = true;
	s->err.open = s->err.fd >= 0;
	s->err.eof_due = !s->err.open;
	return false;
}

static void
turn(struct st *s)
{
	struct pollfd p[P_N];
	bool v_ready;

	if (wait_for_work(s, p) < 0)
		return;
	if (p[P_SIG].revents != 0)
		signals(s);
	v_ready = p[P_CHAN].revents != 0;
	if (v_ready) {
		vchan_turn(s->r->v);
		s->v_in = true;
	}
	if (p[P_DST].revents != 0)
		s->blocked = NULL;
	rx_turn(s);
	if (!s->over && !s->bad)
		tx_turn(
		    s, v_ready, p[P_IN].revents != 0 || s->usr1, err_ready(s, p[P_ERR].revents));
	if (p[P_LOG].revents != 0)
		errlog_read(&s->log);
	if ((p[P_CONTROL].revents != 0 || s->control.again != 0) && !control_turn(&s->control))
		s->lost = true; /* the domain has gone */
}

/* Until the peer has gone too, or for a moment: it may be sending, and would meet a closed channel.
 */
static void
linger(struct st *s)
{
	uint64_t now = now_us() / 1000u, end = now + LINGER_MS;
	struct pollfd p;
	ssize_t n = 0;

	while (n >= 0 && now < end) {
		vchan_poll(s->r->v, POLLIN, &p);
		if (poll(&p, 1, (int)(end - now)) > 0)
			vchan_turn(s->r->v);
		n = vchan_read(s->r->v, s->rx, sizeof s->rx);
		now = now_us() / 1000u;
	}
}

/* The caller's last word, and the local program's end. */
static int
caller_end(struct st *s)
{
	if (s->hello_got && !s->lost && !s->bad && s->in.open && s->tx_end == 0) {
		tx_msg(s, MSG_DATA_STDIN, NULL, 0);
		tx_pump(s);
	}
	vchan_close(s->r->v);
	src_end(s, &s->in);
	dst_end(s, &s->out);
	if (s->r->child > 0 && s->r->in == s->r->out)
		close(s->r->out);
	reap(s, 0);
	if (s->lost)
		return EXIT_LINK_LOST;
	if (s->bad)
		return EXIT_QREXEC;
	return s->code != 0 ? s->code : s->child_status;
}

static int
service_end(struct st *s)
{
	if (s->exit_put && !s->lost && !s->tx_dead)
		linger(s);
	vchan_close(s->r->v);
	if (s->bad)
		return EXIT_QREXEC;
	return s->exit_put ? s->code : EXIT_LINK_LOST;
}

static int
signal_fd(const struct relay *r)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (r->usr1)
		sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int
run(struct relay *r, enum mode mode, int code)
{
	struct st *s = malloc(sizeof *s);
	int rc;

	if (s == NULL)
		die("no memory");
	memset(s, 0, offsetof(struct st, rx));
	s->r = r;
	s->mode = mode;
	s->code = code;
	s->sigfd = s->log.fd = -1;
	control_open(&s->control, r->control, r->control_domid);
	s->prefix = r->prefix;
	s->prefix_left = r->prefix_len;
	s->v_in = true;
	signal(SIGPIPE, SIG_IGN);
	if (r->child > 0 || r->usr1 || r->on_hello != NULL) {
		s->sigfd = signal_fd(r);
		reap(s, WNOHANG);
	}
	if (!r->read_first)
		put_hello(s);
	tx_pump(s);
	while (!finished(s))
		turn(s);
	if (s->sigfd >= 0)
		close(s->sigfd);
	control_close(&s->control);
	errlog_end(&s->log);
	log_flush(&s->limit, "data channel: dropped");
	rc = r->side == RELAY_CALLER ? caller_end(s) : service_end(s);
	free(s);
	return rc;
}

int
relay_run(struct relay *r)
{
	return run(r, RUN, 0);
}

int
relay_refuse(struct vchan *v, bool dom0, int code)
{
	struct relay r = {.side = RELAY_SERVICE, .v = v, .control = -1, .read_first = dom0};

	r.in = r.out = r.err = -1;
	return run(&r, dom0 ? REFUSE_DOM0 : REFUSE_AGENT, code);
}

int
relay_just_exec(struct vchan *v, bool read_first, int code)
{
	struct relay r = {.side = RELAY_SERVICE, .v = v, .control = -1, .read_first = read_first};

	r.in = r.out = r.err = -1;
	return run(&r, JUST_EXEC, code);
}
