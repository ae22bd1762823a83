/* SPDX-License-Identifier: ISC */
/*
 * qubes.SyncAppMenus: a qube's menu entries, as lines "[PATH/]FILE.desktop:Key=Value" of its
 * desktop files. What comes of them is written anew, key by key: file names and keys are
 * allow-listed, values are plain text, and what is run is ours (menu_print).
 */
#ifndef MENU_H
#define MENU_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define MENU_BYTES (1u << 20)
#define MENU_LINE 1024
#define MENU_ENTRIES 512
#define MENU_ID 100    /* a file's name without .desktop */
#define MENU_VALUE 256 /* bytes */

enum menu_key { MENU_NAME, MENU_GENERIC, MENU_COMMENT, MENU_CATEGORIES, MENU_KEYS };

struct menu_entry {
	char id[MENU_ID + 1];
	char value[MENU_KEYS][MENU_VALUE + 1];
	bool hidden; /* it says so itself, or is no application */
};

struct menu {
	size_t n;
	struct menu_entry *entry; /* of MENU_ENTRIES; the caller's */
};

/* NULL, or what is wrong; then nothing of it counts. */
const char *menu_parse(struct menu *m, const void *untrusted, size_t n, unsigned *line);
bool menu_shown(const struct menu_entry *e); /* it has a name, and is not hidden */
/* The desktop file for Dom0. */
void menu_print(const struct menu_entry *e, const char *qube, const char *label, struct buf *out);

#endif
