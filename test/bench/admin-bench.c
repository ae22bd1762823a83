/* SPDX-License-Identifier: ISC */
/* admin-bench TIMES REQUEST: the median, in microseconds, of a request to adminapid from connect to
 * the end of its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sock.h"

static int
by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
once(const char *request)
{
	struct timespec a, b;
	char part[65536], first = 0;
	ssize_t n, got = 0;
	int s;

	clock_gettime(CLOCK_MONOTONIC, &a);
	s = sock_connect_wait("/run/qubesd.sock", 1000);
	if (s < 0 || !fd_nonblock(s, false) ||
	    write(s, request, strlen(request) + 1) != (ssize_t)strlen(request) + 1 ||
	    shutdown(s, SHUT_WR) < 0)
		exit(111);
	for (; (n = read(s, part, sizeof(part))) > 0; got += n)
		first = got == 0 ? part[0] : first;
	close(s);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (n < 0 || first != '0')
		exit(111);
	return (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
}

int
main(int argc, char **argv)
{
	const int times = argc == 3 ? atoi(argv[1]) : 0;
	double *t = times > 0 ? calloc((size_t)times, sizeof(*t)) : NULL;

	if (t == NULL)
		return 100;
	for (int i = 0; i < times; i++)
		t[i] = once(argv[2]);
	qsort(t, (size_t)times, sizeof(*t), by_value);
	printf("%.0f\n", t[times / 2]);
	free(t);
	return 0;
}
