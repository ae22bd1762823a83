/* SPDX-License-Identifier: ISC */
/* How far a copy is, for a person or for a program that shows it (spec/filecopy 4). */
#ifndef QFILE_PROGRESS_H
#define QFILE_PROGRESS_H

#include <stdint.h>

/* By $PROGRESS_TYPE (console, gui, bar; else nothing) and $FILECOPY_TOTAL_BYTES. */
void progress_open(void);
void progress(uint64_t bytes);
void progress_end(uint64_t bytes); /* all are sent: the disk is waited for */
void progress_close(void);

#endif
