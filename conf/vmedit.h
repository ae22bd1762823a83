/* SPDX-License-Identifier: ISC */
/*
 * Changes of vm.d's files: one writer at a time (flock on ".lock"), each into a file of its own
 * beside (".NAME.new"), made sure of and renamed: whoever reads, and whoever comes after a power
 * cut, finds the old or the new one. What others have written meanwhile stays, and so do comments
 * and the order of lines. A file that would not be valid is not written: *e says where and why,
 * errno is EINVAL.
 *
 * dir: of vm.d. name: a qube, "dom0" or "defaults" (both may be absent so far). On any other
 * failure errno says which, and *e says it in words. A file keeps its owner and mode; one that root
 * did not write belongs to who did (struct vmconf, trusted).
 */
#ifndef VMEDIT_H
#define VMEDIT_H

#include <stdbool.h>

#include "buf.h"
#include "vmconf.h"

/* EEXIST: there is one already. */
bool vmedit_create(int dir, const char *name, const char *text, struct vmconf_error *e);
/* NULL removes the key's line. ENOENT: no such qube. Fine: it has no such line. */
bool vmedit_set(
    int dir, const char *name, const char *key, const char *value, struct vmconf_error *e);
/* One tag, there or not there, whatever others do to the other tags meanwhile. */
bool vmedit_tag(int dir, const char *name, const char *tag, bool there, struct vmconf_error *e);
/* Until its volumes are removed, too (storage_remove), ".NAME.gone" stands there. */
bool vmedit_remove(int dir, const char *name, struct vmconf_error *e);
/*
 * The same, but not (EBUSY) while other files name it (as template, netvm, default_dispvm and so
 * on): used() hears of each, and of the key there. "defaults" is one of them; disposables that
 * are kept ready are not.
 */
typedef void vmedit_used(void *arg, const char *by, const char *key);
size_t vmedit_users(int dir, const char *name, vmedit_used *used, void *arg); /* how many */
bool vmedit_remove_unused(
    int dir, const char *name, vmedit_used *used, void *arg, struct vmconf_error *e);

/*
 * On a text in memory: old with that key's line changed, left out (NULL) or added; out must be
 * empty. false: it grows longer than a file may be.
 */
bool vmedit_line(const struct buf *old, const char *key, const char *value, struct buf *out);
/* What its line says, as it stands there; false: there is none, or it does not fit. */
bool vmedit_value(const struct buf *text, const char *key, char *out, size_t size);
/* NULL, or why this key could not be read back with this value. */
const char *vmedit_unwritable(const char *key, const char *value);

#endif
