/* SPDX-License-Identifier: ISC */
#ifndef QUBE_ROOT_H
#define QUBE_ROOT_H

/*
 * The file system on device becomes the root, with our programs, /dev, /proc, /sys, /run and /rw as
 * they are now. NULL, or what failed (errno): then the root is as it was.
 */
const char *root_of_disk(const char *device);

#endif
