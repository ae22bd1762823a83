/* SPDX-License-Identifier: ISC */
/* The rules of spec/qrexec 5b, byte by byte, against a relay in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "qrexecd/qrexec.h"
#include "rpc/relay.h"

#define BIG ((size_t)4 << 20)

struct call {
	struct relay r;
	const char *sh;		     /* service: the program; caller: the local program */
	int mode;		     /* 0 relay_run, 1 and 2 relay_refuse, 3 relay_just_exec */
	bool no_err, one_sock;	     /* service: no stderr; in and out are one socket */
	int control;		     /* 0: none */
	int peer, in, out, err, log; /* the test's ends; service with one_sock: out */
	pid_t pid;
};

static void
pair(int p[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
}

static void
tube(int p[2])
{
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
}

static pid_t
program(const char *sh, int in, int out, int err)
{
	char pid[16];
	pid_t p;

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	p = fork();
	if (p != 0)
		return p;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("QREXEC_AGENT_PID", pid, 1);
	dup2(in, 0);
	dup2(out, 1);
	if (err >= 0)
		dup2(err, 2);
	execl("/bin/sh", "sh", "-c", sh, (char *)NULL);
	_exit(99);
}

static void
relay_process(struct call *c, int chan, int in[2], int out[2], int err[2])
{
	struct relay *r = &c->r;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r->v = vchan_take(VCHAN_CLIENT, chan);
	r->control = c->control > 0 ? c->control : -1;
	r->in = in[0];
	r->out = c->one_sock ? in[0] : out[1];
	r->err = c->no_err ? -1 : r->side == RELAY_SERVICE ? err[0] : err[1];
	if (c->sh != NULL)
		r->child = program(c->sh, out[0], in[1], r->side == RELAY_SERVICE ? err[1] : -1);
	close(in[1]);
	close(out[0]);
	close(r->side == RELAY_SERVICE ? err[1] : err[0]);
	if (c->mode == 0)
		_exit(relay_run(r));
	if (c->mode == 3)
		_exit(relay_just_exec(r->v, r->read_first, 127));
	_exit(relay_refuse(r->v, c->mode == 2, 125));
}

static void
start(struct call *c)
{
	int chan[2], in[2], out[2], err[2], lg[2];
	struct timeval tv = {.tv_sec = 10};

	pair(chan);
	tube(lg);
	if (c->sh != NULL || c->one_sock) {
		pair(in);
		pair(out);
	} else {
		tube(in);
		tube(out);
	}
	tube(err);
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		dup2(lg[1], 2);
		close(chan[0]);
		relay_process(c, chan[1], in, out, err);
	}
	close(chan[1]);
	close(lg[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	c->peer = chan[0];
	c->log = lg[0];
	c->in = in[1];
	c->out = c->one_sock ? in[1] : out[0];
	c->err = err[0];
	if (c->sh != NULL) {
		close(in[1]);
		close(out[0]);
		close(err[0]);
	}
	setsockopt(c->peer, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
}

static void
put(struct call *c, uint32_t type, const void *p, size_t n)
{
	uint32_t h[2] = {type, (uint32_t)n};

	assert_int_equal(send(c->peer, h, sizeof h, MSG_NOSIGNAL), sizeof h);
	if (n > 0)
		assert_int_equal(send(c->peer, p, n, MSG_NOSIGNAL), n);
}

static void
put_u32(struct call *c, uint32_t type, uint32_t v)
{
	put(c, type, &v, sizeof v);
}

static bool
get_all(int fd, void *p, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t k = read(fd, (char *)p + got, n - got);
		if (k <= 0)
			return false;
		got += (size_t)k;
	}
	return true;
}

static uint8_t body[DATA_CHUNK];

/* The next message's type, or 0 at the end; its length in *n, its bytes in body. */
static uint32_t
get(struct call *c, uint32_t *n)
{
	uint32_t h[2];

	*n = 0;
	if (!get_all(c->peer, h, sizeof h))
		return 0;
	assert_true(h[1] <= sizeof body);
	*n = h[1];
	assert_true(get_all(c->peer, body, h[1]));
	return h[0];
}

static void
expect(struct call *c, uint32_t type, const void *p, size_t n)
{
	uint32_t len;

	assert_int_equal(get(c, &len), type);
	assert_int_equal(len, n);
	assert_memory_equal(body, p, n);
}

static void
expect_eof(struct call *c, uint32_t type)
{
	expect(c, type, "", 0);
}

static void
expect_u32(struct call *c, uint32_t type, uint32_t v)
{
	expect(c, type, &v, sizeof v);
}

static void
expect_closed(struct call *c)
{
	uint32_t n;

	assert_int_equal(get(c, &n), 0);
}

static void
greet(struct call *c, uint32_t version)
{
	put_u32(c, MSG_HELLO, version);
	expect_u32(c, MSG_HELLO, 4);
}

static int
status(struct call *c)
{
	int st;

	assert_int_equal(waitpid(c->pid, &st, 0), c->pid);
	assert_true(WIFEXITED(st));
	return WEXITSTATUS(st);
}

static int
done(struct call *c)
{
	int rc;

	if (c->peer >= 0)
		close(c->peer);
	rc = status(c);
	close(c->log);
	if (c->sh == NULL) {
		close(c->in);
		if (c->out != c->in)
			close(c->out);
		close(c->err);
	}
	return rc;
}

static void
hang_up(struct call *c)
{
	close(c->peer);
	c->peer = -1;
}

static struct call
service(const char *sh)
{
	struct call c = {.r.side = RELAY_SERVICE, .sh = sh};

	start(&c);
	return c;
}

static struct call
caller(const char *sh)
{
	struct call c = {.r.side = RELAY_CALLER, .sh = sh};

	start(&c);
	return c;
}

static void
versions(void **state)
{
	static const struct {
		uint32_t theirs;
		bool ok;
	} t[] = {{0, false}, {1, false}, {2, true}, {3, true}, {4, true}, {99, true}};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct call c = service("exit 3");
		greet(&c, t[i].theirs);
		if (t[i].ok) {
			uint32_t n, seen = 0;
			for (uint32_t k; (k = get(&c, &n)) != MSG_DATA_EXIT_CODE;
			     seen |= 1u << (k & 7))
				assert_int_equal(n, 0);
			assert_int_equal(seen, 1u << 1 | 1u << 2);
			assert_int_equal(done(&c), 3);
		} else {
			expect_closed(&c);
			assert_int_equal(done(&c), EXIT_QREXEC);
		}
	}
}

static void
bad_hello(void **state)
{
	static const uint32_t t[][3] = {
	    {0x301, 4, 4}, {0x191, 4, 4}, {MSG_HELLO, 3, 4}, {MSG_HELLO, 8, 4}};

	for (size_t i = 0; i < 4; i++) {
		struct call c = caller(NULL);
		assert_int_equal(write(c.peer, t[i], 12), 12);
		expect_u32(&c, MSG_HELLO, 4);
		expect_closed(&c);
		assert_int_equal(done(&c), EXIT_QREXEC);
	}
}

static void
dom0_reads_first(void **state)
{
	struct call c = {
	    .r = {.side = RELAY_SERVICE, .read_first = true}, .sh = "echo early", .no_err = true};
	struct pollfd p;

	start(&c);
	p = (struct pollfd){.fd = c.peer, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 100), 0);
	greet(&c, 4);
	expect_eof(&c, MSG_DATA_STDERR); /* first of all */
	expect(&c, MSG_DATA_STDOUT, "early\n", 6);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(done(&c), 0);
}

static void
program_streams(void **state)
{
	struct call c =
	    service("read x; echo \"got $x\"; echo oops >&2; cat >/dev/null; kill -TERM $$");
	uint32_t n, type, seen = 0;

	greet(&c, 4);
	put(&c, MSG_DATA_STDIN, "one\n", 4);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	while ((type = get(&c, &n)) != MSG_DATA_EXIT_CODE) {
		if (n == 0)
			seen |= type == MSG_DATA_STDOUT ? 4 : 8;
		else if (type == MSG_DATA_STDOUT)
			seen |= n == 8 && memcmp(body, "got one\n", 8) == 0 ? 1 : 64;
		else
			seen |= n == 5 && memcmp(body, "oops\n", 5) == 0 ? 2 : 64;
	}
	assert_int_equal(seen, 15);
	assert_int_equal(body[0], 128 + SIGTERM);
	assert_int_equal(done(&c), 128 + SIGTERM);
}

static void
grandchild_keeps_call(void **state)
{
	struct call c = service("exec 5<&0; cat <&5 2>/dev/null & exit 5");
	struct pollfd p = {.fd = c.peer, .events = POLLIN};

	greet(&c, 4);
	expect_eof(&c, MSG_DATA_STDERR);
	assert_int_equal(poll(&p, 1, 50), 0);
	put(&c, MSG_DATA_STDIN, "still", 5);
	expect(&c, MSG_DATA_STDOUT, "still", 5);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 5);
	assert_int_equal(done(&c), 5);
}

static void
prefix_alone(void **state)
{
	struct call c = {.r = {.side = RELAY_CALLER, .prefix = "cmd; exit\n", .prefix_len = 10}};

	start(&c);
	greet(&c, 4);
	expect(&c, MSG_DATA_STDIN, "cmd; exit\n", 10); /* no other event was needed */
	assert_int_equal(write(c.in, "more", 4), 4);
	expect(&c, MSG_DATA_STDIN, "more", 4);
	put_u32(&c, MSG_DATA_EXIT_CODE, 0);
	expect_eof(&c, MSG_DATA_STDIN);
	assert_int_equal(done(&c), 0);
}

static void
prefix_without_input(void **state)
{
	char big[5000];
	struct call c = {.r = {.side = RELAY_CALLER, .prefix = big, .prefix_len = sizeof big}};

	memset(big, 'p', sizeof big);
	start(&c);
	close(c.in);
	c.in = open("/dev/null", O_RDONLY);
	greet(&c, 2);
	expect(&c, MSG_DATA_STDIN, big, 4096);
	expect(&c, MSG_DATA_STDIN, big, 904);
	expect_eof(&c, MSG_DATA_STDIN);
	put_u32(&c, MSG_DATA_EXIT_CODE, 4);
	assert_int_equal(done(&c), 4);
}

static void
caller_streams(void **state)
{
	struct call c = caller(NULL);
	char b[16];

	greet(&c, 4);
	put(&c, MSG_DATA_STDOUT, "out", 3);
	put(&c, MSG_DATA_STDERR, "err", 3);
	assert_int_equal(read(c.out, b, sizeof b), 3);
	assert_int_equal(read(c.err, b, sizeof b), 3);
	close(c.in);
	c.in = open("/dev/null", O_RDONLY);
	expect_eof(&c, MSG_DATA_STDIN);
	put(&c, MSG_DATA_STDERR, NULL, 0);
	put(&c, MSG_DATA_STDOUT, NULL, 0);
	assert_int_equal(read(c.out, b, sizeof b), 0);
	assert_int_equal(read(c.err, b, sizeof b), 0);
	put_u32(&c, MSG_DATA_EXIT_CODE, 42);
	expect_closed(&c);
	assert_int_equal(done(&c), 42);
}

static void
exit_code_lengths(void **state)
{
	static const uint8_t code[8] = {7, 0, 0, 0, 9, 9, 9, 9};

	for (size_t n = 0; n <= sizeof code; n++) {
		struct call c = caller(NULL);
		greet(&c, 4);
		put(&c, MSG_DATA_EXIT_CODE, code, n);
		assert_int_equal(done(&c), n < 4 ? 255 : 7);
	}
}

static void
link_lost(void **state)
{
	for (int after = 0; after < 3; after++) {
		struct call c = caller(NULL);
		if (after > 0)
			greet(&c, 4);
		if (after > 1)
			put(&c, MSG_DATA_STDOUT, NULL, 0);
		hang_up(&c);
		assert_int_equal(done(&c), EXIT_LINK_LOST);
	}
	struct call c = service("cat");
	greet(&c, 4);
	hang_up(&c);
	assert_int_equal(done(&c), EXIT_LINK_LOST);
}

static void
exit_code_though_input_is_stuck(void **state)
{
	struct call c = caller(NULL);
	static char z[65536];

	greet(&c, 4);
	fcntl(c.in, F_SETFL, O_NONBLOCK);
	/* Until neither the pipe nor the channel takes more. */
	for (int quiet = 0; quiet < 20;) {
		struct pollfd p = {.fd = c.in, .events = POLLOUT};
		quiet = poll(&p, 1, 5) == 1 && write(c.in, z, sizeof z) > 0 ? 0 : quiet + 1;
	}
	put_u32(&c, MSG_DATA_EXIT_CODE, 7);
	hang_up(&c);
	assert_int_equal(done(&c), 7);
}

static void
chunks(void **state)
{
	static const struct {
		uint32_t version, chunk;
	} t[] = {{2, 4096}, {3, 65536}, {4, 65536}};
	static char z[300000];

	for (size_t i = 0; i < 3; i++) {
		struct call c = service("head -c 300000 /dev/zero");
		uint32_t n, type;
		size_t sum = 0;

		greet(&c, t[i].version);
		while ((type = get(&c, &n)) != MSG_DATA_EXIT_CODE) {
			assert_true(n <= t[i].chunk);
			sum += type == MSG_DATA_STDOUT ? n : 0;
		}
		assert_int_equal(sum, sizeof z);
		assert_int_equal(done(&c), 0);
	}
}

static void
fatal_messages(void **state)
{
	static const uint32_t t[][3] = {
	    {4, 0x18f, 1},
	    {4, 0x194, 0},
	    {4, 0x200, 8},
	    {4, MSG_HELLO, 4},
	    {4, 0, 0},
	    {4, MSG_DATA_STDOUT, 65537},
	    {3, MSG_DATA_STDERR, 65537},
	    {2, MSG_DATA_STDOUT, 4097},
	    {4, MSG_DATA_EXIT_CODE, 0xffffffff},
	    {4, MSG_DATA_STDIN, 0x80000000},
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct call c = caller(NULL);
		char b[8], log[256];
		ssize_t n;

		greet(&c, t[i][0]);
		assert_int_equal(write(c.peer, &t[i][1], 8), 8);
		expect_closed(&c);
		assert_int_equal(read(c.out, b, sizeof b), 0);
		n = read(c.log, log, sizeof log);
		assert_true(n > 0 && memchr(log, '\n', (size_t)n) == log + n - 1); /* one line */
		assert_int_equal(done(&c), EXIT_QREXEC);
	}
}

static void
longest_allowed(void **state)
{
	static uint8_t z[65536], back[65536];
	struct call c = service("cat");

	greet(&c, 4);
	memset(z, 'z', sizeof z);
	put(&c, MSG_DATA_STDIN, z, sizeof z);
	for (size_t got = 0; got < sizeof z;) {
		uint32_t n;
		assert_int_equal(get(&c, &n), MSG_DATA_STDOUT);
		memcpy(back + got, body, n);
		got += n;
	}
	assert_memory_equal(z, back, sizeof z);
	hang_up(&c);
	done(&c);
}

static void
consumed(int fd)
{
	for (int left = 1; left != 0; sched_yield())
		assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
}

static void
split_everywhere(void **state)
{
	static const uint32_t hello[] = {MSG_HELLO, 4, 4}, end[] = {MSG_DATA_EXIT_CODE, 4, 6};
	static const uint32_t heads[][2] = {
	    {MSG_DATA_STDOUT, 3}, {MSG_DATA_STDERR, 2}, {MSG_DATA_STDOUT, 0}};
	uint8_t msg[64];
	size_t len = 0;

#define ADD(p, n) (memcpy(msg + len, p, n), len += n)
	ADD(hello, 12), ADD(heads[0], 8), ADD("abc", 3), ADD(heads[1], 8), ADD("xy", 2),
	    ADD(heads[2], 8), ADD(end, 12);
	/* cut == 0: every byte alone */
	for (size_t cut = 0; cut < len; cut++) {
		struct call c = caller(NULL);
		char b[8];

		for (size_t i = 0; i < len;) {
			size_t n = cut == 0 ? 1 : i == 0 ? cut : len - cut;
			assert_int_equal(write(c.peer, msg + i, n), n);
			consumed(c.peer);
			i += n;
		}
		expect_u32(&c, MSG_HELLO, 4);
		assert_true(get_all(c.out, b, 3) && memcmp(b, "abc", 3) == 0);
		assert_int_equal(read(c.out, b, 1), 0);
		assert_true(get_all(c.err, b, 2) && memcmp(b, "xy", 2) == 0);
		assert_int_equal(done(&c), 6);
	}
}

static void
qsb_087_stderr_and_exit_code_from_a_caller(void **state)
{
	struct call c = service("cat; exit 2");
	char log[4096];
	size_t n = 0;
	ssize_t k;

	greet(&c, 4);
	for (int i = 0; i < 50; i++)
		put(&c, MSG_DATA_STDERR, "\033]0;evil\007\nforged: line", 22);
	put_u32(&c, MSG_DATA_EXIT_CODE, 0);
	put(&c, MSG_DATA_EXIT_CODE, NULL, 0);
	put(&c, MSG_DATA_STDERR, NULL, 0);
	put(&c, MSG_DATA_STDIN, "good", 4);
	expect(&c, MSG_DATA_STDOUT, "good", 4);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	uint32_t len, type;
	while ((type = get(&c, &len)) != MSG_DATA_EXIT_CODE)
		assert_int_equal(len, 0);
	assert_int_equal(body[0], 2);
	hang_up(&c);
	while (n < sizeof log - 1 && (k = read(c.log, log + n, sizeof log - 1 - n)) > 0)
		n += (size_t)k;
	log[n] = '\0';
	assert_non_null(strstr(log, "%1B%5D0%3Bevil%07%0Aforged:"));
	assert_null(strchr(log, '\033'));
	assert_null(strstr(log, "\nforged"));
	assert_non_null(strstr(log, "more)"));
	assert_true(strchr(strchr(log, '\n') + 1, '\n') == log + n - 1); /* two lines in all */
	assert_int_equal(done(&c), 2);
}

static void
wrong_direction_and_late_data(void **state)
{
	struct call c = caller(NULL);
	char b[16];

	greet(&c, 4);
	put(&c, MSG_DATA_STDIN, "taken", 5);
	put(&c, MSG_DATA_STDOUT, NULL, 0);
	put(&c, MSG_DATA_STDOUT, "late", 4);
	put(&c, MSG_DATA_STDOUT, NULL, 0);
	put_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(read(c.out, b, sizeof b), 5);
	assert_int_equal(read(c.out, b, sizeof b), 0);
	assert_int_equal(done(&c), 0);
}

static void
filters(void **state)
{
	struct call c = {.r = {.side = RELAY_CALLER, .filter_out = true}};
	uint8_t all[256], got[256], raw[256];

	start(&c);
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	greet(&c, 4);
	put(&c, MSG_DATA_STDOUT, all, sizeof all);
	put(&c, MSG_DATA_STDERR, all, sizeof all);
	put_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_true(get_all(c.out, got, 256) && get_all(c.err, raw, 256));
	assert_memory_equal(raw, all, 256);
	for (int i = 0; i < 256; i++) {
		bool keep = (i >= 0x20 && i <= 0x7e) || (i != 0 && strchr("\t\n\r\b\a", i) != NULL);
		assert_int_equal(got[i], keep ? i : '_');
	}
	assert_int_equal(done(&c), 0);
}

static void
service_closes_its_input_early(void **state)
{
	struct call c =
	    service("exec 0<&-; echo closed; read x </proc/$$/fd/9 2>/dev/null; exit 9");
	static char z[65536];
	uint32_t n, type;

	greet(&c, 4);
	for (int i = 0; i < 16; i++)
		put(&c, MSG_DATA_STDIN, z, sizeof z);
	while ((type = get(&c, &n)) != MSG_DATA_EXIT_CODE)
		;
	assert_int_equal(body[0], 9);
	assert_int_equal(done(&c), 9);
}

static struct call
socket_service(bool client_eof, bool service_eof)
{
	struct call c = {.r = {.side = RELAY_SERVICE,
			     .socket_service = true,
			     .exit_on_client_eof = client_eof,
			     .exit_on_service_eof = service_eof},
	    .no_err = true,
	    .one_sock = true};

	start(&c);
	greet(&c, 4);
	expect_eof(&c, MSG_DATA_STDERR);
	return c;
}

static void
socket_client_first(void **state)
{
	struct call c = socket_service(false, false);
	char b[8];

	put(&c, MSG_DATA_STDIN, "q", 1);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	assert_int_equal(read(c.out, b, 8), 1);
	assert_int_equal(read(c.out, b, 8), 0);
	assert_int_equal(write(c.out, "answer", 6), 6);
	expect(&c, MSG_DATA_STDOUT, "answer", 6);
	shutdown(c.out, SHUT_WR);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(done(&c), 0);
}

static void
socket_service_first(void **state)
{
	struct call c = socket_service(false, false);
	char b[8];

	shutdown(c.out, SHUT_WR);
	expect_eof(&c, MSG_DATA_STDOUT);
	put(&c, MSG_DATA_STDIN, "later", 5);
	assert_int_equal(read(c.out, b, 8), 5);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(done(&c), 0);
}

static void
socket_service_gone(void **state)
{
	struct call c = socket_service(false, false);

	close(c.out);
	c.in = c.out = open("/dev/null", O_RDONLY);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(done(&c), 0);
}

static void
socket_exit_on_client_eof(void **state)
{
	struct call c = socket_service(true, false);
	char b[8];

	put(&c, MSG_DATA_STDIN, "last", 4);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(read(c.out, b, 8), 4);
	assert_int_equal(done(&c), 0);
}

static void
socket_exit_on_service_eof(void **state)
{
	struct call c = socket_service(false, true);

	assert_int_equal(write(c.out, "x", 1), 1);
	shutdown(c.out, SHUT_WR);
	expect(&c, MSG_DATA_STDOUT, "x", 1);
	expect_eof(&c, MSG_DATA_STDOUT);
	expect_u32(&c, MSG_DATA_EXIT_CODE, 0);
	assert_int_equal(done(&c), 0);
}

static void
refusals(void **state)
{
	static const uint32_t order[2][2] = {
	    {MSG_DATA_STDOUT, MSG_DATA_STDERR}, {MSG_DATA_STDERR, MSG_DATA_STDOUT}};

	for (int mode = 1; mode <= 3; mode++) {
		struct call c = {.r.side = RELAY_SERVICE, .mode = mode, .one_sock = true};
		start(&c);
		greet(&c, 4);
		for (int i = 0; i < 2 && mode < 3; i++)
			expect_eof(&c, order[mode - 1][i]);
		expect_u32(&c, MSG_DATA_EXIT_CODE, mode == 3 ? 127 : 125);
		assert_int_equal(done(&c), mode == 3 ? 127 : 125);
	}
}

/* Who is still sending when the service has ended must not meet a closed channel. */
static void
late_sender(void **state)
{
	struct call c = service("exit 0");
	uint32_t n;

	greet(&c, 4);
	while (get(&c, &n) != MSG_DATA_EXIT_CODE)
		;
	put(&c, MSG_DATA_STDIN, "late", 4);
	consumed(c.peer);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	assert_int_equal(done(&c), 0);
}

static void
domain_gone(void **state)
{
	/* A byte on the control descriptor ends the call; its end alone does not. */
	for (int byte = 0; byte < 2; byte++) {
		int control[2];
		struct call c = {.r = {.side = RELAY_CALLER}};

		pair(control);
		c.control = control[1];
		start(&c);
		greet(&c, 4);
		if (byte)
			assert_int_equal(write(control[0], "g", 1), 1);
		close(control[0]);
		close(control[1]);
		if (!byte)
			put_u32(&c, MSG_DATA_EXIT_CODE, 3);
		assert_int_equal(status(&c), byte ? EXIT_LINK_LOST : 3);
	}
}

static void
local_program(void **state)
{
	static const struct {
		const char *sh;
		uint32_t remote;
		int result;
	} t[] = {
	    {"exit 3", 0, 3}, {"exit 3", 5, 5}, {"exit 0", 5, 5}, {"cat >/dev/null; exit 4", 0, 4}};

	for (size_t i = 0; i < 4; i++) {
		struct call c = caller(t[i].sh);
		greet(&c, 4);
		put_u32(&c, MSG_DATA_EXIT_CODE, t[i].remote);
		assert_int_equal(done(&c), t[i].result);
	}
}

static void
usr1_one_socket(void **state)
{
	struct call c = {.r = {.side = RELAY_SERVICE, .usr1 = true},
	    .sh = "echo before; kill -USR1 $QREXEC_AGENT_PID; exec >&-; read x; echo \"after $x\" "
		  ">&0; exit 1"};
	char text[64] = "";
	uint32_t n, type;

	start(&c);
	greet(&c, 4);
	put(&c, MSG_DATA_STDIN, "in\n", 3);
	put(&c, MSG_DATA_STDIN, NULL, 0);
	while ((type = get(&c, &n)) != MSG_DATA_EXIT_CODE)
		if (type == MSG_DATA_STDOUT && n > 0)
			strncat(text, (char *)body, n);
	assert_string_equal(text, "before\nafter in\n");
	assert_int_equal(done(&c), 1);
}

/* One direction that is stuck does not stop the other. */
static void
stuck_output_moving_input(void **state)
{
	struct call c = caller(NULL);
	static char z[65536];
	size_t sum = 0;
	uint32_t n;

	greet(&c, 4);
	fcntl(c.peer, F_SETFL, O_NONBLOCK);
	for (int quiet = 0; quiet < 20;) { /* nobody reads c.out */
		struct pollfd p = {.fd = c.peer, .events = POLLOUT};
		uint32_t h[2] = {MSG_DATA_STDOUT, 1000};
		if (poll(&p, 1, 5) == 1 && send(c.peer, h, 8, 0) == 8 &&
		    send(c.peer, z, 1000, 0) == 1000)
			quiet = 0;
		else
			quiet++;
	}
	fcntl(c.peer, F_SETFL, 0);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(write(c.in, z, 4096), 4096);
		for (size_t got = 0; got < 4096; got += n)
			assert_int_equal(get(&c, &n), MSG_DATA_STDIN);
		sum += 4096;
	}
	assert_int_equal(sum, 64 * 4096);
	kill(c.pid, SIGKILL);
	waitpid(c.pid, NULL, 0);
	close(c.peer);
}

static void
echo_both_ways(void **state)
{
	struct call c = service("cat");
	static uint8_t z[32768];
	size_t sent = 0, got = 0;
	pid_t writer;

	greet(&c, 4);
	fflush(NULL);
	writer = fork();
	if (writer == 0) {
		for (; sent < BIG; sent += sizeof z) {
			uint32_t h[2] = {MSG_DATA_STDIN, sizeof z};
			for (size_t i = 0; i < sizeof z; i += 4)
				memcpy(z + i, &(uint32_t){(uint32_t)(sent + i)}, 4);
			if (write(c.peer, h, 8) != 8 || write(c.peer, z, sizeof z) != sizeof z)
				_exit(1);
		}
		_exit(write(c.peer, (uint32_t[2]){MSG_DATA_STDIN, 0}, 8) != 8);
	}
	for (uint32_t n, type; (type = get(&c, &n)) != MSG_DATA_EXIT_CODE;) {
		if (type != MSG_DATA_STDOUT || n == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(
			    body[i], (uint8_t)(((got + i) & ~(size_t)3) >> (8 * ((got + i) & 3))));
		got += n;
	}
	assert_int_equal(got, BIG);
	waitpid(writer, NULL, 0);
	assert_int_equal(done(&c), 0);
}

static void
reader_of_output_gone(void **state)
{
	struct call c = caller(NULL);

	greet(&c, 4);
	close(c.out);
	c.out = open("/dev/null", O_RDONLY);
	put(&c, MSG_DATA_STDOUT, "x", 1);
	expect_eof(&c, MSG_DATA_STDIN);
	expect_closed(&c);
	assert_int_equal(done(&c), 128 + SIGPIPE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(versions),
	    cmocka_unit_test(bad_hello),
	    cmocka_unit_test(dom0_reads_first),
	    cmocka_unit_test(program_streams),
	    cmocka_unit_test(grandchild_keeps_call),
	    cmocka_unit_test(prefix_alone),
	    cmocka_unit_test(prefix_without_input),
	    cmocka_unit_test(caller_streams),
	    cmocka_unit_test(exit_code_lengths),
	    cmocka_unit_test(link_lost),
	    cmocka_unit_test(exit_code_though_input_is_stuck),
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(fatal_messages),
	    cmocka_unit_test(longest_allowed),
	    cmocka_unit_test(split_everywhere),
	    cmocka_unit_test(qsb_087_stderr_and_exit_code_from_a_caller),
	    cmocka_unit_test(wrong_direction_and_late_data),
	    cmocka_unit_test(filters),
	    cmocka_unit_test(service_closes_its_input_early),
	    cmocka_unit_test(socket_client_first),
	    cmocka_unit_test(socket_service_first),
	    cmocka_unit_test(socket_service_gone),
	    cmocka_unit_test(socket_exit_on_client_eof),
	    cmocka_unit_test(socket_exit_on_service_eof),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(late_sender),
	    cmocka_unit_test(domain_gone),
	    cmocka_unit_test(local_program),
	    cmocka_unit_test(usr1_one_socket),
	    cmocka_unit_test(stuck_output_moving_input),
	    cmocka_unit_test(echo_both_ways),
	    cmocka_unit_test(reader_of_output_gone),
	};

	alarm(120);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
