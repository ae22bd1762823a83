/* SPDX-License-Identifier: ISC */
/* The keys of vm.d and what their values may be: vmconf-keys.c, for vmconf.c. */
#ifndef VMCONF_KEYS_H
#define VMCONF_KEYS_H

#include "vmconf.h"

#define DOM0_UUID "00000000-0000-0000-0000-000000000000"

#define KEYS_MAX 64
#define FEATURE "feature." /* what their keys begin with */

/* What one file has set, and on which line. */
struct seen {
	unsigned line[KEYS_MAX];
	char features[VM_FEATURES];
};
/* One file's bytes over *c, as "defaults" or as a qube's. */
bool vmconf_parse_as(struct vmconf *c, const char *file, const char *untrusted, size_t n,
    bool defaults, bool trusted, struct seen *seen, struct vmconf_error *e);
void vmconf_builtin(struct vmconf *c, const char *name);
/* For *e: where we are; and what is wrong here, false. */
void vmconf_at(struct vmconf_error *e, const char *file, unsigned line);
bool vmconf_wrong(struct vmconf_error *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct key;
/* Checks a value and stores it. NULL, or what is wrong with it. */
typedef const char *set_fn(struct vmconf *c, const struct key *k, const char *val);

/* may stand in "defaults"; comes from the template; stands nowhere but in "defaults"; names a file
 */
enum { GLOBAL = 1, INHERIT = 2, ONLY = 4, PATH = 8 };

struct key {
	const char *name;
	set_fn *set;
	size_t off, size; /* of its field in struct vmconf */
	int flags;
};

const struct key *key_find(const char *word);	  /* NULL: there is none */
const struct key *key_nearest(const char *word);  /* one that looks much like it, or NULL */
size_t key_number(const struct key *k);		  /* below KEYS_MAX */
const struct key *key_next(const struct key *at); /* the first for NULL; NULL: there is none */
const char *key_type(const struct key *k);	  /* bool, int, vm, label or str */
/* Its value as text: True or False, decimal, or as it stands; tags with blanks between them. */
#define KEY_TEXT (VM_TAGS * (VM_TAG_LEN + 1) + 1)
void key_print(const struct vmconf *c, const struct key *k, char out[KEY_TEXT]);
/* A path that is neither below /var/lib/qubes nor, for a kernel, in VM_KERNELS. */
bool key_beyond(const struct key *k, const char *path);
void keys_inherit(struct vmconf *c, const struct vmconf *from);

/* conf/vmconf-features.c; name: without FEATURE. all: as in struct vmconf. */
const char *feature_find(const char *all, const char *name); /* its value, or NULL */
/* Checks and stores it, in place of an earlier one. NULL, or what is wrong. */
const char *feature_set(char all[VM_FEATURES], const char *name, const char *val);

#endif
