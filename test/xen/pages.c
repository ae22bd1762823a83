/* SPDX-License-Identifier: ISC */
/*
 * For tests on Xen, in a qube: pages shown to another domain. Their references go to data/pages in
 * xenstore. Page i is filled with the byte i + SEED.
 *
 *   pages grant PEER N SEED    stays in the background until "pages drop"
 *   pages fill                 those that are shown, anew, with SEED + 1
 *   pages drop
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/gntalloc.h>

#include "xen/store.h"

#define PAGE 4096u
#define N_MAX 64u
#define PIDFILE "/tmp/pages.pid"

static volatile sig_atomic_t seed;
static size_t n;
static unsigned char *page[N_MAX];

static void
fill(int sig)
{
	(void)sig;
	seed++;
	for (size_t i = 0; i < n; i++)
		memset(page[i], (int)(i + (size_t)seed), PAGE);
}

static int
failed(const char *what)
{
	fprintf(stderr, "pages: %s: %s\n", what, strerror(errno));
	return 1;
}

static int
grant(unsigned peer, size_t count, int first)
{
	union {
		struct ioctl_gntalloc_alloc_gref a;
		char room[sizeof(struct ioctl_gntalloc_alloc_gref) + N_MAX * 4];
	} u = {.a = {.domid = (__u16)peer, .flags = GNTALLOC_FLAG_WRITABLE, .count = (__u32)count}};
	const int fd = open("/dev/xen/gntalloc", O_RDWR);
	struct store *s = store_open();
	char refs[N_MAX * 12] = "";
	uint32_t ref;
	FILE *f;

	if (fd < 0 || !s || count > N_MAX || ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, &u) < 0)
		return failed("gntalloc");
	for (size_t i = 0; i < count; i++) {
		memcpy(
		    &ref, u.room + offsetof(struct ioctl_gntalloc_alloc_gref, gref_ids) + 4 * i, 4);
		snprintf(refs + strlen(refs), sizeof refs - strlen(refs), "%u ", ref);
		page[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)(u.a.index + i * PAGE));
		if (page[i] == MAP_FAILED)
			return failed("mmap");
	}
	n = count;
	seed = first - 1;
	fill(0);
	if (fork() != 0)
		_exit(0);
	signal(SIGUSR1, fill);
	f = fopen(PIDFILE, "w");
	if (!f)
		return failed(PIDFILE);
	fprintf(f, "%d", (int)getpid());
	fclose(f);
	if (!store_write(s, 0, "data/pages", "%s", refs))
		return failed("data/pages");
	store_close(s);
	for (int i = 0; i < 3; i++)
		close(i);
	for (;;)
		pause();
}

static int
tell(int sig)
{
	FILE *f = fopen(PIDFILE, "r");
	int pid = 0;

	if (!f || fscanf(f, "%d", &pid) != 1 || pid < 2 || kill(pid, sig) < 0)
		return failed("kill");
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "grant") == 0)
		return grant((unsigned)atoi(argv[2]), (size_t)atoi(argv[3]), atoi(argv[4]));
	if (argc == 2 && strcmp(argv[1], "fill") == 0)
		return tell(SIGUSR1);
	if (argc == 2 && strcmp(argv[1], "drop") == 0)
		return tell(SIGKILL);
	return 100;
}
