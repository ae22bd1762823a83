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
const char *root_enter(void);

static inline uid_t
guest_uid(const struct domain *d, uid_t uid)
{
	return LOCAL_UID_BASE + LOCAL_UID_RANGE * d->state->qid + uid;
}

#endif
