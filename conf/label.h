/* SPDX-License-Identifier: ISC */
/* The labels that there are, in the order of their numbers, 1 to LABELS (spec/vm 5). */
#ifndef LABEL_H
#define LABEL_H

#include <stdint.h>

#define LABELS 8

struct label {
	const char *name;
	uint32_t rgb; /* 0xRRGGBB */
};

extern const struct label labels[LABELS];

const struct label *label_named(const char *name); /* NULL: there is none */

#endif
