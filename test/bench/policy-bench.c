/* SPDX-License-Identifier: ISC */
/*
 * A decision over the socket, connecting included: the median of many. As many rules as the house
 * has, then the same with 10,000. Prints "what value unit limit" lines. The daemon must run and
 * know work and vault.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "paths.h"
#include "sock.h"

#define RUNS 4000
#define BIG ETC_POLICY "/89-bench.policy"

static double
micros(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double
once(void)
{
	static const char request[] =
	    "source=work\nintended_target=vault\nservice_and_arg=bench.No\n\n";
	double began = micros();
	int fd = sock_connect(POLICY_SOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char answer[4096];

	if (fd < 0 || write(fd, request, sizeof(request) - 1) != (ssize_t)sizeof(request) - 1)
		die("%s", POLICY_SOCK);
	if (poll(&p, 1, 5000) != 1 || read(fd, answer, sizeof(answer)) < 11)
		die("no answer");
	close(fd);
	return micros() - began;
}

static int
order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(void)
{
	static double v[RUNS];

	for (int i = 0; i < RUNS; i++)
		v[i] = once();
	qsort(v, RUNS, sizeof(*v), order);
	return v[RUNS / 2];
}

int
main(void)
{
	FILE *f;
	double p50, first;

	log_open("policy-bench", NULL);
	(void)median();
	printf("policy_decision_over_the_socket,_p50 %.1f us 50\n", median());
	f = fopen(BIG ".new", "w");
	if (f == NULL)
		die("%s", BIG);
	for (int i = 0; i < 10000; i++)
		fprintf(f, "bench.No +%d work vault deny notify=no\n", i);
	if (fclose(f) != 0 || rename(BIG ".new", BIG) < 0)
		die("%s", BIG);
	first = once(); /* loads them */
	p50 = median();
	printf("policy_decision_with_10,000_rules_of_the_service,_p50 %.1f us 1000\n", p50);
	printf("loading_10,000_rules,_seen_by_the_next_call %.1f ms 50\n", (first - p50) / 1000);
	unlink(BIG);
	(void)once();
	return 0;
}
