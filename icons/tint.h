/* SPDX-License-Identifier: ISC */
/* A pixel of a qube's, in the hue of its label: of its own colour nothing is left but how light it
 * is (spec/gui 7). 0xRRGGBB. */
#ifndef TINT_H
#define TINT_H

#include <stdbool.h>
#include <stdint.h>

struct tint {
	int hue[3], sat; /* each 0 to 255 */
};

struct tint tint_of(uint32_t label, bool pale); /* pale: half as much colour */
uint32_t tint_pixel(const struct tint *t, uint32_t rgb);

#endif
