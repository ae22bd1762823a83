/* SPDX-License-Identifier: ISC */
/* What an X server wants to see of who connects, from the person's file (Xsecurity(7)). */
#ifndef XAUTH_H
#define XAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XAUTH_FILE_MAX 65536
#define XAUTH_NAME "MIT-MAGIC-COOKIE-1"

struct xauth {
	size_t n; /* 0: there is none */
	uint8_t data[64];
};

/* The entry of display :N on this host, in a file's n bytes. false: there is none, or the file is
 * none of these. */
bool xauth_find(struct xauth *a, const void *file, size_t n, const char *host, uint32_t display);

#endif
