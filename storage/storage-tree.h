/* SPDX-License-Identifier: ISC */
/*
 * Volumes as directories (local backend). A tree's owners stand on disk shifted by STORAGE_UID: the
 * range of qid 0, which no qube has, so that nothing in a tree is Dom0's root's, and every qube
 * gets it mapped to its own range.
 */
#ifndef STORAGE_TREE_H
#define STORAGE_TREE_H

#include "ids.h"

#define STORAGE_UID LOCAL_UID_BASE

/*
 * Removes a directory in which a guest could write: by descriptors, nothing is followed, and
 * however deep a guest has nested, not recursively. Absent is fine.
 */
bool tree_remove(int dir, const char *name);

#endif
