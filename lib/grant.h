/* SPDX-License-Identifier: ISC */
/*
 * Pages that a qube shows to its daemon in Dom0, read-only. chand maps them (it alone may), for the
 * asker's own qube only, within the qube's quota; the asker gets memory. The qube may write there
 * at any time: read each value once, and check what was read.
 */
#ifndef GRANT_H
#define GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRANT_PAGE 4096u
#define GRANT_PAGES_MAX 16384u /* of one request: 64 MiB */

struct grant {
	const volatile uint8_t *p;
	size_t len;
	int control; /* a byte on it: let go at once, the domain went away (chansock.h) */
};

/* May wait for chand at most ms. domid: only what a person may say; a daemon gets its own qube's.
 * NULL, or why not, until the next call: for the caller's log. */
const char *grant_open(struct grant *g, uint32_t domid, const uint32_t *refs, size_t n, int ms);
void grant_close(struct grant *g);

/*
 * On the local backend pages are a file of the qube's, which it may cut short while we read. Then
 * there are zeroes, from the first page missing on and for ever, instead of SIGBUS. grant_guard
 * once, before the sandbox; one grant is read at a time. grant_read_end false: it was cut.
 */
void grant_guard(void);
void grant_read(const struct grant *g);
bool grant_read_end(void);
/*
 * That file: DIR/FIRST, with references that follow each other. A descriptor for mmap, or -1 and
 * errno: EINVAL they do not, EACCES no file (a link, a fifo), ENODATA it is too short.
 */
int grant_file(int dir, const uint32_t *untrusted_refs, size_t n);
const char *grant_file_why(int error);
/* By hand: TOP/DOMID/FIRST, as grant_open. */
const char *grant_by_hand(
    struct grant *g, const char *top, uint32_t domid, const uint32_t *refs, size_t n);

#endif
