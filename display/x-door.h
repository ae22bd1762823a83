/* SPDX-License-Identifier: ISC */
/*
 * The way to a person's display, from inside a sandbox: who runs in the session (qubes-display)
 * serves RUN_DISPLAY/N, and hands over a connection to its X server with what that wants to see.
 */
#ifndef X_DOOR_H
#define X_DOOR_H

#include <sys/types.h>
#include <xcb/xcb.h>

int x_door_watch(
    void); /* before the sandbox: a descriptor that tells of displays that come, or -1 */
/*
 * display: ":N" or ":N.S". Waits until somebody serves it whom we trust (root, or of people), or
 * end, a descriptor or -1, is hung up: NULL then. Exits if the X server does not let us in.
 */
xcb_connection_t *x_door(const char *display, int watch, gid_t people, int end, int *screen);

#endif
