/* SPDX-License-Identifier: ISC */
#ifndef DATE_H
#define DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define DATE_LEN 25 /* 2026-11-22T07:55:07+00:00 */

/* Of a time in UTC; false: none that has a year of four digits. */
bool date_text(time_t t, char out[DATE_LEN + 1]);
/*
 * By how much a qube's view of the clock is wrong: from -180 to 180 s, in ns. The same all the time
 * that this boot lasts (boot_id, n bytes): asked a thousand times it can be averaged no better than
 * asked once, and the second's edge, too, is not where Dom0's is.
 */
int64_t date_offset(const void *boot_id, size_t n, const char *qube);

#endif
