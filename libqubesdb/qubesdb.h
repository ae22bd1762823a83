/* SPDX-License-Identifier: ISC */
/*
 * libqubesdb: a qube's configuration store, from C (qubesdb(3)). In a qube qdb_open(NULL); in Dom0
 * the qube's name, or NULL for Dom0's own. Calls block until the daemon has answered. On failure
 * errno is set; EPIPE: the daemon has gone; the next call connects anew, and watches are to be set
 * again. One thread at a time per handle. Paths have at most 63 bytes of A-Z a-z 0-9 _ / . : @ -
 * and begin with /; values are 1 to 3071 bytes of anything but NUL (a value may also be empty).
 */
#ifndef QUBESDB_H
#define QUBESDB_H

#ifdef __cplusplus
extern "C" {
#endif

struct qdb_handle;
typedef struct qdb_handle *qdb_handle_t;

qdb_handle_t qdb_open(char *vmname); /* NULL on failure */
void qdb_close(qdb_handle_t h);

/* All of these are of malloc(3), the caller's to free. A value has a NUL behind it, that value_len
 * (may be NULL) does not count. NULL on failure; ENOENT: there is no such key. */
char *qdb_read(qdb_handle_t h, char *path, unsigned int *value_len);
/* The keys that begin with path; the last one is NULL. */
char **qdb_list(qdb_handle_t h, char *path, unsigned int *list_len);
/* path, value, path, value, ..., NULL, NULL; values_len (may be NULL): the lengths, an array to
 * free; list_len (may be NULL): how many pairs. */
char **qdb_multiread(qdb_handle_t h, char *path, unsigned int **values_len, unsigned int *list_len);

/* 1 on success, 0 on failure. Removing what is not there succeeds. A path that ends in / stands for
 * all below it. */
int qdb_write(qdb_handle_t h, char *path, char *value, unsigned int value_len);
int qdb_rm(qdb_handle_t h, char *path);

/* A watched path that ends in / stands for all below it. qdb_read_watch blocks; what it returns is
 * the caller's to free. qdb_watch_fd: to poll for POLLIN. */
int qdb_watch(qdb_handle_t h, char *path);
int qdb_unwatch(qdb_handle_t h, char *path);
char *qdb_read_watch(qdb_handle_t h);
int qdb_watch_fd(qdb_handle_t h);

#ifdef __cplusplus
}
#endif
#endif
