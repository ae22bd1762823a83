/* SPDX-License-Identifier: ISC */
/*
 * qubes.OpenInVM (spec/filecopy 4): a name in a field of 256 bytes, padded by zeroes, then the file
 * to its end; back comes the edited file, or nothing.
 */
#ifndef QFILE_OPEN_H
#define QFILE_OPEN_H

#include <stdbool.h>
#include <stddef.h>

#define OPEN_NAME_SIZE 256
#define OPEN_VIEW_ONLY "view-only-"
#define OPEN_URL_MAX 4096

/* The field for a file; of a long name the end, which says what it is. */
void open_name_field(char field[OPEN_NAME_SIZE], const char *path, bool view_only);
/* What the receiver calls it: [0-9A-Za-z._+@-] and not hidden. False: the field has no end. */
bool open_name_clean(const char *untrusted_field, char name[OPEN_NAME_SIZE], bool *view_only);
/* http, https or ftp, printable, no blanks, nothing that a program would take for an option. */
bool open_url_ok(const char *untrusted_url);

#endif
