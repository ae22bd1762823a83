/* SPDX-License-Identifier: ISC */
#ifndef DISPLAY_NUMBER_H
#define DISPLAY_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "names.h"

#define DISPLAY_MAX 999 /* vm.d(5) */

/* The length of the ":N" that text begins with, or 0: there is none. */
static inline size_t
display_number(const char *text, uint32_t *n)
{
	const size_t digits = *text == ':' ? strspn(text + 1, "0123456789") : 0;
	char number[12] = "";

	if (digits >= sizeof number)
		return 0;
	if (digits > 0)
		memcpy(number, text + 1, digits);
	return parse_u32(number, DISPLAY_MAX, n) ? 1 + digits : 0;
}

#endif
