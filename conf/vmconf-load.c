/* SPDX-License-Identifier: ISC */
/* A qube as a whole: its own file over its template's, the defaults and what is built in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "paths.h"
#include "vmconf-keys.h"

#define FILE_MAX 65536u
#define FILE_PART 4096u
#define CHAIN_MAX 3   /* DispVM, AppVM, TemplateVM */
#define NETVMS_MAX 16 /* one behind the other */

/* Two FNV-1a sums, each mixed well: the same name has the same UUID on every machine (version 8).
 */
static void
uuid_of(const char *name, char out[UUID_LEN + 1])
{
	uint64_t h[2] = {0xcbf29ce484222325u, 0x9ae16a3b2f90404fu};

	for (size_t i = 0; i < 2; i++) {
		for (const char *p = name; *p != '\0'; p++)
			h[i] = (h[i] ^ (unsigned char)*p) * 0x100000001b3u;
		h[i] = (h[i] ^ h[i] >> 33) * 0xff51afd7ed558ccdu;
		h[i] = (h[i] ^ h[i] >> 33) * 0xc4ceb9fe1a85ec53u;
		h[i] ^= h[i] >> 33;
	}
	snprintf(out, UUID_LEN + 1, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(h[0] >> 32),
	    (unsigned)(h[0] >> 16 & 0xffff), (unsigned)(h[0] & 0xfff),
	    (unsigned)(0x8000 | (h[1] >> 48 & 0x3fff)),
	    (unsigned long long)(h[1] & 0xffffffffffffu));
}

/* What depends on the name alone. */
static void
named(struct vmconf *c, const char *name)
{
	const bool dom0 = is_dom0(name);

	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->type, sizeof(c->type), "%s", dom0 ? "AdminVM" : "AppVM");
	snprintf(c->label, sizeof(c->label), "%s", dom0 ? "black" : "red");
	if (dom0)
		snprintf(c->uuid, sizeof(c->uuid), DOM0_UUID);
	else
		uuid_of(name, c->uuid);
}

void
vmconf_builtin(struct vmconf *c, const char *name)
{
	*c = (struct vmconf){.qrexec_timeout = 60,
	    .shutdown_timeout = 60,
	    .memory = 400,
	    .vcpus = 2,
	    .dispid = VM_NO_DISPID,
	    .root_size = 10240,
	    .private_size = 2048,
	    .volatile_size = 10240,
	    .revisions_to_keep = 1,
	    .include_in_backups = true,
	    .trusted = true};
	snprintf(c->virt_mode, sizeof(c->virt_mode), "pvh");
	snprintf(c->keyboard_layout, sizeof(c->keyboard_layout), "us++");
	snprintf(c->mac, sizeof(c->mac), "00:16:3e:5e:6c:00");
	snprintf(c->default_user, sizeof(c->default_user), "user");
	named(c, name);
}

/* What many share. */
#define CACHE_MAX 16
struct vmconf_cache {
	int dir;
	bool has_base;
	struct vmconf base; /* of the defaults */
	size_t n;
	struct vmconf tmpl[CACHE_MAX];
	int levels[CACHE_MAX]; /* it, its template and so on */
};

/* Where the files are. One of them may have other text than it has there. */
struct source {
	int dir;
	struct vmconf_cache *cache; /* NULL: none */
	const char *over;	    /* its name; NULL: none */
	const char *text;
	size_t n;
	bool trusted;
};

/* One file, until closed by buf_free. Hundreds are read in a row, and most are small: no memory is
 * asked for them. */
struct text {
	struct buf b;
	char small[FILE_PART];
	const char *p;
	size_t n;
	bool trusted;
};

static bool
root_s_alone(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* 0, or -1, -2 as buf_read_fd. Less than there is room for: it was all. */
static ssize_t
read_fd(struct text *t, int fd)
{
	ssize_t r = read(fd, t->small, sizeof(t->small));

	t->n = r > 0 ? (size_t)r : 0;
	if (t->n < sizeof(t->small))
		return r < 0 ? -1 : 0;
	if (!buf_put(&t->b, t->small, sizeof(t->small)))
		return -1;
	while (r > 0)
		r = buf_read_fd(&t->b, fd, FILE_PART);
	t->p = (const char *)buf_bytes(&t->b);
	t->n = t->b.len;
	return r;
}

/* false, errno: ENOENT. No link: who may write the directory shall not have others read for him. */
static bool
read_text(const struct source *s, const char *name, struct text *t)
{
	struct stat st = {0};
	ssize_t r = -1;
	int fd, e = EINVAL;

	*t = (struct text){.b = {.max = FILE_MAX + 2}, .p = t->small};
	if (s->over != NULL && strcmp(s->over, name) == 0) {
		t->p = s->text;
		t->n = s->n;
		t->trusted = s->trusted;
		return true;
	}
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		r = read_fd(t, fd);
		e = r == -2 ? EFBIG : errno;
	}
	close(fd);
	t->trusted = root_s_alone(&st);
	errno = e;
	return r == 0;
}

/* maybe: it may be absent, and is empty then. */
static bool
get_text(
    const struct source *s, const char *name, bool maybe, struct text *t, struct vmconf_error *e)
{
	if (read_text(s, name, t))
		return true;
	buf_free(&t->b);
	if (errno == ENOENT && maybe) {
		t->trusted = true;
		return true;
	}
	vmconf_at(e, name, 0);
	if (errno == EFBIG)
		return vmconf_wrong(e, "longer than 64 KiB");
	if (errno == ELOOP || errno == EINVAL)
		return vmconf_wrong(e, "not a file of its own");
	return vmconf_wrong(e, "%s", errno == ENOENT ? "no such qube" : strerror(errno));
}

static void
inherit(struct vmconf *c, const struct vmconf *from)
{
	keys_inherit(c, from);
	c->trusted = c->trusted && from->trusted;
	/* a disposable's disposables are its own template's kind, never the machine's default, and
	 * so is its network (QSB-047) */
	if (strcmp(c->type, "DispVM") == 0) {
		memcpy(c->default_dispvm, from->name, sizeof(c->default_dispvm));
		memcpy(c->netvm, from->netvm, sizeof(c->netvm));
	}
}

/* Keys that only some may have. */
static bool
fitting(const struct vmconf *c, const struct seen *seen, struct vmconf_error *e)
{
	const bool disp = strcmp(c->type, "DispVM") == 0;
	const struct {
		const char *key;
		bool bad;
		const char *why;
	} rules[] = {
	    {"preload", c->preload > 0 && !c->template_for_dispvms,
		"needs template_for_dispvms = true"},
	    {"auto_cleanup", c->auto_cleanup && !disp, "only for a DispVM"},
	    {"dispid", c->dispid != VM_NO_DISPID && !disp, "only for a DispVM"},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		vmconf_at(e, c->name, seen->line[key_number(key_find(rules[i].key))]);
		if (rules[i].bad)
			return vmconf_wrong(e, "%s: %s", rules[i].key, rules[i].why);
	}
	return true;
}

static bool load(const struct source *s, const char *name, struct vmconf *c, struct seen *seen,
    int depth, struct vmconf_error *e);

/* Where it is there; beyond the last one: it is not. */
static size_t
cached(const struct vmconf_cache *k, const char *name)
{
	size_t i = 0;

	while (k != NULL && i < k->n && strcmp(k->tmpl[i].name, name) != 0)
		i++;
	return i;
}

static void
keep(struct vmconf_cache *k, const struct vmconf *tmpl)
{
	const bool alone = tmpl->template[0] == '\0';
	const size_t at = cached(k, tmpl->template);

	if (k == NULL || k->n == CACHE_MAX || (!alone && at == k->n))
		return;
	k->levels[k->n] = alone ? 1 : k->levels[at] + 1;
	k->tmpl[k->n++] = *tmpl;
}

/* What *c takes from it. */
static bool
load_template(const struct source *s, const char *name, struct vmconf *c, struct seen *seen,
    int depth, struct vmconf_error *e)
{
	const size_t at = cached(s->cache, name);
	const bool known = s->cache != NULL && at < s->cache->n;
	struct vmconf tmpl;

	if (depth + (known ? s->cache->levels[at] : 1) > CHAIN_MAX)
		return vmconf_wrong(e, "template: the chain of templates is too long");
	if (!known && !load(s, name, &tmpl, seen, depth + 1, e))
		return false;
	if (!known)
		keep(s->cache, &tmpl);
	inherit(c, known ? &s->cache->tmpl[at] : &tmpl);
	return true;
}

/* The qube's own bytes over the built-in values, the defaults and, if it has one, its template. */
static bool
load_own(const struct source *s, struct vmconf *c, const struct text *own, struct seen *seen,
    int depth, struct vmconf_error *e)
{
	struct vmconf base = *c;
	bool disp;

	if (!vmconf_parse_as(c, c->name, own->p, own->n, false, own->trusted, seen, e))
		return false;
	disp = strcmp(c->type, "DispVM") == 0;
	if (c->template[0] != '\0' && (disp || strcmp(c->type, "AppVM") == 0)) {
		/* read once to learn of the template, then again on top of it */
		vmconf_at(e, c->name, seen->line[key_number(key_find("template"))]);
		memcpy(base.type, c->type, sizeof(c->type));
		if (!load_template(s, c->template, &base, seen, depth, e))
			return false;
		*c = base;
		if (!vmconf_parse_as(c, c->name, own->p, own->n, false, own->trusted, seen, e))
			return false;
	}
	/* the machine's default is for those who use the network */
	if (seen->line[key_number(key_find("netvm"))] == 0 &&
	    (strcmp(c->type, "TemplateVM") == 0 || (c->provides_network && !disp)))
		c->netvm[0] = '\0';
	return fitting(c, seen, e);
}

static bool
load_defaults(const struct source *s, struct vmconf *c, struct seen *seen, struct vmconf_error *e)
{
	char name[NAME_LEN_MAX + 1];
	struct text t;
	bool ok;

	if (s->cache != NULL && s->cache->has_base) {
		memcpy(name, c->name, sizeof(name));
		*c = s->cache->base;
		named(c, name);
		return true;
	}
	if (!get_text(s, "defaults", true, &t, e))
		return false;
	ok = vmconf_parse_as(c, "defaults", t.p, t.n, true, t.trusted, seen, e);
	buf_free(&t.b);
	if (ok && s->cache != NULL) {
		s->cache->base = *c;
		s->cache->has_base = true;
	}
	return ok;
}

static bool
load(const struct source *s, const char *name, struct vmconf *c, struct seen *seen, int depth,
    struct vmconf_error *e)
{
	struct text own;
	bool ok;

	if (s->cache != NULL && s->cache->has_base)
		snprintf(c->name, sizeof(c->name), "%s", name);
	else
		vmconf_builtin(c, name);
	if (!load_defaults(s, c, seen, e) || !get_text(s, name, is_dom0(name), &own, e))
		return false;
	ok = load_own(s, c, &own, seen, depth, e);
	buf_free(&own.b);
	return ok;
}

/* Along the netvms. One that cannot be read ends the way: whose fault that is, its own load says.
 */
static bool
netvms_end(const struct source *s, const struct vmconf *c, unsigned line, struct vmconf_error *e)
{
	char name[NAME_LEN_MAX + 1];
	struct vmconf net = *c;
	struct seen seen;
	struct vmconf_error its;

	for (int hops = 0; net.netvm[0] != '\0'; hops++) {
		memcpy(name, net.netvm, sizeof(name));
		vmconf_at(e, c->name, line);
		if (strcmp(name, c->name) == 0 || hops == NETVMS_MAX)
			return vmconf_wrong(e,
			    "netvm: a loop: %.31s is its own netvm by way of %.31s", name,
			    net.name);
		if (!name_ok(name) || !load(s, name, &net, &seen, 1, &its))
			return true;
	}
	return true;
}

static bool
load_whole(const struct source *s, const char *name, struct vmconf *c, struct vmconf_error *e)
{
	struct seen seen;

	return load(s, name, c, &seen, 1, e) &&
	       netvms_end(s, c, seen.line[key_number(key_find("netvm"))], e);
}

static bool
a_name(const char *name, struct vmconf_error *e)
{
	if (name_ok(name) && strcmp(name, "defaults") != 0)
		return true;
	errno = EINVAL;
	vmconf_at(e, "", 0);
	return vmconf_wrong(e, "not a qube's name");
}

bool
vmconf_load(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e)
{
	const struct source s = {.dir = dirfd};

	return a_name(name, e) && load_whole(&s, name, c, e);
}

bool
vmconf_read(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e)
{
	const struct source s = {.dir = dirfd};
	struct seen seen;

	return a_name(name, e) && load(&s, name, c, &seen, 1, e);
}

struct vmconf_cache *
vmconf_cache_new(int dirfd)
{
	struct vmconf_cache *k = calloc(1, sizeof(*k));

	if (k != NULL)
		k->dir = dirfd;
	return k;
}

bool
vmconf_cache_read(
    struct vmconf_cache *k, const char *name, struct vmconf *c, struct vmconf_error *e)
{
	const struct source s = {.dir = k->dir, .cache = k};
	struct seen seen;

	return a_name(name, e) && load(&s, name, c, &seen, 1, e);
}

void
vmconf_cache_free(struct vmconf_cache *k)
{
	free(k);
}

bool
vmconf_defaults(int dirfd, struct vmconf *c, struct vmconf_error *e)
{
	const struct source s = {.dir = dirfd};
	struct seen seen;

	vmconf_builtin(c, "defaults");
	return load_defaults(&s, c, &seen, e);
}

/* All that are valid with the defaults as they stand have to be so with the new ones. */
static bool
would_all(const struct source *s, struct vmconf *c, struct vmconf_error *e)
{
	const struct source now = {.dir = s->dir};
	const int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;
	struct vmconf_error its;
	bool ok = d != NULL;

	if (d == NULL && fd >= 0)
		close(fd);
	vmconf_at(e, "defaults", 0);
	if (!ok)
		return vmconf_wrong(e, "%s", strerror(errno));
	while (ok && (f = readdir(d)) != NULL)
		ok = !a_name(f->d_name, &its) || load_whole(s, f->d_name, c, e) ||
		     !load_whole(&now, f->d_name, c, &its);
	closedir(d);
	return ok;
}

bool
vmconf_would(int dirfd, const char *name, const char *text, size_t n, bool trusted,
    struct vmconf *c, struct vmconf_error *e)
{
	const struct source s = {
	    .dir = dirfd, .over = name, .text = text, .n = n, .trusted = trusted};
	struct vmconf own;
	struct seen seen;

	if (c == NULL)
		c = &own;
	if (strcmp(name, "defaults") != 0)
		return a_name(name, e) && load_whole(&s, name, c, e);
	vmconf_builtin(c, name);
	return load_defaults(&s, c, &seen, e) && would_all(&s, &(struct vmconf){0}, e);
}

static bool
is_below(const char *path, const char *dir)
{
	const size_t n = strlen(dir), len = strlen(path);

	return strncmp(path, dir, n) == 0 && path[n] == '/' && strstr(path, "/../") == NULL &&
	       (len < 3 || strcmp(path + len - 3, "/..") != 0);
}

bool
key_beyond(const struct key *k, const char *path)
{
	/* a kernel is parsed by Dom0 itself, and links in its directory are followed */
	const char *dir = strcmp(k->name, "kernel") == 0 ? VM_KERNELS : VAR_DIR;

	return k->flags & PATH && path[0] == '/' && !is_below(path, dir);
}

const char *
vmconf_forbidden(const struct vmconf *c)
{
	for (const struct key *k = key_next(NULL); k != NULL && !c->trusted; k = key_next(k))
		if (key_beyond(k, (const char *)c + k->off))
			return (const char *)c + k->off;
	return NULL;
}

void
vmconf_address(const struct vmconf *c, uint32_t qid, char out[16])
{
	if (c->ip[0] != '\0')
		snprintf(out, 16, "%s", c->ip);
	else if (c->dispid != VM_NO_DISPID)
		snprintf(out, 16, "10.138.%u.%u", c->dispid / 254 & 0xff, c->dispid % 254 + 1);
	else if (qid < 255)
		snprintf(out, 16, "10.137.0.%u", qid);
	else
		snprintf(out, 16, "10.137.%u.%u", qid / 254 & 0xff, qid % 254 + 1);
}

void
vmconf_address6(const struct vmconf *c, uint32_t qid, char out[VM_IP6_LEN + 1])
{
	if (c->dispid != VM_NO_DISPID)
		snprintf(out, VM_IP6_LEN + 1, "fd09:24ef:4179::a8a:%x", c->dispid);
	else
		snprintf(out, VM_IP6_LEN + 1, "fd09:24ef:4179::a89:%x", qid & 0xffff);
}
