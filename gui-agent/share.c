/* SPDX-License-Identifier: ISC */
/*
 * Memory for Dom0 to read. Xen: pages of the kernel's grant allocator. Local backend: a file whose
 * name is the first of its references, which are consecutive (spec/gui 6.4).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xcb/shm.h>

#include "ga.h"
#ifdef BACKEND_xen
#include "xen/drivers.h"
#endif

#define PAGE 4096u

static struct pages *
no_pages(struct pages *p)
{
	const int e = errno;

	free(p);
	errno = e;
	return NULL;
}

#ifdef BACKEND_xen

const char *
share_open(struct gui *g)
{
	g->share.fd = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);
	return g->share.fd < 0 ? "/dev/xen/gntalloc" : NULL;
}

static bool
allocate(struct gui *g, struct pages *p)
{
	const size_t refs = offsetof(struct ioctl_gntalloc_alloc_gref, gref_ids);
	struct ioctl_gntalloc_alloc_gref *a = calloc(1, refs + p->n * sizeof p->refs[0]);
	bool ok;

	if (a == NULL)
		return false;
	a->domid = (uint16_t)g->dom0.peer;
	a->count = (uint32_t)p->n;
	ok = driver(g->share.fd, IOCTL_GNTALLOC_ALLOC_GREF, a) == 0;
	p->index = a->index;
	memcpy(p->refs, (const uint8_t *)a + refs, p->n * sizeof p->refs[0]);
	free(a);
	return ok;
}

/* What Dom0 still maps the kernel keeps. */
static void
give_back(struct gui *g, const struct pages *p)
{
	struct ioctl_gntalloc_dealloc_gref d = {.index = p->index, .count = (uint32_t)p->n};

	(void)driver(g->share.fd, IOCTL_GNTALLOC_DEALLOC_GREF, &d);
}

static void *
map(struct gui *g, const struct pages *p)
{
	return mmap(
	    NULL, p->n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, g->share.fd, (off_t)p->index);
}

#else

/* Files that one before us left: nobody reads them any more. */
static void
clear(int dir)
{
	DIR *d = fdopendir(dup(dir));
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			(void)unlinkat(dir, e->d_name, 0);
	if (d != NULL)
		closedir(d);
}

const char *
share_open(struct gui *g)
{
	const char *by_hand = getenv("QGNT_DIR"), *dir = getenv("VCHAN_SOCKET_DIR");
	char path[300];

	if (by_hand != NULL)
		snprintf(path, sizeof path, "%s/%u", by_hand, g->dom0.self);
	else
		snprintf(path, sizeof path, "%s/grants", dir != NULL ? dir : "/run/vchan");
	(void)mkdir(path, 0755);
	g->share.fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (g->share.fd < 0)
		return "the directory for pages";
	clear(g->share.fd);
	g->share.next = 64;
	return NULL;
}

static void
give_back(struct gui *g, const struct pages *p)
{
	char name[24];

	snprintf(name, sizeof name, "%u", p->refs[0]);
	(void)unlinkat(g->share.fd, name, 0);
}

static bool
allocate(struct gui *g, struct pages *p)
{
	for (size_t i = 0; i < p->n; i++)
		p->refs[i] = g->share.next++;
	p->index = p->refs[0];
	return true;
}

/* No page is missing later, when it is written to. */
static void *
map(struct gui *g, struct pages *p)
{
	void *m = MAP_FAILED;
	char name[24];
	int fd, e;

	snprintf(name, sizeof name, "%u", p->refs[0]);
	fd = openat(g->share.fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return m;
	e = posix_fallocate(fd, 0, (off_t)(p->n * PAGE));
	if (e == 0)
		m = mmap(NULL, p->n * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m != MAP_FAILED)
		p->seg = x_attach(&g->x, fd, false);
	else
		close(fd);
	errno = e ? e : errno;
	return m;
}

#endif

struct pages *
share_new(struct gui *g, size_t n)
{
	struct pages *p = calloc(1, sizeof *p + n * sizeof p->refs[0]);

	if (p == NULL)
		return NULL;
	p->n = n;
	if (!allocate(g, p))
		return no_pages(p);
	p->p = map(g, p);
	if (p->p != MAP_FAILED)
		return p;
	give_back(g, p);
	return no_pages(p);
}

void
share_free(struct gui *g, struct pages *p)
{
	if (p->seg != 0)
		xcb_shm_detach(g->x.c, p->seg);
	munmap(p->p, p->n * PAGE);
	give_back(g, p);
	free(p);
}
