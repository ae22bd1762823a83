/* SPDX-License-Identifier: ISC */
/*
 * A byte channel between two domains. An end is made of descriptors that chand hands over, or, by
 * hand on the local backend, opened here by name: VCHAN_SOCKET_DIR/vchan.SERVER.CLIENT.PORT.sock, a
 * stream of raw bytes, own domid in VCHAN_DOMAIN (spec/qrexec 2 "vchan backends"). On Xen a name is
 * /local/domain/SERVER/data/vchan/CLIENT/PORT in xenstore; qubes open by it. Nothing here
 * blocks but vchan_wait; no threads; at least 64 KiB each way. Filters: "include vchan", for
 * vchan_open as a client inside the sandbox "include vchan-name".
 */
#ifndef VCHAN_H
#define VCHAN_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define VCHAN_RING 65536

enum vchan_role { VCHAN_SERVER, VCHAN_CLIENT };
enum vchan_state {
	VCHAN_WAITING, /* no peer yet */
	VCHAN_OPEN,
	VCHAN_CLOSED, /* the peer has gone; what it had sent can still be read */
};

struct vchan;

/*
 * By name. A server listens at once and is WAITING until the peer comes; its name is gone as soon
 * as it has (so a reused port never meets a stale listener). A client is WAITING until the server
 * is there. dir NULL: $VCHAN_SOCKET_DIR, else /var/run/vchan; of no meaning on Xen. NULL, errno on
 * failure.
 */
struct vchan *vchan_open(
    enum vchan_role role, const char *dir, uint32_t self, uint32_t peer, uint32_t port);
uint32_t vchan_self(void); /* $VCHAN_DOMAIN, default 0; Xen: as xenstore says */

/*
 * From the descriptor that chand handed over (chansock.h): local, the stream or the listener; Xen,
 * a bundle (xen/end.h). It belongs to the channel now, also when NULL (errno) is returned.
 */
struct vchan *vchan_take(enum vchan_role role, int fd);

enum vchan_state vchan_state(const struct vchan *v);

/*
 * What to poll: fills *p. The descriptor can change with the state, so ask before each poll. want:
 * POLLIN to read, POLLOUT to write. After poll says anything, call vchan_turn, then read and write.
 */
void vchan_poll(const struct vchan *v, short want, struct pollfd *p);
void vchan_turn(struct vchan *v);
/* Until it is no longer WAITING, for at most ms (-1: for ever); also ends when cancel_fd (-1: none)
 * is readable. */
bool vchan_wait(struct vchan *v, int ms, int cancel_fd);

ssize_t vchan_read(struct vchan *v, void *p, size_t n); /* >0; 0 nothing now; -1 closed and empty */
ssize_t vchan_write(struct vchan *v, const void *p, size_t n); /* >0 some; 0 full; -1 closed */
ssize_t vchan_writev(struct vchan *v, const struct iovec *iov, int n); /* the same */
void vchan_close(struct vchan *v); /* NULL is fine. What was written still arrives. */

#endif
