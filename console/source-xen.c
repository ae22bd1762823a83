/* SPDX-License-Identifier: ISC */
/*
 * The ring in the guest's console page, and its event channel. The channel stays masked from an
 * event until we unmask it: a guest that floods or signals without end costs one look at its ring
 * for each slice of its allowance.
 */
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
typedef uint16_t domid_t; /* which the next header lacks */
#include <xen/evtchn.h>

#include "console-ring.h"
#include "log.h"
#include "source.h"

#define SLICE_MS 100
#define SLICE_BYTES 32768 /* 320 KiB a second */
#define SLICE_EVENTS 20
#define PAGE 4096

struct source {
	struct console_ring ring;
	struct log_limit complaint;
	int fd;
	uint32_t port;
	uint64_t slice; /* when it began */
	uint32_t bytes, events;
};

struct source *
source_open(const struct console_end *e)
{
	static struct source s;
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, e->mem, (off_t)e->at);

	close(e->mem); /* the mapping stays; the descriptor could map anything */
	if (page == MAP_FAILED)
		return NULL;
	s.fd = e->fd;
	s.port = e->port;
	ring_start(&s.ring, page);
	return &s;
}

int
source_fd(const struct source *s)
{
	return s->fd;
}

static void
tell_guest(const struct source *s)
{
	const struct ioctl_evtchn_notify n = {.port = s->port};

	(void)ioctl(s->fd, IOCTL_EVTCHN_NOTIFY, &n);
}

static void
complain(struct source *s)
{
	if (s->ring.bad)
		log_limited(&s->complaint, "its console ring's indexes make no sense: skipped");
	s->ring.bad = false;
}

ssize_t
source_take(struct source *s, uint64_t now, void *out, size_t size)
{
	size_t n;

	if (now - s->slice >= SLICE_MS) {
		s->slice = now;
		s->bytes = s->events = 0;
	}
	if (s->bytes >= SLICE_BYTES)
		return 0;
	if (size > SLICE_BYTES - s->bytes)
		size = SLICE_BYTES - s->bytes;
	n = ring_take(&s->ring, out, size);
	complain(s);
	s->bytes += (uint32_t)n;
	if (n > 0)
		tell_guest(s);
	return (ssize_t)n;
}

bool
source_rearm(struct source *s, uint64_t now, uint32_t *ms)
{
	uint32_t port;

	if (s->bytes >= SLICE_BYTES || s->events >= SLICE_EVENTS) {
		*ms = (uint32_t)(SLICE_MS - (now - s->slice));
		return false;
	}
	s->events++;
	/* Empties the queue of events (one port: one at most), then unmasks. */
	while (read(s->fd, &port, sizeof port) == (ssize_t)sizeof port)
		;
	if (write(s->fd, &s->port, sizeof s->port) != (ssize_t)sizeof s->port)
		log_limited(&s->complaint, "its console's event channel is broken");
	return true;
}

ssize_t
source_put(struct source *s, const void *p, size_t n)
{
	n = console_ring_put(&s->ring, p, n);
	complain(s);
	if (n > 0)
		tell_guest(s);
	return (ssize_t)n;
}
