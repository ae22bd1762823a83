/* SPDX-License-Identifier: ISC */
/* What a domain is to be made of: looked up and refused early, before anything is made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "state.h"
#include "xendom.h"

#define PAGES_MIB 256u /* 4 KiB pages of a MiB */
static const char common_opts[] =
    "root=/dev/mapper/dmroot ro nomodeset console=hvc0 rd_NO_PLYMOUTH "
    "rd.plymouth.enable=0 plymouth.enable=0 xen_privcmd.unrestricted";
static const char own_opts[] = "swiotlb=2048";

/* Xen's own structures: 4 MiB and 1.5 for each processor (spec/vm 6); page tables of a PVH guest: a
 * MiB for each processor and two pages for each MiB of memory. */
uint32_t
overhead_mib(const struct vmconf *c, bool pvh)
{
	uint32_t mib = 4 + (3 * c->vcpus + 1) / 2;

	if (pvh)
		mib += c->vcpus + (c->memory * 2 + PAGES_MIB - 1) / PAGES_MIB;
	return mib;
}

/* The first line of DIR/NAME; false: there is none. */
static bool
line_of(char *out, size_t size, const char *dir, const char *name)
{
	struct buf b = {.max = CMDLINE_MAX};
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool ok = fd >= 0 && buf_read_file(&b, fd, name);

	if (ok)
		snprintf(out, size, "%.*s", (int)b.len, (const char *)buf_bytes(&b));
	out[ok ? strcspn(out, "\n") : 0] = '\0';
	if (fd >= 0)
		close(fd);
	buf_free(&b);
	return ok;
}

const char *
cmdline(char out[CMDLINE_MAX], const struct vmconf *c, const char *dir)
{
	char common[CMDLINE_MAX], own[CMDLINE_MAX], id[UUID_LEN + 1];
	size_t k = 0;
	int n;

	if (!line_of(common, sizeof common, dir, "default-kernelopts-common.txt"))
		snprintf(common, sizeof common, "%s", common_opts);
	if (c->own_kernelopts)
		snprintf(own, sizeof own, "%s", c->kernelopts);
	else if (!line_of(own, sizeof own, dir, "default-kernelopts-nopci.txt"))
		snprintf(own, sizeof own, "%s", own_opts);
	for (const char *p = c->uuid; *p; p++)
		if (*p != '-')
			id[k++] = *p;
	id[k] = '\0';
	n = snprintf(
	    out, CMDLINE_MAX, "%s%s%s systemd.machine_id=%s", common, *own ? " " : "", own, id);
	errno = 0;
	return n < 0 || n >= CMDLINE_MAX ? "the kernel's command line is longer than 1023" : NULL;
}

/* An ELF file, or why not. */
static const char *
kernel_ok(const char *path)
{
	static char why[160];
	unsigned char head[0x206] = {0};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return path;
	n = read(fd, head, sizeof head);
	close(fd);
	errno = 0;
	if (n >= 4 && memcmp(head, "\177ELF", 4) == 0)
		return NULL;
	if (n == (ssize_t)sizeof head && memcmp(head + 0x202, "HdrS", 4) == 0)
		snprintf(why, sizeof why,
		    "%.90s is compressed: extract-vmlinux unpacks it to vmlinux beside it", path);
	else
		snprintf(why, sizeof why, "%.120s: not a kernel", path);
	return why;
}

static const char *
plan_kernel(struct xen *x, const struct vmconf *c)
{
	char dir[VM_PATH_LEN + 32], *modules = x->disk[3].path;
	const char *e;

	errno = 0;
	if (c->kernel[0] == '\0')
		return "no kernel: set kernel, or default it in " ETC_VM "/defaults";
	snprintf(dir, sizeof dir, "%s%s", *c->kernel == '/' ? "" : VM_KERNELS "/", c->kernel);
	snprintf(x->kernel, sizeof x->kernel, "%s/vmlinux", dir);
	if (access(x->kernel, F_OK) < 0)
		snprintf(x->kernel, sizeof x->kernel, "%s/vmlinuz", dir);
	if ((e = kernel_ok(x->kernel)) != NULL)
		return e;
	snprintf(x->initramfs, sizeof x->initramfs, "%s/initramfs", dir);
	if (access(x->initramfs, F_OK) < 0)
		x->initramfs[0] = '\0';
	snprintf(modules, sizeof x->disk[3].path, "%s/modules.img", dir);
	if (access(modules, F_OK) < 0)
		*modules = '\0';
	return cmdline(x->cmdline, c, dir);
}

/*
 * A root that comes from the template is shared: read-only (the stock initramfs then puts a layer
 * of the volatile disk over it). Who has one of his own writes it. Without a start (domain_stamp)
 * it is what a start would find.
 */
static void
plan_disks(struct xen *x, const struct domain *d)
{
	static struct storage_disks found;
	const struct storage_disk *k = d->disks.disk;
	static const char *const devs[XEN_DISKS] = {"xvda", "xvdb", "xvdc", "xvdd"};

	for (int i = 0; i < XEN_DISKS; i++) {
		x->disk[i].dev = devs[i];
		x->disk[i].image = x->disk[i].fd = -1;
		x->disk[i].write = i < 3;
		x->disk[i].from = -1;
	}
	x->disk[2].wipe = true;
	if (!k[VOL_ROOT].path[0] && !k[VOL_PRIVATE].path[0] && !k[VOL_VOLATILE].path[0]) {
		storage_would(d->conf, &found);
		k = found.disk;
	}
	for (int i = VOL_ROOT; i <= VOL_VOLATILE; i++) {
		x->disk[i].write = k[i].write;
		x->disk[i].from = k[i].path[0] ? k[i].fd : -1;
		memcpy(x->disk[i].path, k[i].path, STORAGE_PATH);
	}
}

/* A qube of the defaults has to find room beside one that says so (vm.d(5)). */
static uint64_t
left_mib(const struct vmconf *c, bool pvh)
{
	static struct vmconf def;
	struct vmconf_error e;
	int dir;

	if (!vmconf_feature(c, "leave-room"))
		return 0;
	dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)vmconf_defaults(dir, &def, &e); /* without them: the built-in ones */
	if (dir >= 0)
		close(dir);
	return (uint64_t)def.memory + overhead_mib(&def, pvh);
}

static const char *
plan_memory(struct xen *x, const struct vmconf *c)
{
	static char why[384];
	char who[160], leaves[64] = "";
	const uint32_t more = overhead_mib(c, x->pvh);
	const uint64_t left = left_mib(c, x->pvh), want = c->memory + more + left;
	xc_physinfo_t info = {0};
	uint64_t have;

	if (xc_physinfo(x->xch, &info) < 0)
		return "Xen's state";
	errno = 0;
	if (x->pvh && !(info.capabilities & XEN_SYSCTL_PHYSCAP_hvm))
		return "this machine has no virtualisation that pvh needs: use virt_mode = pv";
	x->hap = (info.capabilities & XEN_SYSCTL_PHYSCAP_hap) != 0;
	/* a MiB for each processor, and two pages for each MiB */
	x->pool = ((uint64_t)c->vcpus << 20) + (uint64_t)c->memory * 8192;
	have = (info.free_pages - (info.outstanding_pages < info.free_pages ? info.outstanding_pages
									    : info.free_pages)) /
	       PAGES_MIB;
	if (have >= want)
		return NULL;
	holders(x, who, sizeof who);
	errno = 0;
	if (left > 0)
		snprintf(leaves, sizeof leaves, " and %llu left for another qube",
		    (unsigned long long)left);
	snprintf(why, sizeof why,
	    "too little memory: %u MiB and %u for Xen's own use%s, %llu free, %llu missing%s",
	    c->memory, more, leaves, (unsigned long long)have, (unsigned long long)(want - have),
	    who);
	return why;
}

/* Its network card's other end; none while that qube does not run. */
static void
plan_netvm(struct xen *x, const struct vmconf *c)
{
	const int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vm_state s;

	if (dir < 0)
		return;
	if (c->netvm[0] && state_read(dir, c->netvm, &s) && !state_ended(&s))
		x->netvm = s.domid;
	close(dir);
}

const char *
plan_what(struct domain *d, struct xen *x)
{
	const struct vmconf *c = d->conf;
	const char *e;

	errno = 0;
	if (strcmp(c->virt_mode, "hvm") == 0)
		return "virt_mode hvm is not served yet: use pvh or pv";
	x->pvh = strcmp(c->virt_mode, "pvh") == 0;
	plan_disks(x, d);
	if ((e = plan_kernel(x, c)) != NULL)
		return e;
	plan_netvm(x, c);
	return NULL;
}

const char *
plan(struct domain *d, struct xen *x)
{
	const char *e = plan_what(d, x);

	return e ? e : plan_memory(x, d->conf);
}

/* FNV-1a: it has to tell apart, not to withstand: all of it is Dom0's own. */
static void
mix(uint64_t *h, const void *p, size_t n)
{
	for (const uint8_t *b = p; n > 0; n--)
		*h = (*h ^ *b++) * 0x100000001b3u;
}

/* What a qube writes itself is known by what it is; other files by their time too. */
static bool
mix_file(uint64_t *h, const char *path, bool write)
{
	struct stat st;

	mix(h, path, strlen(path) + 1);
	if (path[0] == '\0')
		return true;
	if (stat(path, &st) < 0)
		return false;
	mix(h, &st.st_dev, sizeof st.st_dev);
	mix(h, &st.st_ino, sizeof st.st_ino);
	mix(h, &st.st_size, sizeof st.st_size);
	if (!write)
		mix(h, &st.st_mtim, sizeof st.st_mtim);
	return true;
}

uint64_t
plan_stamp(const struct domain *d, const struct xen *x)
{
	const struct vmconf *c = d->conf;
	uint64_t h = 0xcbf29ce484222325u;
	bool ok = mix_file(&h, x->kernel, false) && mix_file(&h, x->initramfs, false);

	for (int i = 0; i < XEN_DISKS; i++)
		ok = ok && mix_file(&h, x->disk[i].path, x->disk[i].write);
	mix(&h, x->cmdline, strlen(x->cmdline) + 1);
	mix(&h, c->virt_mode, strlen(c->virt_mode) + 1);
	mix(&h, c->mac, strlen(c->mac) + 1);
	mix(&h, c->ip, strlen(c->ip) + 1);
	mix(&h, &c->memory, sizeof c->memory);
	mix(&h, &c->vcpus, sizeof c->vcpus);
	mix(&h, &x->netvm, sizeof x->netvm);
	return ok ? h : 0;
}
