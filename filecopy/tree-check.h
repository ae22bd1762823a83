/* SPDX-License-Identifier: ISC */
/* Whether what somebody is about to send will be taken, and how much it is. */
#ifndef QFILE_TREE_CHECK_H
#define QFILE_TREE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct tree_check {
	bool links, directories; /* are allowed */
	bool ignore_links;	 /* they are not sent */
	/* Found. */
	uint64_t bytes;
	bool odd_names; /* some that only allow-all-names takes */
};

/* False: something in it cannot be copied; that was said. May be called for several. */
bool tree_check(struct tree_check *, const char *path);

#endif
