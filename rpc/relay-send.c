/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "relay-state.h"

bool
is_sock(int fd)
{
	struct stat sb;

	return fstat(fd, &sb) == 0 && S_ISSOCK(sb.st_mode);
}

void
src_open(struct src *s, int fd, uint32_t type)
{
	*s = (struct src){.fd = fd, .type = type, .open = fcntl(fd, F_GETFD) >= 0};
	s->sock = s->open && is_sock(fd);
	s->eof_due = !s->open;
}

void
tx_msg(struct st *s, uint32_t type, const void *p, size_t n)
{
	struct wr w = wr_over(s->tx + s->tx_end, sizeof s->tx - s->tx_end);

	wr_u32(&w, type);
	wr_u32(&w, (uint32_t)n);
	wr_bytes(&w, p, n);
	if (!w.full)
		s->tx_end += w.len;
}

void
tx_code(struct st *s, int code)
{
	uint32_t v = (uint32_t)code;

	tx_msg(s, MSG_DATA_EXIT_CODE, &v, sizeof v);
	s->code = code;
	s->exit_put = true;
}

void
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
	/* With its header it fits an empty ring: no rest of a few bytes that waits for the peer. */
	const size_t most = s->chunk - MSG_HEADER_LEN;
	ssize_t n;

	n = i->sock ? recv(i->fd, p, most, MSG_DONTWAIT) : read(i->fd, p, most);
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

void
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
	if (!over)
		return;
	errlog_end(&s->log); /* who hears of the end finds it in the log */
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

void
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

void
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
	} while (s->hello_got && s->tx_end == 0 && s->prefix_left != 0);
}
