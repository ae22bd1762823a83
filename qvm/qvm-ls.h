/* SPDX-License-Identifier: ISC */
/* The columns of qvm-ls. */
#ifndef QVM_LS_H
#define QVM_LS_H

#include "qvm.h"

#define VALUE_MAX 2200 /* 32 tags of 63 */

struct field {
	char name[32];						/* in capitals */
	void (*get)(const struct qube *q, char out[VALUE_MAX]); /* NULL: a property */
};

/* false: there is none of this name, in any case of letters. */
bool field_find(const char *name, size_t n, struct field *f);
/* Never empty: "-" for none. */
void field_get(const struct field *f, const struct qube *q, char out[VALUE_MAX]);
/* A property's value as qvm-prefs shows it; false: it has none of that name. */
bool property_get(const struct qube *q, const char *name, char out[VALUE_MAX]);
void fields_help(void);

#endif
