/* SPDX-License-Identifier: ISC */
/*
 * The Xen backend: a domain's life. The keeper holds no page of the guest and reads nothing that
 * the guest could have written: how it ended comes from Xen, what is to be undone from vm.d and
 * from nodes that are ours.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "xendom.h"

#define LOST_S 2       /* without xenstore the end is looked for this often */
#define ZOMBIE_MS 2000 /* how long others may take to let go of a dead domain's pages */
#define ZOMBIE_STEP_MS 20
#define DOM0_WEIGHT 2000 /* a qube has 256; stock systems set the same */

static void keep_why(struct xentoollog_logger *l, xentoollog_level level, int err,
    const char *context, const char *fmt, va_list ap);
static void
no_progress(struct xentoollog_logger *l, const char *context, const char *what, int percent,
    unsigned long done, unsigned long total)
{
	(void)l, (void)context, (void)what, (void)percent, (void)done, (void)total;
}

static void
no_destroy(struct xentoollog_logger *l)
{
	(void)l;
}

static struct {
	struct xentoollog_logger log; /* first: what the library is given */
	struct xen x;
} own = {.log = {keep_why, no_progress, no_destroy}};

/* The first complaint is the cause; what follows is said for each caller on the way out. */
__attribute__((format(printf, 5, 0))) static void
keep_why(struct xentoollog_logger *l, xentoollog_level level, int err, const char *context,
    const char *fmt, va_list ap)
{
	char text[512];
	const char *from;

	(void)l, (void)err, (void)context;
	if (level < XTL_ERROR || own.x.why[0])
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	from = strstr(text, ".c:"); /* where in its source: of no use */
	from = from ? strstr(from, ": ") : NULL;
	snprintf(own.x.why, sizeof own.x.why, "%.190s", from ? from + 2 : text);
}

uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* end_fd is readable at once: a watch may have fired while we asked for other things. Without
 * watches: and later again and again. */
static void
look_soon(const struct xen *x)
{
	struct itimerspec it = {.it_value.tv_nsec = 1000000};

	if (x->watch < 0)
		it.it_interval.tv_sec = LOST_S;
	(void)timerfd_settime(x->tick, 0, &it, NULL);
}

static bool
watch_fd(int epoll, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void
store_is_gone(struct domain *d, struct xen *x)
{
	logit("xenstore is gone: the qube goes on, its end is looked for every %d s", LOST_S);
	(void)epoll_ctl(d->end_fd, EPOLL_CTL_DEL, x->watch, NULL);
	x->watch = -1;
	look_soon(x);
}

/* Xen and xenstore, once. NULL, or what failed. */
static const char *
xen_open(struct domain *d)
{
	struct xen *x = &own.x;

	if (x->xch)
		return NULL;
	*x = (struct xen){
	    .tick = -1, .watch = -1, .evtchn = -1, .reason = -1, .born_ms = now_us() / 1000};
	for (int i = 0; i < XEN_DISKS; i++)
		x->disk[i].image = x->disk[i].fd = -1;
	x->xch = xc_interface_open(&own.log, &own.log, 0);
	if (!x->xch)
		return "Xen (is this Dom0?)";
	d->own = x;
	d->end_fd = epoll_create1(EPOLL_CLOEXEC);
	x->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->end_fd < 0 || x->tick < 0 || !watch_fd(d->end_fd, x->tick))
		return "a timer";
	x->store = store_open();
	if (x->store)
		x->watch = store_fd(x->store);
	if (!x->store || !store_watch(x->store, "@releaseDomain", "end") ||
	    !watch_fd(d->end_fd, x->watch))
		return "xenstore";
	return NULL;
}

static bool
domain_info(const struct xen *x, uint32_t domid, xc_dominfo_t *info)
{
	return xc_domain_getinfo(x->xch, domid, 1, info) == 1 && info->domid == domid;
}

static bool
is_ours(const xc_dominfo_t *info, const char *uuid)
{
	char text[UUID_LEN + 1];
	size_t n = 0;

	for (size_t i = 0; i < 16; i++)
		n += (size_t)snprintf(text + n, sizeof text - n,
		    i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", info->handle[i]);
	return strcmp(text, uuid) == 0;
}

/* All qubes wait for Dom0: when many of them have work, xenstore and the backends get the processor
 * first. */
static void
favour_dom0(const struct xen *x)
{
	struct xen_domctl_sched_credit2 s = {0};

	if (xc_sched_credit2_domain_get(x->xch, 0, &s) < 0 || s.weight >= DOM0_WEIGHT)
		return; /* another scheduler; or it is so */
	s.weight = DOM0_WEIGHT;
	if (xc_sched_credit2_domain_set(x->xch, 0, &s) < 0)
		logit("Dom0 is not favoured: %s", strerror(errno));
}

void
domain_warn(void)
{
}

const char *
domain_prepare(struct domain *d)
{
	struct xen *x = &own.x;
	xc_dominfo_t info;
	uint64_t t;
	const char *e = xen_open(d);

	if (e && (!x->xch || x->store))
		return e;
	if (!x->store || x->watch < 0) {
		errno = 0;
		return "xenstored does not answer";
	}
	for (uint32_t id = 1; xc_domain_getinfo(x->xch, id, 1, &info) == 1; id = info.domid + 1) {
		if (!is_ours(&info, d->conf->uuid))
			continue;
		errno = 0;
		if (!info.dying)
			return "its uuid is that of another domain";
		if (disks_busy(info.domid))
			return "its last domain's disks are still in use";
		/* another qube holds its pages, and must not keep this one from being started */
		logit(
		    "its last domain, %u, is not quite gone: somebody holds its pages", info.domid);
	}
	if ((e = plan(d, x)) != NULL)
		return e;
	favour_dom0(x);
	t = now_us();
	e = disks_open(x);
	x->spent_us[T_DEVICES] += now_us() - t;
	return e;
}

static const char *
build(struct domain *d, struct xen *x)
{
	const char *e;
	uint64_t t = now_us();

	e = xen_create(d, x);
	x->spent_us[T_MEMORY] += now_us() - t;
	if (e || (e = xen_fill(d, x)) != NULL)
		return e;
	t = now_us();
	e = nodes_make(d, x);
	if (!e && !store_introduce(x->store, d->state->domid, x->store_gfn, x->store_port))
		e = "xenstore does not take the domain";
	x->spent_us[T_XENSTORE] += now_us() - t;
	if (e)
		return e;
	disks_wipe(x);
	return NULL;
}

const char *
domain_build(struct domain *d)
{
	static char why[256];
	struct xen *x = d->own;
	const char *e;
	int err;

	d->state->domid = 0;
	x->why[0] = '\0';
	e = build(d, x);
	if (!e)
		return NULL;
	err = errno;
	xen_tidy(x);
	if (x->why[0]) {
		snprintf(why, sizeof why, "%.60s: %s", e, x->why);
		e = why;
	}
	errno = err;
	return e;
}

const char *
domain_start(struct domain *d)
{
	struct xen *x = d->own;
	xc_dominfo_t info;
	uint64_t took;

	/* an earlier keeper may have come as far as this */
	if (x->adopted && domain_info(x, d->state->domid, &info) && !info.paused)
		return NULL;
	if (xc_domain_unpause(x->xch, d->state->domid) < 0)
		return "unpause";
	took = now_us() / 1000 - x->born_ms;
	logit("unpaused after %llu ms: kernel %llu, memory %llu, devices %llu, xenstore %llu",
	    (unsigned long long)took, (unsigned long long)x->spent_us[T_KERNEL] / 1000,
	    (unsigned long long)x->spent_us[T_MEMORY] / 1000,
	    (unsigned long long)x->spent_us[T_DEVICES] / 1000,
	    (unsigned long long)x->spent_us[T_XENSTORE] / 1000);
	/* It runs: the rest is in nobody's way. */
	xen_tidy(x);
	look_soon(x);
	return NULL;
}

/* Xen counts how often it was paused: once is enough. */
const char *
domain_pause(struct domain *d)
{
	const struct xen *x = d->own;
	xc_dominfo_t info;

	if (domain_info(x, d->state->domid, &info) && info.paused)
		return NULL;
	return xc_domain_pause(x->xch, d->state->domid) < 0 ? "pause" : NULL;
}

const char *
domain_unpause(struct domain *d)
{
	const struct xen *x = d->own;
	xc_dominfo_t info;

	if (domain_info(x, d->state->domid, &info) && !info.paused)
		return NULL;
	return xc_domain_unpause(x->xch, d->state->domid) < 0 ? "unpause" : NULL;
}

bool
domain_held(struct domain *d)
{
	const bool held = disks_held(d->own, d->state->domid);

	xen_tidy(d->own);
	return held;
}

uint64_t
domain_stamp(struct domain *d)
{
	struct xen *x = &own.x;

	return xen_open(d) || plan_what(d, x) ? 0 : plan_stamp(d, x);
}

bool
domain_adopt(struct domain *d)
{
	const char *e = xen_open(d);
	struct xen *x = &own.x;
	char path[64], session[HEXID_LEN + 2];
	xc_dominfo_t info;

	if (!x->xch || d->state->domid == 0 || !domain_info(x, d->state->domid, &info) ||
	    info.dying || !is_ours(&info, d->state->uuid))
		return false;
	snprintf(path, sizeof path, TOOL "/%u/session", d->state->domid);
	if (e) {
		logit("%s: %s: its session is not looked at", e, strerror(errno));
		x->watch = -1;
	} else if (store_read(x->store, 0, path, session, sizeof session) != HEXID_LEN ||
		   strcmp(session, d->state->session) != 0) {
		return false;
	}
	x->adopted = true;
	look_soon(x);
	return true;
}

bool
domain_gone(struct domain *d)
{
	struct xen *x = d->own;
	char path[STORE_PATH_MAX], token[64];
	xc_dominfo_t info;
	uint64_t n;
	int r = 0;

	(void)!read(x->tick, &n, sizeof n);
	while (x->watch >= 0 && (r = store_event(x->store, path, token)) == 1)
		;
	if (r < 0)
		store_is_gone(d, x);
	if (!domain_info(x, d->state->domid, &info) || info.dying)
		return true;
	if (info.shutdown || info.crashed) /* the library says either */
		x->reason = (int)info.shutdown_reason;
	return info.shutdown || info.crashed;
}

void
domain_shutdown(struct domain *d)
{
	const struct xen *x = d->own;
	char path[64];

	snprintf(path, sizeof path, "/local/domain/%u/control/shutdown", d->state->domid);
	if (!x->store || !store_write(x->store, 0, path, "poweroff"))
		logit("cannot ask it to shut down: %s", strerror(errno));
	look_soon(x);
}

void
domain_destroy(struct domain *d)
{
	const struct xen *x = d->own;

	if (xc_domain_destroy(x->xch, d->state->domid) < 0 && errno != ESRCH)
		logit("domain %u is not destroyed: %s", d->state->domid, strerror(errno));
	look_soon(x);
}

int
domain_end(struct domain *d)
{
	const struct xen *x = d->own;

	if (x->reason == SHUTDOWN_poweroff)
		return END_POWEROFF;
	return x->reason == SHUTDOWN_reboot ? END_REBOOT : END_CRASH;
}

/* Destroys whatever bears our uuid but is another qube's by its nodes. */
static void
destroy_ours(struct xen *x, const struct domain *d)
{
	char path[64], name[NAME_LEN_MAX + 2];
	xc_dominfo_t info;

	for (uint32_t id = 1; xc_domain_getinfo(x->xch, id, 1, &info) == 1; id = info.domid + 1) {
		if (info.dying || !is_ours(&info, d->conf->uuid))
			continue;
		snprintf(path, sizeof path, TOOL "/%u/name", info.domid);
		if (x->store && store_read(x->store, 0, path, name, sizeof name) > 0 &&
		    strcmp(name, d->conf->name) != 0)
			continue;
		if (xc_domain_destroy(x->xch, info.domid) < 0 && errno != ESRCH)
			logit("domain %u is not destroyed: %s", info.domid, strerror(errno));
	}
}

/* A dead domain's number is free when nobody maps its pages any more. Xen says nothing when that is
 * so. */
static void
await_end(const struct xen *x, const struct domain *d)
{
	const uint64_t until = now_us() + ZOMBIE_MS * 1000u;
	xc_dominfo_t info;

	while (
	    domain_info(x, d->state->domid, &info) && info.dying && is_ours(&info, d->conf->uuid)) {
		if (now_us() > until) {
			logit("domain %u stays as a zombie: somebody holds %lu of its pages",
			    info.domid, info.nr_pages);
			return;
		}
		(void)poll(NULL, 0, ZOMBIE_STEP_MS);
	}
}

/* It may only have been too slow for an answer, and then all nodes are still to be removed. */
static void
store_again(struct xen *x)
{
	if (x->store && x->watch >= 0)
		return;
	store_close(x->store);
	x->store = store_open();
}

void
domain_cleanup(struct domain *d)
{
	struct xen *x = &own.x;
	int64_t id = -1;

	(void)xen_open(d);
	if (!x->xch)
		return;
	store_again(x);
	close_fd(&x->evtchn);
	destroy_ours(x, d);
	while (x->store && (id = nodes_find(x, d->conf->name, id)) >= 0)
		nodes_remove(x, (uint32_t)id, d->conf->uuid);
	disks_close(x);
	if (d->state->domid)
		await_end(x, d);
}
