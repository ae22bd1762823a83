/* SPDX-License-Identifier: ISC */
/*
 * What the parts of storage share: storage-ops.c (each change of the file system, locks, names),
 * storage-gen.c (generations), storage.c (create, remove), storage-run.c (a start, an end),
 * storage-list.c (what people look at and change), and what a volume is: storage-image.c or
 * storage-tree.c.
 */
#ifndef STORAGE_INT_H
#define STORAGE_INT_H

#include <dirent.h>
#include <sys/types.h>

#include "storage.h"

#ifdef BACKEND_xen
#define SUFFIX ".img"
#define IMAGES true
#else
#define SUFFIX ""
#define IMAGES false
#endif

#define MIB 1048576u
#define LEAF 64 /* a file's name in a qube's directory */
#define DIRTY ".dirty"
#define SNAP ".snap" /* a disposable's private volume */

/* Unit tests set these. */
struct store {
	const char *var, *etc, *state;
	int locks;			/* the lock file; -1 */
	char pending[NAME_LEN_MAX + 1]; /* made, its file is not there yet; empty: none */
	bool pending_template;
	char why[768];
};
extern struct store store;

/* storage-ops.c. */

/* Says what failed; errno stays, or with said_all is 0. */
const char *failure(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void close_fd(int *fd);
int open_dir(int dir, const char *path); /* the last part is not followed */
DIR *list_dir(int dir);			 /* from its start, beside dir; NULL: errno */
bool is_dots(const char *name);

/*
 * Every change of a name goes through these: false, errno. What is cut between two of them is what
 * t-storage-cut looks at.
 */
bool op_mkdir(int dir, const char *name, mode_t mode);
bool op_rename(int dir, const char *from, const char *to);
bool op_link(int dir, const char *target, const char *name); /* in place of what was there */
bool op_unlink(int dir, const char *name, int flags);	     /* absent is fine */
bool op_sync(int fd);
bool op_step(const char *what); /* in the middle of a copy */

/* Names and volumes are locked, not files: a lock is gone with its process. They add up until
 * unlock_all. */
bool lock_name(const char *name, short type); /* F_RDLCK, F_WRLCK; false: EAGAIN, or errno */
bool lock_inode(int fd, short type);
/* What generations there are, and who has which: held shortly, waited for 10 s. */
bool lock_links(bool on);
void unlock_all(void);
bool lock_name_soon(const char *name); /* F_WRLCK; who sweeps has each for a moment: waits */
void unlock_name(const char *name);

bool has_file(const char *name); /* in vm.d; also when that cannot be told */
bool runs(const char *name);

/* A qube's directory. -1: errno. */
int open_base(bool template);
int open_qube(const char *name, bool template);
int open_own(const struct vmconf *c);
bool is_template(const struct vmconf *c);
bool keeps_root(const struct vmconf *c);      /* TemplateVM, StandaloneVM */
bool keeps_private(const struct vmconf *c);   /* and AppVM */
void remove_qube(int base, const char *name); /* says what it could not do */

/* storage.c: for one whose file was written by hand; its lock is held. */
const char *storage_make(const struct vmconf *c);

/* storage-gen.c. */

#define GENS_MAX 64
struct gens {
	uint32_t current, dirty; /* 0: none */
	uint32_t next;		 /* a number that was not used yet */
	size_t n;
	uint32_t all[GENS_MAX]; /* the latest first */
};
const char *leaf(enum volume_id id, uint32_t number); /* VOL@N[.img]; one of four static buffers */
const char *link_name(enum volume_id id, const char *more); /* VOL[MORE][.img], likewise */
bool gens_read(int dir, enum volume_id id, struct gens *g);
/* The volume itself, or -1. flags: O_PATH, O_RDONLY or O_RDWR. */
int leaf_open(int dir, const char *name, int flags);
/* A copy of what src is open on becomes name, whole or not at all. */
bool leaf_copy_as(int src, int dir, const char *name, const struct storage_progress *p);
/* Former generations that are too many go, if nobody has a link to them. */
void gens_prune(const struct vmconf *c, int dir, enum volume_id id);
/* The template at the end of c's chain; false: none, or errno. */
bool root_source(const struct vmconf *c, char name[NAME_LEN_MAX + 1]);
/* Where the root of c that is a snapshot points to: its number; 0: it has none. */
uint32_t snapshot_of(int dir, const char *template);

/* What a volume is. dir: of the qube; names there; false: errno. */

bool volume_may(void); /* errno EPERM: this is only for root */
bool volume_make(int dir, const char *name, uint64_t bytes);
bool volume_copy(int src, int dir, const char *name, const struct storage_progress *p);
bool volume_reflink(int src, int dir, const char *name); /* without taking space, or not at all */
/* NULL, or what failed. */
const char *volume_import(
    const char *path, int dir, const char *name, uint64_t bytes, const struct storage_progress *p);
bool volume_remove(int dir, const char *name); /* absent is fine */
bool volume_grow(int fd, uint64_t bytes);
bool volume_sync(int fd);
bool volume_ok(int fd); /* it is one: neither a link nor something else */
void volume_size(int fd, uint64_t *size, uint64_t *usage); /* size 0: it has none of its own */

#endif
