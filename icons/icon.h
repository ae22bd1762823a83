/* SPDX-License-Identifier: ISC */
/*
 * What qubes.WindowIconUpdater says: icons, one after the other, each "ID\n" (a window of the
 * qube's, decimal), "WIDTH HEIGHT\n" and WIDTH*HEIGHT*4 bytes R, G, B, A (spec/gui 7). A large one
 * is not kept: of each square of its pixels one is taken.
 */
#ifndef ICON_H
#define ICON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tint.h"

#define ICON_LINE 32   /* bytes, without the newline */
#define ICON_SENT 2048 /* a side */
#define ICON_SIDE 64   /* of what is kept */

struct icon {
	uint32_t id, w, h;
	uint32_t argb[ICON_SIDE * ICON_SIDE];
};

struct icon_reader {
	struct tint tint;
	enum { ICON_ID, ICON_SIZE, ICON_PIXELS } state;
	char line[ICON_LINE + 1];
	size_t n; /* of line, or of pixel */
	uint8_t pixel[4];
	uint32_t w, h, step; /* as sent; side of those squares */
	uint32_t x, y;	     /* of the pixel that comes */
	struct icon icon;
};

/*
 * Takes bytes until an icon is whole (true in *whole: it is in r->icon until the next call) or none
 * is left. How many were taken; 0 of some: *bad says what is wrong with them, and there is no way
 * on.
 */
size_t icon_read(
    struct icon_reader *r, const uint8_t *untrusted, size_t n, bool *whole, const char **bad);

#endif
