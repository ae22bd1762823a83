/* SPDX-License-Identifier: ISC */
/* What the parts of the local backend share: local.c (life), local-root.c (the guest's files). */
#ifndef LOCAL_H
#define LOCAL_H

#include <sys/types.h>

#include "ids.h"
#include "paths.h"
#include "vmstart/domain.h"

/*
 * RUN_VM/NAME/, root 0700: console and end (the guest's last word), fifos: what a guest holds must
 * not be a file of ours that it could make long.
 */
#define RUN_VM RUN_DIR "/vm"
#define GUEST_END_FD 3 /* vm-init says 0 or 10 there */

/*
 * Builds the guest's file tree in a fresh mount namespace of root's, and makes it the root: the
 * tree at /root, Dom0's /proc at /proc. Called in a process of its own. NULL, or what failed
 * (errno).
 */
const char *root_build(const struct domain *d);
/* Inside the guest's own namespaces: what only they can mount, then the tree becomes the root. */
const char *root_enter(const struct domain *d);

/* In the builder: volumes, O_PATH, and after tree_take mounts that are nowhere yet; closed where
 * there is none. */
#define ROOT_FD 5
#define PRIVATE_FD 6

/* uid_map or gid_map of a user namespace. false: errno */
bool write_map(pid_t pid, const char *file, const char *text);

/*
 * local-tree.c: mounts of volumes, and a root that is a whole tree of storage's. tree_take comes
 * before the builder's own mount namespace. tree_build mounts it at to: the template writes it,
 * others have a throw-away layer over it, in the fresh directory layers. tree_fit: as the guest's
 * own root, in its namespaces, puts what is at skel over what is at root: no link in the tree leads
 * further than the guest may go. tree_files: the same, in the tree.
 */
const char *tree_take(const struct domain *d);
const char *tree_attach(int fd, const char *to);
const char *tree_build(const struct domain *d, const char *to, const char *layers);
const char *tree_fit(const char *skel, const char *root);
void tree_files(const struct domain *d);
/* The services that every qube has and their configurations: fn makes a link to target at path, as
 * the guest sees both. NULL, or what failed. */
typedef const char *tree_link_fn(const struct domain *d, const char *target, const char *path);
const char *tree_services(const struct domain *d, tree_link_fn *fn);
extern const char *const own_programs[]; /* ends with NULL */

static inline uid_t
guest_uid(const struct domain *d, uid_t uid)
{
	return LOCAL_UID_BASE + LOCAL_UID_RANGE * d->state->qid + uid;
}

#endif
