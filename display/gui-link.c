/* SPDX-License-Identifier: ISC */
#include "gui-link.h"

#include "log.h"

const struct gui_type_of gui_types[] = {
#define GUI_X(name, value, to, len) {#name, len},
    GUI_TYPES(GUI_X)
#undef GUI_X
};

bool
gui_put(struct gui_link *k, enum gui_type type, uint32_t window, const void *a, size_t n,
    const void *b, size_t m)
{
	const struct gui_hdr h = {
	    .type = type, .window = window, .untrusted_len = (uint32_t)(n + m)};

	return buf_room(&k->out) >= sizeof h + n + m && buf_put(&k->out, &h, sizeof h) &&
	       buf_put(&k->out, a, n) && buf_put(&k->out, b, m);
}

void
gui_flush(struct gui_link *k)
{
	ssize_t n = 1;

	while (k->v != NULL && k->out.len > 0 && n > 0) {
		n = vchan_write(k->v, buf_bytes(&k->out), k->out.len);
		if (n > 0)
			buf_eat(&k->out, (size_t)n);
	}
}

void
gui_watch(struct gui_link *k, struct loop *l, bool in, loop_fn *fn, void *arg)
{
	const short want = (short)((in ? POLLIN : 0) | (k->out.len > 0 ? POLLOUT : 0));
	struct pollfd p;

	vchan_poll(k->v, want, &p);
	if (p.fd == k->fd) {
		loop_set(l, p.fd, p.events);
		return;
	}
	if (k->fd >= 0)
		loop_del(l, k->fd);
	k->fd = p.fd;
	if (p.fd >= 0 && !loop_add(l, p.fd, p.events, fn, arg))
		die("no memory");
}
