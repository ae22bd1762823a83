/* SPDX-License-Identifier: ISC */
/*
 * Round trips and throughput of lib/vchan.h by name, on any backend. What is spoken is plain, so
 * that a program over another library can be the peer: {op, length, count} as three 32-bit words,
 * 'P' ping-pong, 'D' blocks to the server and one byte back, 'U' blocks to the client, 'Q' the end.
 *
 *   vchan-speed server PEER PORT
 *   vchan-speed client PEER PORT [ROUNDS] [MIB] [TIMES]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "names.h"
#include "vchan.h"

#define BLOCK_MAX (1u << 20)
#define WAIT_MS 120000

struct head {
	uint32_t op, len, count;
};

static uint8_t block[BLOCK_MAX];

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
turn(struct vchan *v, short want)
{
	struct pollfd p;

	vchan_poll(v, want, &p);
	poll(&p, 1, -1);
	vchan_turn(v);
}

static bool
put(struct vchan *v, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		const ssize_t r = vchan_write(v, (const uint8_t *)p + done, n - done);
		if (r < 0)
			return false;
		done += (size_t)r;
		if (r == 0)
			turn(v, POLLOUT);
	}
	return true;
}

static bool
get(struct vchan *v, void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		const ssize_t r = vchan_read(v, (uint8_t *)p + done, n - done);
		if (r < 0)
			return false;
		done += (size_t)r;
		if (r == 0)
			turn(v, POLLIN);
	}
	return true;
}

static int
serve(struct vchan *v)
{
	struct head h;

	while (get(v, &h, sizeof h) && h.op != 'Q') {
		if (h.len > BLOCK_MAX)
			return 1;
		for (uint32_t i = 0; i < h.count; i++) {
			if (h.op != 'U' && !get(v, block, h.len))
				return 1;
			if (h.op != 'D' && !put(v, block, h.len))
				return 1;
		}
		if (h.op == 'D' && !put(v, block, 1))
			return 1;
	}
	return 0;
}

static double
run(struct vchan *v, uint32_t op, uint32_t len, uint32_t count)
{
	const struct head h = {op, len, count};
	const double began = seconds();
	bool ok = put(v, &h, sizeof h);

	for (uint32_t i = 0; ok && i < count; i++)
		ok = (op == 'U' || put(v, block, len)) && (op == 'D' || get(v, block, len));
	if (ok && op == 'D')
		ok = get(v, block, 1);
	if (ok)
		return seconds() - began;
	puts("the server has gone");
	exit(1);
}

static void
measure(struct vchan *v, uint32_t rounds, uint32_t mib)
{
	static const uint32_t sizes[] = {4096, 65536};
	double t = run(v, 'P', 1, rounds);

	printf("rtt %.1f us", t / rounds * 1e6);
	for (size_t i = 0; i < 2; i++) {
		const uint32_t n = mib * (BLOCK_MAX / sizes[i]);
		t = run(v, 'D', sizes[i], n);
		printf(", send %" PRIu32 ": %.1f MiB/s", sizes[i], mib / t);
		t = run(v, 'U', sizes[i], n);
		printf(", recv %" PRIu32 ": %.1f MiB/s", sizes[i], mib / t);
	}
	puts("");
	fflush(stdout);
}

static uint32_t
number(int argc, char **argv, int i, uint32_t otherwise)
{
	uint32_t n = otherwise;

	if (i < argc && !parse_u32(argv[i], UINT32_MAX, &n))
		exit(100);
	return n;
}

int
main(int argc, char **argv)
{
	static const struct head quit = {'Q', 0, 0};
	const bool server = argc > 1 && strcmp(argv[1], "server") == 0;
	struct vchan *v;
	int rc = 0;

	if (argc < 4) {
		puts("usage: vchan-speed server|client PEER PORT [ROUNDS] [MIB] [TIMES]");
		return argc > 1 ? 100 : 0; /* make bench runs all there are */
	}
	v = vchan_open(server ? VCHAN_SERVER : VCHAN_CLIENT, NULL, vchan_self(),
	    number(argc, argv, 2, 0), number(argc, argv, 3, 0));
	if (!v || !vchan_wait(v, WAIT_MS, -1)) {
		perror("vchan_open");
		return 111;
	}
	if (server) {
		rc = serve(v);
	} else {
		const uint32_t rounds = number(argc, argv, 4, 2000);
		run(v, 'P', 1, 50);
		for (uint32_t i = number(argc, argv, 6, 1); i > 0; i--)
			measure(v, rounds, number(argc, argv, 5, 16));
		put(v, &quit, sizeof quit);
	}
	vchan_close(v);
	return rc;
}
