/* SPDX-License-Identifier: ISC */
/*
 * What of a guest's output may reach a terminal of Dom0's: printable ASCII, line ends, tabs,
 * backspace, colours (SGR), moves of the cursor and erasing. Everything else that a terminal might
 * obey (titles, answers, modes, device strings, eight-bit controls) is left out; other bytes show
 * as "?".
 */
#ifndef TERM_FILTER_H
#define TERM_FILTER_H

#include <stddef.h>
#include <stdint.h>

#define TERM_SEQ 24 /* bytes of a sequence that is passed on */

struct term_filter {
	enum { TF_TEXT, TF_ESC, TF_CSI, TF_STRING, TF_STRING_ESC, TF_ONE_MORE } state;
	char seq[TERM_SEQ];
	size_t len;
	uint32_t skipped; /* of a string without an end */
};

/* out: room for n + TERM_SEQ bytes. How many are there. Zero-initialise *t. */
size_t term_filter(struct term_filter *t, const void *untrusted, size_t n, char *out);

#endif
