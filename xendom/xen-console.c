/* SPDX-License-Identifier: ISC */
/* What the console process gets: the console page by its grant, and the event channel, bound. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "xendom.h"

#include <xen/evtchn.h>
#include <xen/gntdev.h>

static bool
bind_console(const struct domain *d, struct xen *x)
{
	struct ioctl_evtchn_bind_interdomain bind = {.remote_domain = d->state->domid};
	const struct ioctl_evtchn_restrict_domid only = {.domid = (domid_t)d->state->domid};
	char path[64];
	int fd, port;

	if (x->console_port == 0) { /* adopted; the node is ours */
		snprintf(path, sizeof path, "/local/domain/%u/console/port", d->state->domid);
		if (!x->store || !store_number(x->store, 0, path, INT32_MAX, &x->console_port))
			return false;
	}
	bind.remote_port = x->console_port;
	fd = open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	port = ioctl(fd, IOCTL_EVTCHN_RESTRICT_DOMID, &only) < 0
		   ? -1
		   : ioctl(fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &bind);
	if (port < 0) {
		const int err = errno;

		close(fd);
		errno = err;
		return false;
	}
	x->evtchn = fd;
	x->port = (uint32_t)port;
	return true;
}

bool
domain_console(struct domain *d, struct console_end *out)
{
	struct ioctl_gntdev_map_grant_ref map = {
	    .count = 1, .refs[0] = {.domid = d->state->domid, .ref = GNTTAB_RESERVED_CONSOLE}};
	struct xen *x = d->own;
	const int mem = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	if (mem < 0)
		return false;
	if ((x->evtchn < 0 && !bind_console(d, x)) ||
	    ioctl(mem, IOCTL_GNTDEV_MAP_GRANT_REF, &map) < 0) {
		const int err = errno;

		close(mem);
		errno = err;
		return false;
	}
	*out = (struct console_end){.fd = x->evtchn, .mem = mem, .at = map.index, .port = x->port};
	return true;
}
