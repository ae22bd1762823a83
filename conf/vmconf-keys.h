/* SPDX-License-Identifier: ISC */
/* The keys of vm.d and what their values may be: vmconf-keys.c, for vmconf.c. */
#ifndef VMCONF_KEYS_H
#define VMCONF_KEYS_H

#include "vmconf.h"

#define DOM0_UUID "00000000-0000-0000-0000-000000000000"

#define FEATURE "feature." /* what their keys begin with */

struct key;
/* Checks a value and stores it. NULL, or what is wrong with it. */
typedef const char *set_fn(struct vmconf *c, const struct key *k, const char *val);

enum { GLOBAL = 1, INHERIT = 2 }; /* may stand in "defaults"; comes from the template */

struct key {
	const char *name;
	set_fn *set;
	size_t off, size; /* of its field in struct vmconf */
	int flags;
};

const struct key *key_find(const char *word);	 /* NULL: there is none */
const struct key *key_nearest(const char *word); /* one that looks much like it, or NULL */
uint64_t key_bit(const struct key *k);		 /* a bit of its own */
void keys_inherit(struct vmconf *c, const struct vmconf *from);

/* conf/vmconf-features.c; name: without FEATURE. all: as in struct vmconf. */
const char *feature_find(const char *all, const char *name); /* its value, or NULL */
/* Checks and stores it, in place of an earlier one. NULL, or what is wrong. */
const char *feature_set(char all[VM_FEATURES], const char *name, const char *val);

#endif
