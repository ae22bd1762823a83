/* SPDX-License-Identifier: ISC */
/* The properties of a qube and of the machine, as the Admin API names and prints them. */
#ifndef VMPROPS_H
#define VMPROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "state.h"
#include "vmconf-keys.h"

/* A qube as it is now. */
struct view {
	struct vmconf conf;
	struct seen seen; /* what its own file says, or for the machine "defaults" */
	struct vm_state st;
	bool runs;
};

/* false: *e. The name must be a qube's (or dom0); "defaults": the machine. */
bool view_load(int vm, int state, const char *name, struct view *v, struct vmconf_error *e);

struct prop;
/* Of this qube, or (v->conf.name is "defaults") of the machine; NULL: no such property, or there is
 * none after at. */
const struct prop *prop_find(const struct view *v, const char *name);
const struct prop *prop_next(const struct view *v, const struct prop *at);
const char *prop_name(const struct prop *p);
const char *prop_key(const struct prop *p); /* of vm.d; NULL: it is no one's to set */
const char *prop_type(const struct prop *p);
#define PROP_TEXT 1024
void prop_value(const struct prop *p, const struct view *v, char out[PROP_TEXT]);
bool prop_is_default(const struct prop *p, const struct view *v);
/* default=True|False type=T VALUE (spec/cli 3). escaped: \ and newline as in GetAll. */
void prop_print(const struct prop *p, const struct view *v, bool escaped, struct buf *out);
/* type=T VALUE: what it would be without a line of its own; nothing: it has no default. */
void prop_print_default(const struct prop *p, const struct view *v, struct buf *out);

#endif
