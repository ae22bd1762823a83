/* SPDX-License-Identifier: ISC */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdint.h>
#include <xcb/xcb.h>

/* The screen becomes so large, if it can be: RandR has to be there. Waits for X. */
void screen_size(xcb_connection_t *c, xcb_window_t root, uint32_t w, uint32_t h);

#endif
