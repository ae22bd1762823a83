/* SPDX-License-Identifier: ISC */
/* What qvm-create and qvm-clone share: a new qube's text, its volumes, its file. */
#ifndef QVM_MAKE_H
#define QVM_MAKE_H

#include "buf.h"
#include "qvm/qvm.h"
#include "storage/storage.h"

#define TEXT_MAX 65538

/* An option "name=value", as it was given. */
struct option_pair {
	char *name;
	const char *value;
};

/* Where its volumes come from. */
struct source {
	const struct vmconf *clone; /* another qube, or */
	const char *root;	    /* a directory or an image: its root, or neither */
};

/* Sets or takes away (NULL) a line of the text. false after saying why not. */
bool make_line(struct buf *text, const char *key, const char *value);
bool make_uuid(struct buf *text); /* a new one */
/* --property NAME=VALUE: checked, and a line of it. usage() for no such property. */
bool make_property(
    int dir, struct buf *text, const char *class, const char *name, const char *value);
/* Whether a name is one, and free. */
bool make_name(int dir, const char *name);
/* Volumes and then the file: 0, 1 it failed, 3 the root could not be taken. Says why. */
int make_qube(int dir, const char *name, const struct buf *text, const struct source *from);
/* -P, -p: there is one pool. */
void make_pool(const char *pool);

#endif
