/* SPDX-License-Identifier: ISC */
/*
 * qdb-bench QDBD SOCKET PID SOCKET2 PID2: figures of QubesDB, each a line WHAT VALUE UNIT LIMIT
 * min|max. SOCKET and PID: a qube's daemon in Dom0, the qube connected; the second one's has 10,000
 * more keys. 60 keys of 16 bytes. Rates are medians of several short rounds, taken in turn with
 * what they are compared with. All of it on one processor: a wake-up on another one costs more than
 * what is measured, and it is chance who gets one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "qdb/qdb.h"

#define KEYS 60
#define VALUE 16
#define ANSWER (sizeof(struct qdb_hdr) + VALUE)
#define ROUNDS 15
#define UNDER_WAY 32
#define STARTS 51

static const char *qdbd;
static char dir[] = "/tmp/qdb-bench.XXXXXX";

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "qdb-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
all(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		fail("write");
}

static void
take(int fd, void *p, size_t n)
{
	for (ssize_t r; n > 0; n -= (size_t)r, p = (char *)p + r)
		if ((r = read(fd, p, n)) <= 0)
			fail("read");
}

/* ---- a daemon ---- */

static pid_t
start(double *seconds)
{
	char fd[12], opt[96], c;
	int p[2];
	const double begin = now();
	pid_t pid;

	if (pipe(p) < 0 || (pid = fork()) < 0)
		fail("fork");
	if (pid == 0) {
		close(p[0]);
		snprintf(fd, sizeof(fd), "%d", p[1]);
		snprintf(opt, sizeof(opt), "--socket-dir=%s", dir);
		setenv("VCHAN_SOCKET_DIR", dir, 1);
		setenv("VCHAN_DOMAIN", "0", 1);
		execl(qdbd, qdbd, "-n", fd, opt, "9", "nine", (char *)NULL);
		_exit(127);
	}
	close(p[1]);
	if (read(p[0], &c, 1) != 1)
		fail("qdbd");
	*seconds = now() - begin;
	close(p[0]);
	return pid;
}

static void
stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int
dial(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		fail(name);
	return fd;
}

static struct qdb_hdr
header(enum qdb_type type, const char *fmt, unsigned n)
{
	struct qdb_hdr h = {.type = (uint8_t)type};

	snprintf(h.path, sizeof(h.path), fmt, n);
	return h;
}

static void
put(int fd, const char *fmt, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct {
			struct qdb_hdr h;
			char value[VALUE];
		} m = {.h = header(QDB_WRITE, fmt, i), .value = "fedcba987654321"};

		m.h.len = VALUE;
		m.value[VALUE - 1] = '0';
		all(fd, &m, sizeof(m));
		take(fd, &m.h, sizeof(m.h));
		if (m.h.type != QDB_OK)
			fail("a write was refused");
	}
}

/* ---- rates ---- */

static int
ping_start(void)
{
	char buf[ANSWER];
	int p[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) < 0)
		fail("socketpair");
	if (fork() == 0) {
		close(p[0]);
		while (read(p[1], buf, sizeof(buf)) > 0)
			all(p[1], buf, ANSWER);
		_exit(0);
	}
	close(p[1]);
	return p[0];
}

static double
one_at_a_time(int fd)
{
	struct qdb_hdr h;
	char answer[ANSWER];
	const double begin = now();

	for (unsigned i = 0; i < 8000; i++) {
		h = header(QDB_READ, "/dir/key%02u", 0);
		all(fd, &h, sizeof(h));
		take(fd, answer, sizeof(answer));
	}
	return 8000 / (now() - begin);
}

/* As many as there were answers are sent again. */
static double
under_way(int fd)
{
	static struct qdb_hdr h[UNDER_WAY];
	static char answers[UNDER_WAY * ANSWER];
	const double begin = now();
	size_t part = 0, done = 0, n = 200000;

	for (unsigned i = 0; i < UNDER_WAY; i++)
		h[i] = header(QDB_READ, "/dir/key%02u", i);
	all(fd, h, sizeof(h));
	while (done < n) {
		const ssize_t r = read(fd, answers, sizeof(answers));
		if (r <= 0)
			fail("read");
		part += (size_t)r;
		done += part / ANSWER;
		all(fd, h, part / ANSWER * sizeof(h[0]));
		part %= ANSWER;
	}
	take(fd, answers, UNDER_WAY * ANSWER - part);
	return (double)n / (now() - begin);
}

static double
multiread(int fd)
{
	static char answers[KEYS * ANSWER + sizeof(struct qdb_hdr)];
	struct qdb_hdr h = header(QDB_MULTIREAD, "/dir/", 0);
	const double begin = now();

	for (unsigned i = 0; i < 3000; i++) {
		all(fd, &h, sizeof(h));
		take(fd, answers, sizeof(answers));
	}
	return 3000 / (now() - begin);
}

static int
cmp(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), cmp);
	return v[n / 2];
}

static long
pss(pid_t pid)
{
	char path[48], line[128];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Pss: %ld", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb;
}

static double
start_to_ready(void)
{
	double t[STARTS];

	for (int i = 0; i < STARTS; i++)
		stop(start(&t[i]));
	return median(t, STARTS);
}

static void
rates(int fd, int big)
{
	double ratio[ROUNDS], reads[ROUNDS], pipe[ROUNDS], multi[ROUNDS];
	double reads_big[ROUNDS], multi_big[ROUNDS];
	const int ping = ping_start();

	for (int i = 0; i < ROUNDS; i++) {
		const double base = one_at_a_time(ping);
		reads[i] = one_at_a_time(fd);
		reads_big[i] = reads[i] / one_at_a_time(big);
		ratio[i] = reads[i] / base;
		pipe[i] = under_way(fd);
		multi[i] = multiread(fd);
		multi_big[i] = multi[i] / multiread(big);
	}
	printf("one_at_a_time,_in_bare_pings %.2f x 0.90 min\n", median(ratio, ROUNDS));
	printf("32_under_way %.0f /s 400000 min\n", median(pipe, ROUNDS));
	printf("multiread_of_60_keys %.0f /s 15000 min\n", median(multi, ROUNDS));
	printf(
	    "time_of_a_read_with_10,000_more_entries %.2f x 1.30 max\n", median(reads_big, ROUNDS));
	printf("time_of_a_multiread_with_10,000_more_entries %.2f x 1.30 max\n",
	    median(multi_big, ROUNDS));
	fprintf(stderr, "   reads %.0f/s\n", median(reads, ROUNDS));
}

static void
one_processor(pid_t pid)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(pid, sizeof(one), &one) < 0)
		fail("sched_setaffinity");
}

int
main(int argc, char **argv)
{
	struct qdb_hdr h = header(QDB_RM, "/other/", 0);
	pid_t pid;
	int fd, big;

	if (argc != 6 || mkdtemp(dir) == NULL)
		fail("usage: qdb-bench QDBD SOCKET PID SOCKET2 PID2");
	qdbd = argv[1];
	pid = atoi(argv[3]);
	one_processor(0);
	one_processor(pid);
	one_processor(atoi(argv[5]));
	signal(SIGPIPE, SIG_IGN);
	printf("start_to_ready %.2f ms 2 max\n", 1e3 * start_to_ready());
	fd = dial(argv[2]);
	big = dial(argv[4]);
	put(fd, "/dir/key%02u", 0, KEYS);
	put(big, "/dir/key%02u", 0, KEYS);
	put(big, "/other/%05u", 0, 10000);
	poll(NULL, 0, 2000); /* at rest: its stack is given back */
	printf("PSS_with_100_keys %ld KiB 150 max\n", pss(pid));
	fprintf(stderr, "   PSS with 10,000 more: %ld KiB\n", pss(atoi(argv[5])));
	rates(fd, big);
	all(big, &h, sizeof(h));
	take(big, &h, sizeof(h));
	return 0;
}
