/* SPDX-License-Identifier: ISC */
/*
 * spent [-u TEXT]... COMMAND...: runs COMMAND; prints, as microseconds, how long it took until it
 * ended (-u: until a line with TEXT came on its standard error, once for each) and the CPU time
 * that all of Dom0 had in between, as Xen counts it. What it says goes to our standard error, as
 * long as it lives. spent -m: Xen's free memory in KiB and how many domains there are.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>

static xc_interface *xch;

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t
cpu_us(void)
{
	xc_dominfo_t i;

	return xc_domain_getinfo(xch, 0, 1, &i) == 1 ? i.cpu_time / 1000u : 0;
}

static int
memory(void)
{
	xc_physinfo_t p = {0};
	xc_dominfo_t i;
	unsigned n = 0;

	if (xc_physinfo(xch, &p) < 0)
		return 111;
	for (uint32_t id = 0; xc_domain_getinfo(xch, id, 1, &i) == 1; id = i.domid + 1)
		n++;
	printf("%llu %u\n", (unsigned long long)p.free_pages * 4, n);
	return 0;
}

static pid_t
start(char **argv, int err)
{
	const pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (err >= 0)
		dup2(err, 2);
	execvp(argv[0], argv);
	_exit(127);
}

static void
said(uint64_t t, uint64_t c)
{
	const uint64_t cpu = cpu_us() - c;

	printf("%llu %llu ", (unsigned long long)(now_us() - t), (unsigned long long)cpu);
	fflush(stdout);
}

/* false: it ended without having said so. */
static bool
until(FILE *f, const char *text)
{
	char line[1024];

	while (fgets(line, sizeof line, f)) {
		fputs(line, stderr);
		if (strstr(line, text))
			return true;
	}
	return false;
}

static int
wait_for(const char *const *text, char **argv)
{
	int p[2], c;
	uint64_t t, cpu;
	FILE *f;

	if (pipe2(p, O_CLOEXEC) < 0 || !(f = fdopen(p[0], "r")))
		return 111;
	t = now_us(), cpu = cpu_us();
	if (start(argv, p[1]) < 0)
		return 111;
	close(p[1]);
	for (; *text; text++) {
		if (!until(f, *text))
			return 1;
		said(t, cpu);
	}
	puts("");
	fflush(stdout);
	if (fork() != 0)
		_exit(0);
	while ((c = getc(f)) != EOF)
		putc(c, stderr);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *text[4] = {NULL};
	size_t n = 0;
	int status = 0, c;
	uint64_t t, cpu;
	pid_t pid;

	xch = xc_interface_open(NULL, NULL, 0);
	if (!xch)
		return 111;
	while ((c = getopt(argc, argv, "+mu:")) != -1)
		if (c == 'm')
			return memory();
		else if (c == 'u' && n < 3)
			text[n++] = optarg;
		else
			return 100;
	if (optind == argc)
		return 100;
	if (n > 0)
		return wait_for(text, argv + optind);
	t = now_us(), cpu = cpu_us();
	pid = start(argv + optind, -1);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 111;
	said(t, cpu);
	puts("");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
