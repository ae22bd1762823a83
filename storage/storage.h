/* SPDX-License-Identifier: ISC */
/*
 * Volumes: image files on Xen, directories on the local backend (storage(7)). One directory for
 * each qube, VAR_DIR/vm-templates/NAME or VAR_DIR/appvms/NAME. In it VOL[.img] is a link to the
 * current generation VOL@N[.img], VOL.dirty a link to the one that is being written: making it
 * current is one rename. What is not yet whole has a name that begins with '.'.
 *
 * Links that an AppVM or a DispVM has to its template's generation stand there while it runs; a
 * generation that somebody has a link to is never removed.
 *
 * Those that return const char *: NULL, or what failed (errno; 0: the text says all). The text
 * stays until the next call.
 */
#ifndef STORAGE_H
#define STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmconf.h"

#define STORAGE_TEMPLATES "vm-templates" /* in VAR_DIR; root:qubes 2775, as is the next */
#define STORAGE_APPVMS "appvms"
#define STORAGE_PATH (VM_PATH_LEN + 48)
#define STORAGE_REVISIONS 16 /* no more are kept of a volume */

enum volume_id { VOL_ROOT, VOL_PRIVATE, VOL_VOLATILE, VOL_KERNEL, VOL_N };

struct storage_progress {
	void (*fn)(void *arg, uint64_t done, uint64_t of); /* bytes; of 0: not known */
	void *arg;
};

/*
 * What a qube of this file is to have, before its file appears in vm.d: empty volumes. Leftovers of
 * that name without a file in vm.d are removed first. EEXIST: there is such a qube; EBUSY: somebody
 * is just making or removing it. The name stays ours until storage_done or the process's end: call
 * that when the file stands in vm.d (or when that failed: then storage_remove comes before).
 */
const char *storage_create(const struct vmconf *c, const struct storage_progress *p);
/*
 * The same with what another qube has: the last whole state of its root, if *to has one of its own,
 * and its private volume, for which *from must not run (EBUSY).
 */
const char *storage_clone(
    const struct vmconf *from, const struct vmconf *to, const struct storage_progress *p);
/*
 * The same with a root from path: a directory, or on Xen also an image file or block device. Of a
 * qube that is there already (its file stands in vm.d) it becomes the next generation of the root.
 */
const char *storage_import(
    const struct vmconf *c, const char *path, const struct storage_progress *p);
void storage_done(void);

/* All of a name that has no file in vm.d (any more); ENOENT counts as done. EBUSY: it runs. */
const char *storage_remove(const char *name);
/* Leftovers of all names: at startd's start. Says what it removes. */
void storage_sweep(void);

/* What a domain is given. */
struct storage_disk {
	char path[STORAGE_PATH]; /* a file, block device or directory; empty: there is none */
	int fd;			 /* O_PATH of exactly that, for who opens it; -1: none */
	bool write;
	bool whole; /* local: a tree of ours, ids shifted to STORAGE_UID (storage-tree.h) */
};
struct storage_disks {
	struct storage_disk disk[VOL_N]; /* VOL_KERNEL is left empty */
};

/*
 * For vmstart, before the domain is built: makes the snapshots and says what is to be used. A key
 * root, private or volatile of the file wins and is used as it stands. Keeps the qube's volumes
 * from other writers until storage_stop or the process's end.
 * storage_stop: after the domain has gone: what is thrown away goes; a template's root is committed
 * after a clean end, else kept to go on from, and said. Done again it does nothing. Says itself
 * what it could not do.
 * storage_adopt: for a domain that runs already, or was built ahead: keeps others away, makes
 * nothing. storage_would: the paths that a start would find now, without descriptors.
 */
const char *storage_start(
    const struct vmconf *c, struct storage_disks *out, const struct storage_progress *p);
const char *storage_adopt(const struct vmconf *c);
void storage_would(const struct vmconf *c, struct storage_disks *out);
void storage_stop(const struct vmconf *c, bool clean);
void storage_close(struct storage_disks *d); /* the descriptors */

struct volume {
	const char *name;	   /* root private volatile kernel */
	char vid[STORAGE_PATH];	   /* the path below VAR_DIR, or a key's own path */
	char source[STORAGE_PATH]; /* snap_on_start: the vid that it is taken from; else empty */
	uint64_t size, usage;	   /* bytes; usage: what it takes on disk */
	bool rw, save_on_stop, snap_on_start, is_outdated, ephemeral;
	uint32_t revisions_to_keep;
};
#define STORAGE_POOL "file" /* the only pool */

struct revision {
	uint32_t number; /* of the generation: the id that people use */
	int64_t when;	 /* it was committed, s since 1970 */
};

const char *storage_name(enum volume_id id);
int storage_find(const char *name); /* a volume_id, or -1 */
/* How many there are (VOL_N, or 0 with errno); by volume_id. usage of a local tree is counted. */
int storage_list(const struct vmconf *c, struct volume v[VOL_N]);
/* Former states, the latest first; how many, or -1: errno. */
int storage_revisions(
    const struct vmconf *c, enum volume_id id, struct revision out[STORAGE_REVISIONS]);
/* Grows it (ERANGE: it would shrink). While it runs: refused (EBUSY). The caller sets the key
 * NAME_size too. */
const char *storage_resize(const struct vmconf *c, enum volume_id id, uint64_t bytes);
/* number 0: the latest. The state that was current becomes a revision itself. */
const char *storage_revert(const struct vmconf *c, enum volume_id id, uint32_t number);

#endif
