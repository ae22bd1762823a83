/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xen/drivers.h"
#include "xen/end.h"
#include "xen/ring.h"

_Static_assert(END_ORDER_MIN == RING_ORDER_MIN && END_ORDER_MAX == RING_ORDER_MAX, "one range");

#define GNTDEV "/dev/xen/gntdev"
#define GNTALLOC "/dev/xen/gntalloc"
#define EVTCHN "/dev/xen/evtchn"
#define MAP_MAX 65536u /* pages of one end_map */
#define BUNDLE_MAGIC 0x646e6558u

struct bundle {
	uint32_t magic, port;
	uint64_t ctl, left, right;
	uint8_t left_order, right_order, zero[6];
};

static void
shut(int *fd)
{
	const int e = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = e;
}

void
end_close(struct end *e)
{
	shut(&e->mem);
	shut(&e->evtchn);
}

static struct end
no_end(void)
{
	return (struct end){.mem = -1, .evtchn = -1};
}

/* Domains are numbers of 15 bits; Xen keeps those above for itself. */
static bool
domain_ok(uint32_t domid)
{
	errno = EINVAL;
	return domid < DOMID_FIRST_RESERVED;
}

/* n pages that domid may map: their references and where to mmap them on fd. */
static bool
share(int fd, uint32_t domid, size_t n, uint32_t *refs, uint64_t *index)
{
	union {
		struct ioctl_gntalloc_alloc_gref a;
		uint8_t room[sizeof(struct ioctl_gntalloc_alloc_gref) +
			     RING_GRANTS_MAX * sizeof(uint32_t)];
	} u = {.room = {0}};

	if (n == 0)
		return true;
	u.a.domid = (uint16_t)domid;
	u.a.flags = GNTALLOC_FLAG_WRITABLE;
	u.a.count = (uint32_t)n;
	if (driver(fd, IOCTL_GNTALLOC_ALLOC_GREF, &u) < 0)
		return false;
	*index = u.a.index;
	memcpy(
	    refs, u.room + offsetof(struct ioctl_gntalloc_alloc_gref, gref_ids), n * sizeof *refs);
	return true;
}

/* The peer's pages: where to mmap them on fd. Nothing is mapped yet. */
static bool
reach(int fd, uint32_t domid, const uint32_t *refs, size_t n, uint64_t *index)
{
	struct ioctl_gntdev_map_grant_ref *m;
	bool ok;

	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		errno = EPERM;
		if (refs[i] < GNTTAB_NR_RESERVED_ENTRIES) /* its console, its xenstore */
			return false;
	}
	m = calloc(1, sizeof *m + n * sizeof m->refs[0]);
	if (!m)
		return false;
	m->count = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		m->refs[i] = (struct ioctl_gntdev_grant_ref){.domid = domid, .ref = refs[i]};
	ok = driver(fd, IOCTL_GNTDEV_MAP_GRANT_REF, m) == 0;
	*index = m->index;
	free(m);
	return ok;
}

static void *
page_of(int fd, uint64_t index, int prot)
{
	void *p = mmap(NULL, RING_PAGE, prot, MAP_SHARED, fd, (off_t)index);

	return p == MAP_FAILED ? NULL : p;
}

/* The rings' pages first, so that the page that tells of them is whole when it is made. */
static bool
serve_pages(struct end *e, uint32_t peer, uint32_t *gref)
{
	uint32_t grants[RING_GRANTS_MAX];
	const size_t left = ring_pages(e->left_order), right = ring_pages(e->right_order);
	void *page;

	if (!share(e->mem, peer, left, grants, &e->left) ||
	    !share(e->mem, peer, right, grants + left, &e->right) ||
	    !share(e->mem, peer, 1, gref, &e->ctl))
		return false;
	page = page_of(e->mem, e->ctl, PROT_READ | PROT_WRITE);
	if (!page)
		return false;
	ring_page_init(page, e->left_order, e->right_order, grants);
	munmap(page, RING_PAGE);
	return true;
}

/* The driver knows no restriction to Dom0; only Dom0 hands its ends over. */
static bool
restrict_to(int fd, uint32_t peer)
{
	struct ioctl_evtchn_restrict_domid r = {.domid = (domid_t)peer};

	if (peer == 0)
		return true;
	return driver(fd, IOCTL_EVTCHN_RESTRICT_DOMID, &r) == 0;
}

static bool
serve_event(struct end *e, uint32_t peer)
{
	struct ioctl_evtchn_bind_unbound_port b = {.remote_domain = peer};
	int port;

	e->evtchn = open(EVTCHN, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (e->evtchn < 0)
		return false;
	port = driver(e->evtchn, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &b);
	if (port < 0)
		return false;
	e->port = (uint32_t)port;
	return restrict_to(e->evtchn, peer);
}

/* Whatever ends the holder of the mapping: our live byte is cleared and the peer is told. */
static bool
serve_notify(const struct end *e)
{
	struct ioctl_gntalloc_unmap_notify n = {
	    .index = e->ctl + offsetof(struct vchan_interface, srv_live),
	    .action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT,
	    .event_channel_port = e->port,
	};
	return driver(e->mem, IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, &n) == 0;
}

bool
end_serve(struct end *e, uint32_t peer, uint8_t order, uint32_t *gref, uint32_t *event)
{
	*e = no_end();
	if (!domain_ok(peer) || order < END_ORDER_MIN || order > END_ORDER_MAX)
		return false;
	/* Of the two places inside the page, the other one is for the other ring. */
	e->left_order = order;
	e->right_order = order == 10 ? 11 : order == 11 ? 10 : order;
	e->mem = open(GNTALLOC, O_RDWR | O_CLOEXEC);
	if (e->mem < 0 || !serve_pages(e, peer, gref) || !serve_event(e, peer) ||
	    !serve_notify(e)) {
		end_close(e);
		return false;
	}
	*event = e->port;
	return true;
}

/* Through a descriptor of its own: a second mapping of the one that is handed over is refused. */
static bool
look(uint32_t peer, uint32_t gref, struct ring_layout *l)
{
	int fd = open(GNTDEV, O_RDONLY | O_CLOEXEC);
	uint64_t at = 0;
	void *page = NULL;
	bool ok;

	if (fd >= 0 && reach(fd, peer, &gref, 1, &at))
		page = page_of(fd, at, PROT_READ);
	shut(&fd);
	if (!page)
		return false;
	ok = ring_page_read(l, page);
	munmap(page, RING_PAGE);
	errno = EPROTO;
	if (ok && (l->cli_live != 2 || l->srv_live != 1)) {
		errno = ECONNREFUSED;
		return false;
	}
	return ok;
}

static bool
call_event(struct end *e, uint32_t peer, uint32_t event)
{
	struct ioctl_evtchn_bind_interdomain b = {.remote_domain = peer, .remote_port = event};
	int port;

	e->evtchn = open(EVTCHN, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (e->evtchn < 0)
		return false;
	port = driver(e->evtchn, IOCTL_EVTCHN_BIND_INTERDOMAIN, &b);
	if (port < 0)
		return false;
	e->port = (uint32_t)port;
	return restrict_to(e->evtchn, peer);
}

static bool
call_pages(struct end *e, uint32_t peer, uint32_t gref, const struct ring_layout *l)
{
	const size_t left = ring_pages(l->left_order), right = ring_pages(l->right_order);
	struct ioctl_gntdev_unmap_notify n = {
	    .action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT,
	    .event_channel_port = e->port,
	};

	e->left_order = l->left_order;
	e->right_order = l->right_order;
	e->mem = open(GNTDEV, O_RDWR | O_CLOEXEC);
	if (e->mem < 0 || !reach(e->mem, peer, &gref, 1, &e->ctl) ||
	    !reach(e->mem, peer, l->grants, left, &e->left) ||
	    !reach(e->mem, peer, l->grants + left, right, &e->right))
		return false;
	n.index = e->ctl + offsetof(struct vchan_interface, cli_live);
	return driver(e->mem, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &n) == 0;
}

bool
end_call(struct end *e, uint32_t peer, uint32_t gref, uint32_t event)
{
	struct ring_layout l;

	*e = no_end();
	if (!domain_ok(peer) || !look(peer, gref, &l))
		return false;
	if (call_event(e, peer, event) && call_pages(e, peer, gref, &l))
		return true;
	end_close(e);
	return false;
}

union fds {
	struct cmsghdr align;
	char room[CMSG_SPACE(2 * sizeof(int))];
};

int
end_pack(struct end *e)
{
	struct bundle b = {.magic = BUNDLE_MAGIC,
	    .port = e->port,
	    .ctl = e->ctl,
	    .left = e->left,
	    .right = e->right,
	    .left_order = e->left_order,
	    .right_order = e->right_order};
	struct iovec iov = {.iov_base = &b, .iov_len = sizeof b};
	union fds c = {.room = {0}};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	int two[2] = {-1, -1};
	const int both[2] = {e->mem, e->evtchn};
	bool ok;

	c.align.cmsg_level = SOL_SOCKET;
	c.align.cmsg_type = SCM_RIGHTS;
	c.align.cmsg_len = CMSG_LEN(sizeof both);
	memcpy(CMSG_DATA(&c.align), both, sizeof both);
	ok = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, two) == 0 &&
	     sendmsg(two[0], &m, MSG_NOSIGNAL) == (ssize_t)sizeof b;
	shut(&two[0]);
	if (!ok)
		shut(&two[1]);
	end_close(e);
	return two[1];
}

static bool
bundle_ok(const struct bundle *b, size_t n, const struct msghdr *m, const struct cmsghdr *c)
{
	errno = EPROTO;
	return n == sizeof *b && !(m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	       b->magic == BUNDLE_MAGIC && ring_orders_ok(b->left_order, b->right_order) &&
	       c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	       c->cmsg_len == CMSG_LEN(2 * sizeof(int));
}

/* A descriptor that came, whatever else is wrong with the message. */
static void
adopt(struct end *e, const struct msghdr *m, const union fds *c)
{
	int fds[2] = {-1, -1};

	if (m->msg_controllen < sizeof c->align || c->align.cmsg_type != SCM_RIGHTS)
		return;
	if (c->align.cmsg_len >= CMSG_LEN(2 * sizeof(int)))
		memcpy(fds, CMSG_DATA(&c->align), sizeof fds);
	else if (c->align.cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(fds, CMSG_DATA(&c->align), sizeof fds[0]);
	e->mem = fds[0];
	e->evtchn = fds[1];
}

bool
end_unpack(int fd, struct end *e)
{
	struct bundle b;
	struct iovec iov = {.iov_base = &b, .iov_len = sizeof b};
	union fds c = {.room = {0}};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
	const ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*e = no_end();
	shut(&fd);
	if (n < 0)
		return false;
	adopt(e, &m, &c);
	if (!bundle_ok(&b, (size_t)n, &m, &c.align)) {
		end_close(e);
		return false;
	}
	e->port = b.port;
	e->ctl = b.ctl;
	e->left = b.left;
	e->right = b.right;
	e->left_order = b.left_order;
	e->right_order = b.right_order;
	return true;
}

/* Opened for reading alone: the kernel refuses the receiver a mapping that can be written. */
int
end_map(uint32_t peer, const uint32_t *untrusted_refs, size_t n)
{
	uint64_t at = 0;
	int fd;

	if (!domain_ok(peer) || n == 0 || n > MAP_MAX) {
		errno = EINVAL;
		return -1;
	}
	fd = open(GNTDEV, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !reach(fd, peer, untrusted_refs, n, &at))
		shut(&fd);
	if (fd >= 0 && at != 0) { /* the driver promises 0 for the first */
		shut(&fd);
		errno = EPROTO;
	}
	return fd;
}
