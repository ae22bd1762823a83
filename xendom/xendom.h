/* SPDX-License-Identifier: ISC */
/*
 * What the parts of the Xen backend share: xendom.c (life), xen-build.c (memory, kernel),
 * xen-acpi.c (a PVH guest's tables), xen-disk.c (images and block devices), xen-nodes.c (xenstore),
 * xen-plan.c (what is wanted, as text). Nothing here is handed to the console but descriptors.
 */
#ifndef XENDOM_H
#define XENDOM_H

#include <xenctrl.h>

#include "paths.h"
#include "vmstart/domain.h"
#include "xen/store.h"

/* /tool/cubicle/DOMID: name, session, uuid, disk/N; /tool/cubicle/disk/ID/DOMID: w or r. Root's
 * alone. */
#define TOOL "/tool/cubicle"
#define TOOL_DISK TOOL "/disk"
#define XEN_DISKS 4
#define XVDA 51712	 /* the block device's number in xenstore; the next ones 16 further each */
#define CMDLINE_MAX 1024 /* of a PV guest: xen/xen.h MAX_GUEST_CMDLINE, its NUL included */

struct xen_disk {
	const char *dev;	 /* xvda... */
	char path[STORAGE_PATH]; /* empty: there is none */
	bool write, wipe;	 /* wipe: its content is thrown away */
	int from;		 /* O_PATH of exactly that, of struct domain; -1: by its path */
	int image, fd;		 /* the image file; the loop device or block device: -1 */
	uint32_t major, minor;
	char id[48]; /* of what is behind it, the same for all its names */
};

struct spare {
	void *p;
	size_t len;
};
#define XEN_SPARE 4

enum { T_KERNEL, T_MEMORY, T_DEVICES, T_XENSTORE, T_N };

struct xen {
	xc_interface *xch;
	struct store *store;
	struct xen_disk disk[XEN_DISKS];
	char kernel[VM_PATH_LEN + 48], initramfs[VM_PATH_LEN + 48]; /* initramfs empty: none */
	char cmdline[CMDLINE_MAX];
	bool pvh, hap;
	uint64_t pool;			   /* bytes of Xen's memory for a PVH guest's page tables */
	uint32_t store_port, console_port; /* the guest's numbers of the event channels */
	uint64_t store_gfn, console_gfn;
	uint32_t netvm;		       /* its domid, or 0 */
	int tick, watch;	       /* in end_fd (an epoll): a timer, the store's descriptor */
	int evtchn;		       /* the console's event channel, bound */
	uint32_t port;		       /* our number of it */
	struct xc_dom_image *image;    /* while it is built */
	struct spare spare[XEN_SPARE]; /* mappings that are not needed any more */
	size_t nspare;
	int reason; /* of the shutdown; -1: none was seen */
	bool adopted;
	uint64_t born_ms, spent_us[T_N];
	char why[192]; /* what libxenctrl says when it fails */
};

/* All return NULL, or what failed (errno; 0: the text says all). */

/* xen-plan.c. Looks at files and at Xen; makes nothing. */
const char *plan(struct domain *d, struct xen *x);
const char *plan_what(struct domain *d, struct xen *x); /* without asking whether there is room */
/* All that plan_what found, in a number; files by what and how old they are. 0: one is missing. */
uint64_t plan_stamp(const struct domain *d, const struct xen *x);
/* MiB that a domain takes from Xen besides its own memory. */
uint32_t overhead_mib(const struct vmconf *c, bool pvh);
/* Common options, the qube's own, the machine id (spec/vm 1). dir: the kernel's. */
const char *cmdline(char out[CMDLINE_MAX], const struct vmconf *c, const char *dir);

/* xen-holders.c: "; who holds most: NAME MIB, ...", or nothing. */
void holders(const struct xen *x, char *out, size_t size);

/* xen-build.c */
const char *xen_create(struct domain *d, struct xen *x);
const char *xen_fill(struct domain *d, struct xen *x);
void xen_tidy(struct xen *x); /* lets go of what building it took */

/* xen-acpi.c */
#define ACPI_BASE 0xfc000000u /* RSDP; the other tables a page later */
#define ACPI_PAGE 4096u
void acpi_make(uint8_t rsdp[ACPI_PAGE], uint8_t tables[ACPI_PAGE], uint32_t vcpus);

/* xen-disk.c */
const char *disks_open(struct xen *x); /* and their loop devices */
void disks_wipe(struct xen *x);
/* The block backend has opened them all: they stay without us. false, errno: not in time. */
bool disks_held(const struct xen *x, uint32_t domid);
void disks_close(struct xen *x);
bool disks_busy(uint32_t domid); /* the block backend has some of that domain's */

/* xen-nodes.c: all of a domain's nodes, in one transaction each. */
const char *nodes_make(const struct domain *d, struct xen *x);
/* Is one of the disks in a use that excludes ours? tx 0: as things look now. */
const char *disks_free(struct xen *x, uint32_t tx, uint32_t domid);
void nodes_remove(struct xen *x, uint32_t domid, const char *uuid);
/* The domid of each domain that the nodes say is named name; -1: none after that of before. */
int64_t nodes_find(struct xen *x, const char *name, int64_t before);

uint64_t now_us(void);

#endif
