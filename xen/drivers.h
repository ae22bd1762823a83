/* SPDX-License-Identifier: ISC */
/* The kernel's headers of /dev/xen/{gntalloc,gntdev,evtchn}, which leave their types to others. */
#ifndef DRIVERS_H
#define DRIVERS_H

#include <stdint.h>
#include <sys/ioctl.h>

#include <xen/xen.h>

#include <xen/grant_table.h>

#include <xen/evtchn.h>
#include <xen/gntalloc.h>
#include <xen/gntdev.h>

#ifdef __GLIBC__
typedef unsigned long ioctl_number;
#else
typedef int ioctl_number; /* as POSIX has it */
#endif

static inline int
driver(int fd, unsigned what, void *arg)
{
	return ioctl(fd, (ioctl_number)what, arg);
}

#endif
