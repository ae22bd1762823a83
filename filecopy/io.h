/* SPDX-License-Identifier: ISC */
/* Whole reads and writes, and the end of a process. */
#ifndef QFILE_IO_H
#define QFILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

size_t read_all(int from, void *to, size_t n);	    /* fewer: the end, or errno */
bool write_all(int to, const void *from, size_t n); /* false: errno */
bool copy_fd(int from, int to);			    /* to the end; false: errno */
int status_of(pid_t pid); /* its exit status when it has ended, 128 and a signal's number */

#endif
