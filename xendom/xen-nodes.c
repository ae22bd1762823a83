/* SPDX-License-Identifier: ISC */
/*
 * A domain's nodes in xenstore: what libxl's guests find (xen/io, docs/misc/xenstore-paths),
 * and our own below /tool/cubicle. A node that is made takes the permissions of the one above it,
 * so each subtree's are set once, at its top, before what is below.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "names.h"
#include "xendom.h"

#define AGAIN_MAX 100
#define CONSOLE_LIMIT 65536 /* for who reads it; ours is in console.c */

struct tree {
	struct store *s;
	uint32_t tx;
	bool ok;
	char top[STORE_PATH_MAX / 2];
};

static struct tree tree_at(const struct xen *x, uint32_t tx, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void put(struct tree *t, const char *leaf, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static struct tree
tree_at(const struct xen *x, uint32_t tx, const char *fmt, ...)
{
	struct tree t = {.s = x->store, .tx = tx, .ok = true};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t.top, sizeof t.top, fmt, ap);
	va_end(ap);
	return t;
}

static void
path_of(const struct tree *t, const char *leaf, char out[STORE_PATH_MAX])
{
	snprintf(out, STORE_PATH_MAX, "%s%s%s", t->top, *leaf ? "/" : "", leaf);
}

static void
put(struct tree *t, const char *leaf, const char *fmt, ...)
{
	char path[STORE_PATH_MAX], value[512];
	va_list ap;

	if (!t->ok)
		return;
	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	path_of(t, leaf, path);
	t->ok = store_write(t->s, t->tx, path, "%s", value);
}

/* An empty node with permissions of its own, which all below it will have. */
static void
put_owned(struct tree *t, const char *leaf, uint32_t owner, uint32_t reader)
{
	char path[STORE_PATH_MAX];

	put(t, leaf, "%s", "");
	path_of(t, leaf, path);
	t->ok = t->ok && store_own(t->s, t->tx, path, owner, reader);
}

static bool
make_home(const struct domain *d, const struct xen *x, uint32_t tx)
{
	static const char *const guests[] = {"control/shutdown", "control/feature-poweroff",
	    "control/feature-reboot", "control/feature-suspend", "control/sysrq", "device/suspend",
	    "data", "drivers", "feature", "attr", "error"};
	const struct vmconf *c = d->conf;
	const uint32_t id = d->state->domid;
	struct tree t = tree_at(x, tx, "/local/domain/%u", id),
		    vm = tree_at(x, tx, "/vm/%s", c->uuid);
	char cpu[32];

	put_owned(&t, "", 0, id);
	put(&t, "name", "%s", c->name);
	put(&t, "domid", "%u", id);
	put(&t, "vm", "/vm/%s", c->uuid);
	put(&t, "control/platform-feature-multiprocessor-suspend", "1");
	put(&t, "control/platform-feature-xs_reset_watches", "1");
	put(&t, "memory/static-max", "%u", c->memory << 10);
	put(&t, "memory/target", "%u", c->memory << 10);
	put(&t, "store/port", "%u", x->store_port);
	put(&t, "store/ring-ref", "%llu", (unsigned long long)x->store_gfn);
	for (uint32_t i = 0; i < c->vcpus; i++) {
		snprintf(cpu, sizeof cpu, "cpu/%u/availability", i);
		put(&t, cpu, "online");
	}
	/* ours, and not for xenconsoled if that should run */
	put(&t, "console/type", "cubicle");
	put(&t, "console/output", "pty");
	put(&t, "console/limit", "%u", CONSOLE_LIMIT);
	put(&t, "console/port", "%u", x->console_port);
	put(&t, "console/ring-ref", "%llu", (unsigned long long)x->console_gfn);
	for (size_t i = 0; i < sizeof guests / sizeof *guests; i++)
		put_owned(&t, guests[i], id, STORE_NOBODY);
	put_owned(&vm, "", 0, id);
	put(&vm, "uuid", "%s", c->uuid);
	put(&vm, "name", "%s", c->name);
	return t.ok && vm.ok;
}

static bool
make_disk(const struct domain *d, const struct xen *x, uint32_t tx, uint32_t i)
{
	const struct xen_disk *k = &x->disk[i];
	const uint32_t id = d->state->domid, dev = XVDA + 16 * i;
	struct tree front = tree_at(x, tx, "/local/domain/%u/device/vbd/%u", id, dev);
	struct tree back = tree_at(x, tx, "/local/domain/0/backend/vbd/%u/%u", id, dev);

	put_owned(&front, "", id, 0);
	put(&front, "backend", "%s", back.top);
	put(&front, "backend-id", "0");
	put(&front, "virtual-device", "%u", dev);
	put(&front, "device-type", "disk");
	put(&front, "state", "1");
	put_owned(&back, "", 0, id);
	put(&back, "frontend", "%s", front.top);
	put(&back, "frontend-id", "%u", id);
	put(&back, "online", "1");
	put(&back, "removable", "0");
	put(&back, "bootable", "1");
	put(&back, "dev", "%s", k->dev);
	put(&back, "type", "phy");
	put(&back, "mode", k->write ? "w" : "r");
	put(&back, "device-type", "disk");
	put(&back, "params", "%s", k->path);
	/* what a hotplug script would add */
	put(&back, "physical-device", "%x:%x", k->major, k->minor);
	put(&back, "hotplug-status", "connected");
	put(&back, "state", "1");
	return front.ok && back.ok;
}

static bool
make_vif(const struct domain *d, const struct xen *x, uint32_t tx)
{
	const uint32_t id = d->state->domid, peer = x->netvm;
	struct tree front = tree_at(x, tx, "/local/domain/%u/device/vif/0", id);
	struct tree back = tree_at(x, tx, "/local/domain/%u/backend/vif/%u/0", peer, id);
	char ip[16];

	vmconf_address(d->conf, d->state->qid, ip);
	put_owned(&front, "", id, peer);
	put(&front, "backend", "%s", back.top);
	put(&front, "backend-id", "%u", peer);
	put(&front, "handle", "0");
	put(&front, "mac", "%s", d->conf->mac);
	put(&front, "state", "1");
	put_owned(&back, "", peer, id);
	put(&back, "frontend", "%s", front.top);
	put(&back, "frontend-id", "%u", id);
	put(&back, "online", "1");
	put(&back, "script", "/etc/xen/scripts/vif-route-qubes");
	put(&back, "mac", "%s", d->conf->mac);
	put(&back, "ip", "%s", ip);
	put(&back, "handle", "0");
	put(&back, "type", "vif");
	put(&back, "hotplug-status", "%s", "");
	put(&back, "state", "1");
	return front.ok && back.ok;
}

/* Is there a use of the disk that excludes ours? A node whose domain is gone does not count. */
struct users {
	const struct xen *x;
	const struct xen_disk *k;
	uint32_t tx, own;
	int64_t other;
};

static void
look_at_user(const char *untrusted_name, void *arg)
{
	struct users *u = arg;
	char path[STORE_PATH_MAX], mode[4];
	xc_dominfo_t info;
	uint32_t id;

	if (!parse_u32(untrusted_name, DOMID_FIRST_RESERVED - 1, &id) || id == u->own)
		return;
	snprintf(path, sizeof path, TOOL_DISK "/%s/%u", u->k->id, id);
	if (store_read(u->x->store, u->tx, path, mode, sizeof mode) < 1 ||
	    (mode[0] != 'w' && !u->k->write))
		return;
	if (xc_domain_getinfo(u->x->xch, id, 1, &info) == 1 && info.domid == id)
		u->other = id;
}

const char *
disks_free(struct xen *x, uint32_t tx, uint32_t domid)
{
	static char why[VM_PATH_LEN + 192];
	char path[STORE_PATH_MAX], name[64];

	for (const struct xen_disk *k = x->disk; k < x->disk + XEN_DISKS; k++) {
		struct users u = {.x = x, .k = k, .tx = tx, .own = domid, .other = -1};

		if (k->id[0] == '\0')
			continue;
		snprintf(path, sizeof path, TOOL_DISK "/%s", k->id);
		if (!store_list(x->store, tx, path, look_at_user, &u) && errno != ENOENT)
			return "xenstore";
		for (const struct xen_disk *o = x->disk; o < k; o++)
			if (strcmp(o->id, k->id) == 0 && (o->write || k->write))
				u.other = domid;
		if (u.other < 0)
			continue;
		snprintf(path, sizeof path, TOOL "/%u/name", (unsigned)u.other);
		if (store_read(x->store, tx, path, name, sizeof name) < 1)
			snprintf(name, sizeof name, "%s", "itself");
		snprintf(why, sizeof why, "disk %s is in use by %s, and one of the two writes",
		    k->path, name);
		errno = 0;
		return why;
	}
	return NULL;
}

static bool
make_own(const struct domain *d, const struct xen *x, uint32_t tx)
{
	const uint32_t id = d->state->domid;
	struct tree t = tree_at(x, tx, TOOL "/%u", id), users = tree_at(x, tx, TOOL_DISK);
	char leaf[64];

	put_owned(&t, "", 0, STORE_NOBODY);
	put(&t, "name", "%s", d->conf->name);
	put(&t, "session", "%s", d->state->session);
	put(&t, "uuid", "%s", d->conf->uuid);
	put(&t, "netvm", "%u", x->netvm);
	for (int i = 0; i < XEN_DISKS; i++) {
		const struct xen_disk *k = &x->disk[i];

		if (k->id[0] == '\0')
			continue;
		snprintf(leaf, sizeof leaf, "disk/%d", i);
		put(&t, leaf, "%s", k->id);
		snprintf(leaf, sizeof leaf, "%s/%u", k->id, id);
		put(&users, leaf, k->write ? "w" : "r");
	}
	return t.ok && users.ok;
}

static bool
make_all(const struct domain *d, const struct xen *x, uint32_t tx)
{
	bool ok;

	store_batch(x->store);
	ok = make_own(d, x, tx) && make_home(d, x, tx);
	for (uint32_t i = 0; ok && i < XEN_DISKS; i++)
		if (x->disk[i].id[0])
			ok = make_disk(d, x, tx, i);
	if (ok && x->netvm)
		ok = make_vif(d, x, tx);
	return store_flush(x->store) && ok;
}

const char *
nodes_make(const struct domain *d, struct xen *x)
{
	const char *e = NULL;
	bool ok;

	for (int i = 0; i < AGAIN_MAX; i++) {
		const uint32_t tx = store_begin(x->store);

		if (tx == 0)
			break;
		e = disks_free(x, tx, d->state->domid);
		ok = !e && make_all(d, x, tx);
		if (!ok) {
			const int err = errno;

			(void)store_end(x->store, tx, false);
			errno = err;
			return e ? e : "xenstore";
		}
		if (store_end(x->store, tx, true))
			return NULL;
		if (errno != EAGAIN)
			break;
	}
	return "xenstore";
}

/* The end. What is not there is removed, too: each step may be the second time. */

struct sweep {
	const struct xen *x;
	uint32_t tx, domid;
	const char *uuid;
	bool left; /* somebody else uses the disk */
};

__attribute__((format(printf, 2, 3))) static void
drop(const struct sweep *w, const char *fmt, ...)
{
	char path[STORE_PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	(void)store_rm(w->x->store, w->tx, path);
}

/* Servers for the dead one: whoever holds such a channel sees its node go. */
static void
drop_channels(const char *untrusted_name, void *arg)
{
	const struct sweep *w = arg;
	uint32_t id;

	if (parse_u32(untrusted_name, DOMID_FIRST_RESERVED - 1, &id) && id != w->domid)
		drop(w, "/local/domain/%u/data/vchan/%u", id, w->domid);
}

static void
note_user(const char *untrusted_name, void *arg)
{
	(void)untrusted_name;
	((struct sweep *)arg)->left = true;
}

static void
drop_disks(struct sweep *w)
{
	char path[STORE_PATH_MAX], id[48];

	for (int i = 0; i < XEN_DISKS; i++) {
		snprintf(path, sizeof path, TOOL "/%u/disk/%d", w->domid, i);
		if (store_read(w->x->store, w->tx, path, id, sizeof id) < 1)
			continue;
		drop(w, TOOL_DISK "/%s/%u", id, w->domid);
		snprintf(path, sizeof path, TOOL_DISK "/%s", id);
		w->left = false;
		if (store_list(w->x->store, w->tx, path, note_user, w) && !w->left)
			drop(w, "%s", path);
	}
}

/*
 * What stands below other domains' directories. Not in the transaction: they can write there at any
 * time, and so make it fail for ever.
 */
static void
drop_elsewhere(struct sweep *w)
{
	char path[STORE_PATH_MAX];
	uint32_t netvm;

	store_batch(w->x->store);
	snprintf(path, sizeof path, TOOL "/%u/netvm", w->domid);
	if (store_number(w->x->store, 0, path, DOMID_FIRST_RESERVED - 1, &netvm) && netvm > 0)
		drop(w, "/local/domain/%u/backend/vif/%u", netvm, w->domid);
	(void)store_list(w->x->store, 0, "/local/domain", drop_channels, w);
	(void)store_flush(w->x->store);
}

static void
drop_own(struct sweep *w)
{
	store_batch(w->x->store);
	drop_disks(w);
	drop(w, "/local/domain/0/backend/vbd/%u", w->domid);
	drop(w, "/local/domain/0/error/backend/vbd/%u", w->domid); /* the kernel's complaints */
	drop(w, "/local/domain/%u", w->domid);
	drop(w, "/vm/%s", w->uuid);
	drop(w, TOOL "/%u", w->domid);
	(void)store_flush(w->x->store); /* what could not be removed is told by the commit */
}

void
nodes_remove(struct xen *x, uint32_t domid, const char *uuid)
{
	struct sweep w = {.x = x, .domid = domid, .uuid = uuid};

	drop_elsewhere(&w);
	for (int i = 0; i < AGAIN_MAX; i++) {
		w.tx = store_begin(x->store);
		if (w.tx == 0)
			break;
		drop_own(&w);
		if (store_end(x->store, w.tx, true))
			return;
		if (errno != EAGAIN)
			break;
	}
	logit("domain %u: nodes not removed: %s", domid, strerror(errno));
}

struct named {
	struct xen *x;
	const char *name;
	int64_t before, found;
};

static void
look_at_name(const char *untrusted_name, void *arg)
{
	struct named *n = arg;
	char path[STORE_PATH_MAX], name[NAME_LEN_MAX + 2];
	uint32_t id;

	if (!parse_u32(untrusted_name, DOMID_FIRST_RESERVED - 1, &id) || id <= n->before ||
	    (n->found >= 0 && id >= n->found))
		return;
	snprintf(path, sizeof path, TOOL "/%u/name", id);
	if (store_read(n->x->store, 0, path, name, sizeof name) > 0 && strcmp(name, n->name) == 0)
		n->found = id;
}

int64_t
nodes_find(struct xen *x, const char *name, int64_t before)
{
	struct named n = {.x = x, .name = name, .before = before, .found = -1};

	(void)store_list(x->store, 0, TOOL, look_at_name, &n);
	return n.found;
}
