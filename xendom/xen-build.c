/* SPDX-License-Identifier: ISC */
/*
 * A domain and its memory: an empty one, then kernel, initramfs and start information in it. The
 * numbers that go into Xen are made here from vm.d alone; the kernel's image is Dom0's own file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xendom.h"

#include <xen/hvm/e820.h>
#include <xenguest.h>

#define GIB4 (1ull << 32)
#define SLACK_KIB 1024	 /* beyond the guest's memory, for what is given to it later */
#define EVTCHN_MAX 1023	 /* a guest's event channels */
#define MAPTRACK_MAX 256 /* frames of 256 grants that it maps, as for its network's clients */
#define TSC_NATIVE 2	 /* asm-x86/time.h TSC_MODE_NEVER_EMULATE */

#define NO_LEAF 0xffffffffu /* ends a list of leaves; also: it has no subleaves */

#define TRY(what, call)                                                                            \
	do {                                                                                       \
		if (call)                                                                          \
			return what;                                                               \
	} while (0)

/* Two processors whose random numbers cannot be relied on after a suspend are not to offer them
 * (spec/vm 1). */
static bool
rdrand_off(void)
{
	uint32_t a = 1, b, c = 0, d, model;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	model = (a >> 4 & 15) | (a >> 12 & 0xf0);
	return (a >> 8 & 15) == 6 && (model == 58 || model == 62);
}

static bool
set_cpuid(struct xen *x, uint32_t domid)
{
	/* leaf 1, ecx, from bit 31 down: x as it would be */
	char no_rdrand[] = "x0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	const struct xc_xend_cpuid own[] = {
	    {.leaf = 1, .subleaf = NO_LEAF, .policy = {NULL, NULL, no_rdrand, NULL}},
	    {.leaf = NO_LEAF, .subleaf = NO_LEAF}};

	return xc_cpuid_apply_policy(x->xch, domid, false, NULL, 0, true, x->pvh, false,
		   x->pvh && rdrand_off() ? own : NULL, NULL) == 0;
}

static void
handle_of(const char *uuid, xen_domain_handle_t out)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	memset(out, 0, 16);
	for (const char *p = uuid; *p && n < 32; p++) {
		const char *h = strchr(hex, *p);

		if (h && *h)
			out[n / 2] = (uint8_t)(out[n / 2] << 4 | (h - hex));
		n += *p != '-';
	}
}

const char *
xen_create(struct domain *d, struct xen *x)
{
	const struct vmconf *c = d->conf;
	struct xen_domctl_createdomain cfg = {
	    .max_vcpus = c->vcpus,
	    .max_evtchn_port = EVTCHN_MAX,
	    .max_grant_frames = -1, /* Xen's own bound (its command line) */
	    .max_maptrack_frames = MAPTRACK_MAX,
	    .grant_opts = XEN_DOMCTL_GRANT_version(2),
	};
	uint32_t id = DOMID_INVALID;
	int port;

	if (x->pvh) {
		cfg.flags = XEN_DOMCTL_CDF_hvm | (x->hap ? XEN_DOMCTL_CDF_hap : 0u);
		cfg.arch.emulation_flags = XEN_X86_EMU_LAPIC;
	}
	handle_of(c->uuid, cfg.handle);
	TRY("an empty domain", xc_domain_create(x->xch, &id, &cfg));
	d->state->domid = id;
	TRY("its processors", xc_domain_max_vcpus(x->xch, id, c->vcpus));
	TRY("its memory's limit",
	    xc_domain_setmaxmem(x->xch, id, ((uint64_t)c->memory << 10) + SLACK_KIB));
	if (x->pvh)
		TRY("its page tables", xc_set_paging_mempool_size(x->xch, id, x->pool));
	else
		TRY("its memory map",
		    xc_domain_set_memmap_limit(x->xch, id, (unsigned long)c->memory << 10));
	TRY("its clock", xc_domain_set_tsc_info(x->xch, id, TSC_NATIVE, 0, 0, 0));
	TRY("an event channel", (port = xc_evtchn_alloc_unbound(x->xch, id, 0)) < 0);
	x->store_port = (uint32_t)port;
	TRY("an event channel", (port = xc_evtchn_alloc_unbound(x->xch, id, 0)) < 0);
	x->console_port = (uint32_t)port;
	TRY("its processors' features", !set_cpuid(x, id));
	return NULL;
}

/* A PVH guest's address space: memory up to the hole below 4 GiB, the rest above it. */
static void
layout(struct xc_dom_image *dom, uint64_t bytes)
{
	dom->mmio_start = ACPI_BASE;
	dom->mmio_size = GIB4 - ACPI_BASE;
	dom->target_pages = bytes >> XC_PAGE_SHIFT;
	dom->lowmem_end = bytes;
	if (bytes > ACPI_BASE) {
		dom->lowmem_end = ACPI_BASE;
		dom->highmem_end = GIB4 + (bytes - ACPI_BASE);
	}
}

static int
memory_map(const struct xen *x, uint32_t domid, const struct xc_dom_image *dom)
{
	struct e820entry map[4] = {
	    {.addr = 0, .size = dom->lowmem_end, .type = E820_RAM},
	    {.addr = (uint64_t)(X86_HVM_END_SPECIAL_REGION - X86_HVM_NR_SPECIAL_PAGES)
		     << XC_PAGE_SHIFT,
		.size = (uint64_t)X86_HVM_NR_SPECIAL_PAGES << XC_PAGE_SHIFT,
		.type = E820_RESERVED},
	    {.addr = ACPI_BASE, .size = 2 * ACPI_PAGE, .type = E820_ACPI},
	};
	uint32_t n = 3;

	if (dom->highmem_end > GIB4)
		map[n++] = (struct e820entry){
		    .addr = GIB4, .size = dom->highmem_end - GIB4, .type = E820_RAM};
	return xc_domain_set_memory_map(x->xch, domid, map, n);
}

/* The whole of a file, read into the page tables at once: a fault for each page costs more. */
static bool
map_file(struct spare *m, const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	m->len = fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
	m->p = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	return m->p != MAP_FAILED;
}

/*
 * The mappings of the guest's pages that are no longer needed: taken from the library, which would
 * unmap them now. That takes as long as to fill them and can be done when the guest runs.
 */
static void
set_aside(struct xen *x, struct xc_dom_image *dom, xen_pfn_t first)
{
	for (struct xc_dom_phys **p = &dom->phys_pages; *p; p = &(*p)->next) {
		const struct xc_dom_phys *phys = *p;

		if (phys->first != first || !phys->ptr || x->nspare == XEN_SPARE)
			continue;
		x->spare[x->nspare++] =
		    (struct spare){.p = phys->ptr, .len = phys->count << XC_PAGE_SHIFT};
		*p = phys->next;
		return;
	}
}

void
xen_tidy(struct xen *x)
{
	while (x->nspare > 0) {
		x->nspare--;
		(void)munmap(x->spare[x->nspare].p, x->spare[x->nspare].len);
	}
	if (x->image)
		xc_dom_release(x->image);
	x->image = NULL;
}

static const char *
load(struct domain *d, struct xen *x, struct xc_dom_image *dom)
{
	static uint8_t rsdp[ACPI_PAGE], tables[ACPI_PAGE];
	const uint32_t id = d->state->domid;
	const uint64_t begun = now_us();
	uint64_t t;

	dom->container_type = x->pvh ? XC_DOM_HVM_CONTAINER : XC_DOM_PV_CONTAINER;
	TRY(x->kernel, !map_file(&x->spare[0], x->kernel));
	x->nspare = 1;
	TRY("the kernel", xc_dom_kernel_mem(dom, x->spare[0].p, x->spare[0].len));
	if (x->initramfs[0]) {
		TRY(x->initramfs, !map_file(&x->spare[1], x->initramfs));
		x->nspare = 2;
		TRY("the initramfs", xc_dom_module_mem(dom, x->spare[1].p, x->spare[1].len, NULL));
	}
	dom->max_vcpus = d->conf->vcpus;
	dom->console_evtchn = x->console_port;
	dom->xenstore_evtchn = x->store_port;
	if (x->pvh) {
		layout(dom, (uint64_t)d->conf->memory << 20);
		acpi_make(rsdp, tables, d->conf->vcpus);
		dom->acpi_modules[0] = (struct xc_hvm_firmware_module){rsdp, ACPI_PAGE, ACPI_BASE};
		dom->acpi_modules[1] =
		    (struct xc_hvm_firmware_module){tables, ACPI_PAGE, ACPI_BASE + ACPI_PAGE};
	}
	TRY("the image", xc_dom_boot_xen_init(dom, x->xch, id));
	TRY("the kernel", xc_dom_parse_image(dom));
	x->spent_us[T_KERNEL] += now_us() - begun;
	t = now_us();
	TRY("its memory", xc_dom_mem_init(dom, d->conf->memory));
	TRY("its memory", xc_dom_boot_mem_init(dom));
	if (x->pvh)
		TRY("its memory map", memory_map(x, id, dom));
	x->spent_us[T_MEMORY] += now_us() - t;
	t = now_us();
	TRY("the kernel in its memory", xc_dom_build_image(dom));
	/* not a PV guest's: it makes page tables of some, which nobody may have writable then */
	if (x->pvh)
		set_aside(x, dom, dom->kernel_seg.pfn);
	if (x->pvh && dom->num_modules > 0)
		set_aside(x, dom, dom->modules[0].seg.pfn);
	TRY("its start", xc_dom_boot_image(dom));
	TRY("its grants", xc_dom_gnttab_init(dom));
	x->console_gfn = x->pvh ? dom->console_pfn : xc_dom_p2m(dom, dom->console_pfn);
	x->store_gfn = x->pvh ? dom->xenstore_pfn : xc_dom_p2m(dom, dom->xenstore_pfn);
	x->spent_us[T_KERNEL] += now_us() - t;
	return NULL;
}

const char *
xen_fill(struct domain *d, struct xen *x)
{
	x->image = xc_dom_allocate(x->xch, x->cmdline, NULL);
	return x->image ? load(d, x, x->image) : "memory of our own";
}
