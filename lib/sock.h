/* SPDX-License-Identifier: ISC */
/* Unix sockets: all close-on-exec and non-blocking. */
#ifndef SOCK_H
#define SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bound under a temporary name, listening, then renamed: the name never shows a socket that
 * refuses. */
int sock_listen(const char *path, mode_t mode); /* -1, errno */
int sock_connect(const char *path);		/* -1, errno; never waits */
/* For commands: waits at most ms (-1: for ever) while the listener's queue is full. */
int sock_connect_wait(const char *path, int ms);
int sock_accept(int fd); /* -1, errno */
bool sock_peer(int fd, uid_t *uid, pid_t *pid);
bool sock_peer_in_group(int fd, gid_t gid); /* primary or supplementary */
/* Root, or a member of the group named qubes (the gid is looked up once by people_gid). */
bool sock_peer_is_person(int fd, gid_t people);
gid_t people_gid(void);					      /* group qubes, or (gid_t)-1 */
bool sock_send_fd(int sock, const void *p, size_t n, int fd); /* one byte at least; false, errno */
ssize_t sock_recv_fd(int sock, void *p, size_t n, int *fd);   /* like recv; *fd -1 if none came */
bool fd_nonblock(int fd, bool on);
bool fd_cloexec(int fd);
void fd_close_from(int first);

#endif
