/* SPDX-License-Identifier: ISC */
/* Inside the sandbox: the listed paths as a mount namespace, then as Landlock rules. */
#ifndef SANDBOX_FS_H
#define SANDBOX_FS_H

#include <stdbool.h>

#include "sandbox.h"

#define SANDBOX_PATHS 32

struct sandbox_fs {
	int path[SANDBOX_PATHS]; /* O_PATH of each listed path, -1: it does not exist and need not
				  */
	int abi;		 /* of Landlock; <= 0: there is none */
};

/* With the capabilities we came with: a root of our own with only the listed paths in it. */
void sandbox_fs_private(struct sandbox_fs *fs, const struct sandbox *sb, bool by_hand);
/* Under no_new_privs: Landlock over the same list. Closes the descriptors. */
void sandbox_fs_restrict(struct sandbox_fs *fs, const struct sandbox *sb);

#endif
