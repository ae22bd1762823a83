/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "qrexecd/qrexec.h"
#include "relay.h"

#define TX_SLACK                                                                                   \
	64 /* for the short messages that may follow a full chunk: ends of streams, exit code */
#define LINGER_MS 100	 /* for a peer that is still sending when we are done */
#define SMALL_WRITE 4096 /* what a pipe with any room takes without waiting */

enum mode { RUN, REFUSE_AGENT, REFUSE_DOM0, JUST_EXEC };

struct src {
	int fd;
	uint32_t type;
	bool open, sock, eof_due;
};

struct dst {
	int fd;
	bool open, sock, filter;
	size_t most; /* of one write */
};

struct st {
	struct relay *r;
	enum mode mode;
	int code;	  /* what the call ends with */
	int child_status; /* exit code, or 128 + signal */
	int sigfd;
	struct src in, err; /* local -> channel */
	struct dst out, errout;
	const uint8_t *prefix;
	size_t prefix_left;
	size_t chunk;
	bool hello_put, hello_got;
	bool client_eof, child_gone, usr1, err_turn;
	bool v_in;	/* the channel may have more to read */
	bool tx_dead;	/* the peer takes nothing any more */
	bool exit_put;	/* service: our last message is in tx */
	bool over;	/* caller: the exit code arrived; or the call was given up with code */
	bool lost, bad; /* the peer has gone; the peer broke the rules */
	struct log_limit limit;
	struct dst *blocked; /* it is full: nothing more is taken from the channel */
	uint32_t rx_type;
	size_t rx_left; /* payload of the current message still to come */
	uint8_t status[4];
	size_t nstatus;
	size_t rx_off, rx_end, tx_off, tx_end;
	uint8_t rx[DATA_CHUNK + MSG_HEADER_LEN];
	uint8_t tx[DATA_CHUNK + MSG_HEADER_LEN + TX_SLACK];
};

uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool
is_sock(int fd)
{
	struct stat sb;

	return fstat(fd, &sb) == 0 && S_ISSOCK(sb.st_mode);
}

static void
src_open(struct src *s, int fd, uint32_t type)
{
	*s = (struct src){.fd = fd, .type = type, .open = fcntl(fd, F_GETFD) >= 0};
	s->sock = s->open && is_sock(fd);
	s->eof_due = !s->open;
}

/*
 * An inherited pipe or terminal is shared with others, who would not expect O_NONBLOCK: we open it
 * anew for ourselves. Where that is not possible, small writes after poll(2) do not wait either.
 */
static void
dst_open(struct dst *d, int fd, bool filter)
{
	char path[32];
	struct stat sb;
	int mine, flags;

	*d = (struct dst){.fd = fd, .filter = filter, .most = SIZE_MAX};
	if (fd < 0 || fstat(fd, &sb) < 0)
		return;
	d->open = true;
	d->sock = S_ISSOCK(sb.st_mode);
	flags = fcntl(fd, F_GETFL);
	if (d->sock || S_ISREG(sb.st_mode) || flags & O_NONBLOCK)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	mine = open(path, (flags & (O_ACCMODE | O_APPEND)) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (mine < 0 || dup3(mine, fd, O_CLOEXEC) < 0)
		d->most = SMALL_WRITE;
	if (mine >= 0)
		close(mine);
}

static void
tx_msg(struct st *s, uint32_t type, const void *p, size_t n)
{
	struct wr w = wr_over(s->tx + s->tx_end, sizeof s->tx - s->tx_end);

	wr_u32(&w, type);
	wr_u32(&w, (uint32_t)n);
	wr_bytes(&w, p, n);
	if (!w.full)
		s->tx_end += w.len;
}

static void
tx_code(struct st *s, int code)
{
	uint32_t v = (uint32_t)code;

	tx_msg(s, MSG_DATA_EXIT_CODE, &v, sizeof v);
	s->code = code;
	s->exit_put = true;
}

/* The program at the other end of a stream socket sees the end at once; other descriptors are
 * closed. */
static void
dst_end(struct st *s, struct dst *d)
{
	bool shared = s->r->in == d->fd || (s->r->usr1 && d->sock && d == &s->out);

	if (!d->open)
		return;
	d->open = false;
	if (!shared && d->fd != STDERR_FILENO)
		close(d->fd);
	else if (d->sock)
		shutdown(d->fd, SHUT_WR);
}

static void
src_end(struct st *s, struct src *i)
{
	struct pollfd p = {.fd = i->fd};

	if (!i->open)
		return;
	i->open = false;
	i->eof_due = true;
	if (i->fd != s->out.fd) {
		close(i->fd);
		return;
	}
	/* One socket for both ways, and the far end holds it no more. */
	if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
		dst_end(s, &s->out);
}

/* SIGUSR1: what the program had written to its standard output before is taken first. */
static void
src_switch(struct st *s)
{
	if (s->in.fd != s->out.fd)
		close(s->in.fd);
	s->in.fd = s->out.fd;
	s->in.sock = true;
	s->r->in = s->out.fd;
	s->usr1 = false;
}

static bool
src_fill(struct st *s, struct src *i)
{
	uint8_t *p = s->tx + MSG_HEADER_LEN;
	struct wr w = wr_over(s->tx, MSG_HEADER_LEN);
	ssize_t n;

	n = i->sock ? recv(i->fd, p, s->chunk, MSG_DONTWAIT) : read(i->fd, p, s->chunk);
	if (n <= 0 && s->usr1 && i == &s->in) {
		src_switch(s);
		return false;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		src_end(s, i);
		return false;
	}
	wr_u32(&w, i->type);
	wr_u32(&w, (uint32_t)n);
	s->tx_end = MSG_HEADER_LEN + (size_t)n;
	return true;
}

static void
tx_prefix(struct st *s)
{
	size_t n = s->prefix_left < s->chunk ? s->prefix_left : s->chunk;

	if (n == 0 || s->tx_end != 0)
		return;
	tx_msg(s, MSG_DATA_STDIN, s->prefix, n);
	s->prefix += n;
	s->prefix_left -= n;
}

static void
tx_eof(struct st *s, struct src *i)
{
	if (!i->eof_due || s->prefix_left != 0)
		return;
	i->eof_due = false;
	tx_msg(s, i->type, NULL, 0);
}

/* Service: is everything over but for the exit code? */
static bool
service_over(struct st *s)
{
	const struct relay *r = s->r;

	if (r->child > 0)
		return s->child_gone && !s->in.open && !s->err.open;
	if ((r->exit_on_client_eof && s->client_eof) || (r->exit_on_service_eof && !s->in.open)) {
		src_end(s, &s->in);
		return true;
	}
	return !s->in.open && !s->out.open;
}

static void
tx_ends(struct st *s)
{
	bool over;

	if (!s->hello_got || s->exit_put || s->mode != RUN || s->tx_end > sizeof s->tx - TX_SLACK)
		return;
	over = s->r->side == RELAY_SERVICE && service_over(s);
	tx_eof(s, &s->in);
	tx_eof(s, &s->err);
	if (over)
		tx_code(s, s->r->child > 0 ? s->child_status : 0);
}

static void
tx_give_up(struct st *s)
{
	s->tx_dead = true;
	s->tx_off = s->tx_end = 0;
	s->prefix_left = 0;
	src_end(s, &s->in);
	src_end(s, &s->err);
}

static void
tx_pump(struct st *s)
{
	ssize_t n;

	if (s->tx_dead)
		s->tx_end = s->tx_off = 0;
	if (s->tx_off == s->tx_end)
		return;
	n = vchan_write(s->r->v, s->tx + s->tx_off, s->tx_end - s->tx_off);
	if (n < 0) {
		tx_give_up(s);
		return;
	}
	s->tx_off += (size_t)n;
	if (s->tx_off == s->tx_end)
		s->tx_off = s->tx_end = 0;
}

static void
tx_take(struct st *s, bool in_ready, bool err_ready)
{
	struct src *first = s->err_turn ? &s->err : &s->in,
		   *second = s->err_turn ? &s->in : &s->err;
	bool ready[2] = {s->err_turn ? err_ready : in_ready, s->err_turn ? in_ready : err_ready};

	if (s->tx_end != 0 || s->prefix_left != 0)
		return;
	if (ready[0] && first->open && src_fill(s, first))
		s->err_turn = !s->err_turn;
	else if (ready[1] && second->open)
		src_fill(s, second);
}

static void
tx_turn(struct st *s, bool v_ready, bool in_ready, bool err_ready)
{
	if (v_ready)
		tx_pump(s);
	do {
		tx_prefix(s);
		tx_take(s, in_ready, err_ready);
		tx_ends(s);
		in_ready = err_ready = false;
		tx_pump(s);
	} while (s->tx_end == 0 && s->prefix_left != 0);
}

static void
filter(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] < 0x20 || p[i] > 0x7e) && (p[i] < '\a' || p[i] > '\n') && p[i] != '\r')
			p[i] = '_';
}

/* The reader of our standard output has gone: as in a local pipe, the writer ends. */
static void
dst_broken(struct st *s, struct dst *d)
{
	dst_end(s, d);
	if (s->r->side != RELAY_CALLER || s->r->child > 0 || d != &s->out || d->sock)
		return;
	s->code = 128 + SIGPIPE;
	s->over = true;
}

/* Returns how much of it is dealt with. */
static size_t
dst_put(struct st *s, struct dst *d, uint8_t *p, size_t n)
{
	ssize_t k;

	if (!d->open)
		return n;
	if (d->filter)
		filter(p, n);
	if (d->sock)
		k = send(d->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		k = write(d->fd, p, n < d->most ? n : d->most);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		k = 0;
	if (k < 0) {
		dst_broken(s, d);
		return n;
	}
	if ((size_t)k < n)
		s->blocked = d;
	return (size_t)k;
}

static void
broken(struct st *s, const char *what, uint32_t v)
{
	logit("data channel: %s (%u): the call is ended", what, v);
	s->bad = true;
}

/* QSB-087: a caller has no standard error and no exit status. */
static void
drop_from_caller(struct st *s, const uint8_t *untrusted_p, size_t n)
{
	char esc[LOG_ESC_MAX];

	log_limited(&s->limit, "data channel: dropped %s from the caller: %s",
	    s->rx_type == MSG_DATA_STDERR ? "STDERR" : "EXIT_CODE",
	    log_esc(esc, sizeof esc, untrusted_p, n < 32 ? n : 32));
}

static size_t
status_put(struct st *s, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && s->nstatus < sizeof s->status; i++)
		s->status[s->nstatus++] = p[i];
	return n;
}

static size_t
rx_payload(struct st *s, uint8_t *untrusted_p, size_t n)
{
	if (s->r->t_first != NULL && *s->r->t_first == 0)
		*s->r->t_first = now_us();
	if (s->rx_type == MSG_DATA_STDIN || s->rx_type == MSG_DATA_STDOUT)
		return dst_put(s, &s->out, untrusted_p, n);
	if (s->r->side == RELAY_SERVICE) {
		drop_from_caller(s, untrusted_p, n);
		return n;
	}
	if (s->rx_type == MSG_DATA_STDERR)
		return dst_put(s, &s->errout, untrusted_p, n);
	return status_put(s, untrusted_p, n);
}

static void
rx_exit(struct st *s)
{
	uint32_t v;

	memcpy(&v, s->status, sizeof v);
	s->code = s->nstatus < sizeof s->status ? EXIT_LINK_LOST : (int)v;
	s->r->got_exit = true;
	s->over = true;
}

static void
rx_eof(struct st *s)
{
	bool caller = s->r->side == RELAY_CALLER;

	if (s->rx_type == MSG_DATA_STDIN || s->rx_type == MSG_DATA_STDOUT) {
		s->client_eof = true;
		dst_end(s, &s->out);
	} else if (!caller) {
		drop_from_caller(s, NULL, 0);
	} else if (s->rx_type == MSG_DATA_STDERR) {
		dst_end(s, &s->errout);
	}
}

/* Both have said HELLO: the streams begin. */
static void
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
	src_open(&s->err, r->err, MSG_DATA_STDERR);
	if (!s->err.open) /* Dom0 and sockets: said first of all */
		tx_eof(s, &s->err);
}

static void
put_hello(struct st *s)
{
	uint32_t v = QREXEC_VERSION;

	tx_msg(s, MSG_HELLO, &v, sizeof v);
	s->hello_put = true;
}

static bool
rx_hello(struct st *s)
{
	struct rd r = rd_over(s->rx + s->rx_off, s->rx_end - s->rx_off);
	uint32_t type = rd_u32(&r), len = rd_u32(&r), version;

	if (s->rx_end - s->rx_off < MSG_HEADER_LEN)
		return false;
	if (type != MSG_HELLO || len != HELLO_LEN) {
		broken(s, "no HELLO first, but type", type);
		return false;
	}
	version = rd_u32(&r);
	if (r.bad)
		return false;
	if (version < QREXEC_VERSION_MIN) {
		broken(s, "the peer's version is too old", version);
		return false;
	}
	s->rx_off += MSG_HEADER_LEN + HELLO_LEN;
	s->r->version = version < QREXEC_VERSION ? version : QREXEC_VERSION;
	s->hello_got = true;
	if (!s->hello_put)
		put_hello(s);
	begin(s);
	return true;
}

static bool
rx_header(struct st *s)
{
	struct rd r = rd_over(s->rx + s->rx_off, s->rx_end - s->rx_off);
	uint32_t type = rd_u32(&r), len = rd_u32(&r);
	bool caller = s->r->side == RELAY_CALLER;

	if (r.bad)
		return false;
	if (type < MSG_DATA_STDIN || type > MSG_DATA_EXIT_CODE) {
		broken(s, "unknown message type", type);
		return false;
	}
	if (len > s->chunk) {
		broken(s, "message too long", len);
		return false;
	}
	if (type == (caller ? MSG_DATA_STDIN : MSG_DATA_STDOUT))
		log_limited(
		    &s->limit, "data channel: a stream of the wrong direction is taken as ours");
	s->rx_off += MSG_HEADER_LEN;
	s->rx_type = type;
	s->rx_left = len;
	if (len == 0)
		rx_eof(s);
	if (len == 0 && caller && type == MSG_DATA_EXIT_CODE)
		rx_exit(s);
	return !s->over;
}

/* One step over what has been received; false: nothing more can be done with it now. */
static bool
rx_step(struct st *s)
{
	size_t n = s->rx_end - s->rx_off, done;

	if (s->over || s->bad || s->blocked != NULL)
		return false;
	if (!s->hello_got)
		return rx_hello(s);
	if (s->rx_left == 0)
		return rx_header(s);
	if (n > s->rx_left)
		n = s->rx_left;
	if (n == 0)
		return false;
	done = rx_payload(s, s->rx + s->rx_off, n);
	s->rx_off += done;
	s->rx_left -= done;
	if (s->rx_left == 0 && s->rx_type == MSG_DATA_EXIT_CODE && s->r->side == RELAY_CALLER)
		rx_exit(s);
	return done == n;
}

static void
rx_turn(struct st *s)
{
	size_t room;
	ssize_t n;

	while (rx_step(s))
		;
	if (!s->v_in || s->over || s->bad || s->blocked != NULL)
		return;
	/* What is left is at most the beginning of a header. */
	memmove(s->rx, s->rx + s->rx_off, s->rx_end - s->rx_off);
	s->rx_end -= s->rx_off;
	s->rx_off = 0;
	room = sizeof s->rx - s->rx_end;
	n = vchan_read(s->r->v, s->rx + s->rx_end, room);
	if (n < 0) {
		s->lost = true;
		return;
	}
	s->v_in = (size_t)n == room;
	s->rx_end += (size_t)n;
	while (rx_step(s))
		;
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
		if (si.ssi_signo == SIGUSR1 && s->r->usr1 && s->in.open && s->out.sock)
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

enum { P_CHAN, P_IN, P_ERR, P_DST, P_SIG, P_CONTROL, P_N };

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
	polled(&p[P_CONTROL], s->r->control, POLLIN, s->r->control >= 0);
	return poll(p, P_N, (s->v_in && rx) || s->usr1 ? 0 : -1);
}

/* chand says with a byte that the domain has gone; its own end says nothing about the channel. */
static void
control(struct st *s)
{
	char c;
	ssize_t n = recv(s->r->control, &c, sizeof c, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		s->lost = true;
	close(s->r->control);
	s->r->control = -1;
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
		tx_turn(s, v_ready, p[P_IN].revents != 0 || s->usr1, p[P_ERR].revents != 0);
	if (p[P_CONTROL].revents != 0)
		control(s);
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
		while ((n = vchan_read(s->r->v, s->rx, sizeof s->rx)) > 0)
			;
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
	s->sigfd = -1;
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
