/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "keys.h"
#include "paths.h"
#include "qdb.h"
#include "qids.h"
#include "vmconf.h"

#define NETMASK "255.255.255.255"
#define DNS_1 "10.139.1.1" /* what they lead to is the net qube's affair */
#define DNS_2 "10.139.1.2"
#define SEED 64

struct telling {
	const struct vmconf *c;
	const struct vm_state *s;
	int vm_dir;
	qdb_key_fn *fn;
	void *arg;
	bool full;
};

static void
put(struct telling *t, const char *path, const char *value)
{
	if (!t->full && !t->fn(t->arg, path, value, strlen(value)))
		t->full = true;
}

static void
put_flag(struct telling *t, const char *path, bool yes)
{
	put(t, path, yes ? "1" : "0");
}

/* As Python says it. */
static void
put_bool(struct telling *t, const char *path, bool yes)
{
	put(t, path, yes ? "True" : "False");
}

__attribute__((format(printf, 3, 4))) static void
putf(struct telling *t, const char *path, const char *fmt, ...)
{
	char value[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	put(t, path, value);
}

static bool
is_type(const struct vmconf *c, const char *type)
{
	return strcmp(c->type, type) == 0;
}

/* It has a root of its own, and keeps what is changed there. */
static bool
updateable(const struct vmconf *c)
{
	return is_type(c, "TemplateVM") || is_type(c, "StandaloneVM") || is_type(c, "AdminVM");
}

static bool
feature(const struct vmconf *c, const char *name)
{
	const char *val = vmconf_feature(c, name);

	return val != NULL && vmconf_true(val);
}

static const char *
role(const struct vmconf *c)
{
	if (is_type(c, "TemplateVM"))
		return "TemplateVM";
	if (!c->provides_network)
		return "AppVM";
	return c->netvm[0] != '\0' ? "ProxyVM" : "NetVM";
}

static const char *
persistence(const struct vmconf *c)
{
	if (updateable(c))
		return "full";
	return is_type(c, "DispVM") ? "none" : "rw-only";
}

/* Dom0's own is where its clock's link leads. */
static void
time_zone(struct telling *t)
{
	char link[256];
	const char *zone = t->c->timezone, *below;
	const ssize_t n = readlink("/etc/localtime", link, sizeof link - 1);

	if (feature(t->c, "anon-timezone"))
		return;
	link[n > 0 ? n : 0] = '\0';
	below = strstr(link, "zoneinfo/");
	if (zone[0] == '\0' && below != NULL)
		zone = below + strlen("zoneinfo/");
	if (zone[0] != '\0')
		put(t, "/qubes-timezone", zone);
}

static void
base64(char *out, const unsigned char *p, size_t n)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		const unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? p[i + 1] * 256u : 0) |
				   (i + 2 < n ? p[i + 2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = '\0';
}

/* The qube waits for it, takes it and removes it. */
static bool
random_seed(struct telling *t)
{
	unsigned char seed[SEED];
	char text[SEED * 4 / 3 + 5];

	if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		return false;
	base64(text, seed, sizeof seed);
	put(t, "/qubes-random-seed", text);
	explicit_bzero(seed, sizeof seed);
	explicit_bzero(text, sizeof text);
	return true;
}

static void
identity(struct telling *t)
{
	const struct vmconf *c = t->c;

	put(t, "/name", c->name);
	put(t, "/type", c->type);
	put(t, "/qubes-vm-persistence", persistence(c));
	put_bool(t, "/qubes-vm-updateable", updateable(c));
	put(t, "/qubes-base-template", c->template);
	put(t, "/default-user", c->default_user);
	put_flag(t, "/qubes-debug-mode", c->debug);
	put(t, "/keyboard-layout", c->keyboard_layout);
	put(t, "/qubes-block-devices", "");
	put(t, "/qubes-usb-devices", "");
	time_zone(t);
}

/* Whose address its packets go to; false: nobody knows it. */
static bool
gateway(const struct telling *t, char ip[16], char ip6[VM_IP6_LEN + 1])
{
	const char *name = t->c->netvm;
	struct vmconf net;
	struct vmconf_error e;
	const uint32_t qid = qid_of(name);

	ip6[0] = '\0';
	if (!vmconf_load(t->vm_dir, name, &net, &e) || (qid == 0 && net.ip[0] == '\0'))
		return false;
	vmconf_address(&net, qid, ip);
	if (qid != 0 && feature(&net, "ipv6"))
		vmconf_address6(&net, qid, ip6);
	return true;
}

static void
network(struct telling *t)
{
	char ip[16], ip6[VM_IP6_LEN + 1];

	if (t->c->netvm[0] == '\0')
		return;
	put(t, "/qubes-mac", t->c->mac);
	vmconf_address(t->c, t->s->qid, ip);
	put(t, "/qubes-ip", ip);
	put(t, "/qubes-netmask", NETMASK);
	put(t, "/qubes-primary-dns", DNS_1);
	put(t, "/qubes-secondary-dns", DNS_2);
	if (!gateway(t, ip, ip6))
		return;
	put(t, "/qubes-gateway", ip);
	if (ip6[0] == '\0' || !feature(t->c, "ipv6"))
		return;
	put(t, "/qubes-gateway6", ip6);
	vmconf_address6(t->c, t->s->qid, ip6);
	put(t, "/qubes-ip6", ip6);
}

/* Those that run and go through this one. */
static void
clients(struct telling *t)
{
	char ips[QDB_VALUE_MAX + 1] = "", ips6[QDB_VALUE_MAX + 1] = "", ip[16], ip6[VM_IP6_LEN + 1];
	size_t n = 0, n6 = 0;
	DIR *d = opendir(RUN_STATE);
	const struct dirent *f;
	struct vm_state st;
	struct vmconf c;
	struct vmconf_error e;

	while (d != NULL && (f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || !state_read(dirfd(d), f->d_name, &st) ||
		    !vmconf_load(t->vm_dir, f->d_name, &c, &e) ||
		    strcmp(c.netvm, t->c->name) != 0 || n + sizeof ip + 1 > sizeof ips ||
		    n6 + sizeof ip6 + 1 > sizeof ips6)
			continue;
		vmconf_address(&c, st.qid, ip);
		n += (size_t)snprintf(ips + n, sizeof ips - n, "%s%s", n > 0 ? " " : "", ip);
		if (!feature(&c, "ipv6") || !feature(t->c, "ipv6"))
			continue;
		vmconf_address6(&c, st.qid, ip6);
		n6 += (size_t)snprintf(ips6 + n6, sizeof ips6 - n6, "%s%s", n6 > 0 ? " " : "", ip6);
	}
	if (d != NULL)
		closedir(d);
	put(t, "/connected-ips", ips);
	put(t, "/connected-ips6", ips6);
}

static void
net_qube(struct telling *t)
{
	char ip[16], ip6[VM_IP6_LEN + 1];

	if (!t->c->provides_network)
		return;
	vmconf_address(t->c, t->s->qid, ip);
	put(t, "/qubes-netvm-network", ip);
	put(t, "/qubes-netvm-gateway", ip);
	put(t, "/qubes-netvm-netmask", NETMASK);
	put(t, "/qubes-netvm-primary-dns", DNS_1);
	put(t, "/qubes-netvm-secondary-dns", DNS_2);
	if (feature(t->c, "ipv6")) {
		vmconf_address6(t->c, t->s->qid, ip6);
		put(t, "/qubes-netvm-gateway6", ip6);
	}
	clients(t);
}

/* Features that are keys; their names were checked when the file was read. */
static void
features(struct telling *t)
{
	static const struct {
		const char *prefix, *path;
		bool yes_or_no;
	} kinds[] = {
	    {"service.", "/qubes-service/", true},
	    {"vm-config.", "/vm-config/", false},
	    {"custom-persist.", "/persist/", false},
	};
	char path[QDB_PATH];

	for (const char *p = NULL; (p = vmconf_feature_next(t->c, p)) != NULL;) {
		const char *val = strchr(p, '=') + 1;

		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
			const size_t n = strlen(kinds[i].prefix);

			if (strncmp(p, kinds[i].prefix, n) != 0)
				continue;
			snprintf(path, sizeof path, "%s%.*s", kinds[i].path,
			    (int)(val - p - 1 - (ptrdiff_t)n), p + n);
			if (strcmp(path, "/qubes-service/meminfo-writer") == 0)
				continue;
			put(t, path, !kinds[i].yes_or_no ? val : vmconf_true(val) ? "1" : "0");
		}
	}
	put(t, "/qubes-service/meminfo-writer", "0"); /* nobody balances memory */
}

/* Of a qube that runs. */
static bool
domid_of(const char *name, uint32_t *domid)
{
	const int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vm_state st;
	bool there = is_dom0(name);

	*domid = 0;
	if (!there && dir >= 0 && state_read(dir, name, &st)) {
		there = strcmp(st.state, "Dying") != 0;
		*domid = st.domid;
	}
	if (dir >= 0)
		close(dir);
	return there;
}

static void
windows_and_sound(struct telling *t)
{
	static const struct {
		const char *name, *path;
	} as_they_are[] = {
	    {"gui-videoram-min", "/qubes-gui-videoram-min"},
	    {"gui-videoram-overhead", "/qubes-gui-videoram-overhead"},
	    {"guivm-windows-prefix", "/guivm-windows-prefix"},
	};
	const struct vmconf *c = t->c;
	const char *val = vmconf_feature(c, "gui");
	/* a display is Dom0's */
	const char *guivm = c->guivm[0] == '\0' && c->display[0] != '\0' ? "dom0" : c->guivm;
	uint32_t domid;

	put_bool(t, "/qubes-gui-enabled", guivm[0] != '\0' && (!val || vmconf_true(val)));
	if (guivm[0] != '\0' && domid_of(guivm, &domid))
		putf(t, "/qubes-gui-domain-xid", "%u", domid);
	if (c->audiovm[0] != '\0' && domid_of(c->audiovm, &domid))
		putf(t, "/qubes-audio-domain-xid", "%u", domid);
	for (size_t i = 0; i < sizeof as_they_are / sizeof *as_they_are; i++) {
		val = vmconf_feature(c, as_they_are[i].name);
		if (val != NULL)
			put(t, as_they_are[i].path, val);
	}
}

const char *
qdb_keys(int vm_dir, const struct vm_state *s, bool again, qdb_key_fn *fn, void *arg)
{
	static char why[sizeof((struct vmconf_error *)0)->file + 160];
	struct vmconf c;
	struct vmconf_error e;
	struct telling t = {.c = &c, .s = s, .vm_dir = vm_dir, .fn = fn, .arg = arg};

	if (!vmconf_load(vm_dir, s->name, &c, &e)) {
		snprintf(why, sizeof why, "%s:%u: %s", e.file, e.line, e.text);
		return why;
	}
	identity(&t);
	if (is_type(&c, "AdminVM"))
		return t.full ? "no room" : NULL;
	put(&t, "/qubes-vm-type", role(&c));
	put(&t, "/qubes-iptables-error", "");
	network(&t);
	net_qube(&t);
	features(&t);
	windows_and_sound(&t);
	/* last: it waits for this one, and finds all else then */
	if (!again && !random_seed(&t))
		return "no random seed";
	return t.full ? "no room" : NULL;
}
