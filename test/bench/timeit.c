/* SPDX-License-Identifier: ISC */
/*
 * timeit [-j WIDTH] N COMMAND...: runs COMMAND N times (fork, exec, wait; stdin and stdout
 * /dev/null) and prints the median in microseconds. -j: WIDTH at a time; prints how many ended with
 * each status instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static pid_t
start(char **argv)
{
	pid_t pid = fork();
	int null;

	if (pid != 0)
		return pid;
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	execvp(argv[0], argv);
	_exit(127);
}

static int
cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
medians(size_t n, char **argv)
{
	uint64_t *t = calloc(n, sizeof(*t));
	int status = 0, bad = 0;

	if (t == NULL)
		return 111;
	for (size_t i = 0; i < n; i++) {
		uint64_t t0 = now_us();
		pid_t pid = start(argv);

		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 111;
		t[i] = now_us() - t0;
		bad += status != 0;
	}
	qsort(t, n, sizeof(*t), cmp);
	printf("%llu\n", (unsigned long long)t[n / 2]);
	if (bad > 0)
		fprintf(stderr, "timeit: %d of %zu runs of %s failed (last: %d)\n", bad, n, argv[0],
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	free(t);
	return 0;
}

static int
many(size_t n, size_t width, char **argv)
{
	size_t started = 0, running = 0, ends[256] = {0};

	while (started < n || running > 0) {
		int status;

		while (started < n && running < width) {
			if (start(argv) < 0)
				return 111;
			started++;
			running++;
		}
		if (wait(&status) < 0)
			return 111;
		running--;
		ends[WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)]++;
	}
	for (int i = 0; i < 256; i++)
		if (ends[i] > 0)
			printf("%d:%zu ", i, ends[i]);
	printf("\n");
	return 0;
}

int
main(int argc, char **argv)
{
	size_t width = 0;
	int c;

	while ((c = getopt(argc, argv, "+j:")) != -1)
		if (c == 'j')
			width = strtoul(optarg, NULL, 10);
		else
			return 100;
	if (argc - optind < 2)
		return 100;
	size_t n = strtoul(argv[optind], NULL, 10);
	return width > 0 ? many(n, width, argv + optind + 1) : medians(n, argv + optind + 1);
}
