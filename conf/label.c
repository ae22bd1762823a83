/* SPDX-License-Identifier: ISC */
#include "label.h"

#include <string.h>

const struct label labels[LABELS] = {{"red", 0xcc0000}, {"orange", 0xf57900}, {"yellow", 0xedd400},
    {"green", 0x73d216}, {"gray", 0x555555}, {"blue", 0x3465a4}, {"purple", 0x75507b},
    {"black", 0x000000}};

const struct label *
label_named(const char *name)
{
	for (const struct label *l = labels; l < labels + LABELS; l++)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}
