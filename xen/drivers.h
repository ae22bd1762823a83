/* SPDX-License-Identifier: ISC */
/* The kernel's headers of /dev/xen/{gntalloc,gntdev,evtchn}, which leave their types to others. */
#ifndef DRIVERS_H
#define DRIVERS_H

#include <stdint.h>

#include <xen/xen.h>

#include <xen/grant_table.h>

#include <xen/evtchn.h>
#include <xen/gntalloc.h>
#include <xen/gntdev.h>

#endif
