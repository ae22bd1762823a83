/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "log.h"
#include "vmconf-keys.h"

#define FILE_MAX 65536u
#define CHAIN_MAX 3 /* DispVM, AppVM, TemplateVM */

/* Where we are, for what may go wrong here. */
static void
at(struct vmconf_error *e, const char *file, unsigned line)
{
	snprintf(e->file, sizeof(e->file), "%s", file);
	e->line = line;
}

__attribute__((format(printf, 2, 3))) static bool
wrong(struct vmconf_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return false;
}

static bool
unknown_key(const char *word, struct vmconf_error *e)
{
	const struct key *k = key_nearest(word);
	char esc[40];

	log_escs(esc, sizeof(esc), word);
	if (k == NULL)
		return wrong(e, "unknown key %s", esc);
	return wrong(e, "unknown key %s (%s is meant?)", esc, k->name);
}

/* Cuts blanks at both ends and a comment: a # at the start or after a blank. */
static char *
trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (char *p = s; *p != '\0'; p++) {
		if (*p == '#' && (p == s || p[-1] == ' ' || p[-1] == '\t')) {
			*p = '\0';
			break;
		}
	}
	n = strlen(s);
	while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
		s[--n] = '\0';
	return s;
}

/* What this file has set. */
struct seen {
	uint64_t keys;
	char features[VM_FEATURES];
};

static bool
parse_feature(
    struct vmconf *c, const char *name, const char *val, struct seen *seen, struct vmconf_error *e)
{
	const char *why;

	if (feature_find(seen->features, name) != NULL)
		return wrong(e, "this key was given before");
	why = feature_set(c->features, name, val);
	if (why == NULL)
		why = feature_set(seen->features, name, val);
	return why == NULL || wrong(e, FEATURE "%.40s: %s", name, why);
}

/* One line over *c. */
static bool
parse_line(struct vmconf *c, char *line, int need, struct seen *seen, struct vmconf_error *e)
{
	char *key = trim(line), *eq = strchr(key, '=');
	const char *why;
	const struct key *k;

	if (*key == '\0')
		return true;
	if (eq == NULL)
		return wrong(e, "expected: key = value");
	*eq = '\0';
	key = trim(key);
	if (strncmp(key, FEATURE, strlen(FEATURE)) == 0)
		return parse_feature(c, key + strlen(FEATURE), trim(eq + 1), seen, e);
	k = key_find(key);
	if (k == NULL)
		return unknown_key(key, e);
	if ((k->flags & need) != need)
		return wrong(e, "this key may not stand in the defaults");
	if (seen->keys & key_bit(k))
		return wrong(e, "this key was given before");
	seen->keys |= key_bit(k);
	why = k->set(c, k, trim(eq + 1));
	return why == NULL || wrong(e, "%s: %s", key, why);
}

/* Length of the UTF-8 character at p; 0: none (overlong, surrogate, cut) or a control byte. */
static size_t
character(const unsigned char *p, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = 0;
	uint32_t c;

	while (n < 5 && (p[0] << n & 0x80))
		n++; /* as many leading ones as bytes */
	if (n == 0)
		return (p[0] >= 0x20 && p[0] != 0x7f) || p[0] == '\t' ? 1 : 0;
	if (n == 1 || n > 4 || n > left)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

/* Copies one line of n bytes to a string if its bytes are text and it fits. */
static bool
take_line(char *out, size_t size, const char *untrusted, size_t n, struct vmconf_error *e)
{
	size_t step;

	if (n >= size)
		return wrong(e, "the line is too long");
	for (size_t i = 0; i < n; i += step) {
		step = character((const unsigned char *)untrusted + i, n - i);
		if (step == 0)
			return wrong(e, "not text: a NUL or control byte, or no UTF-8");
	}
	memcpy(out, untrusted, n);
	out[n] = '\0';
	return true;
}

static bool
parse(struct vmconf *c, const char *file, const char *untrusted, size_t n, int need,
    struct vmconf_error *e)
{
	char line[4096];
	const char *nl;
	struct seen seen = {0};
	size_t len;

	at(e, file, 0);
	if (n > FILE_MAX)
		return wrong(e, "longer than 64 KiB");
	for (unsigned no = 1; n > 0; no++) {
		nl = memchr(untrusted, '\n', n);
		len = nl != NULL ? (size_t)(nl - untrusted) : n;
		e->line = no;
		if (!take_line(line, sizeof(line), untrusted, len, e) ||
		    !parse_line(c, line, need, &seen, e))
			return false;
		len += nl != NULL;
		untrusted += len;
		n -= len;
	}
	return true;
}

bool
vmconf_parse(
    struct vmconf *c, const char *file, const char *untrusted, size_t n, struct vmconf_error *e)
{
	return parse(c, file, untrusted, n, 0, e);
}

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

static void
builtin(struct vmconf *c, const char *name)
{
	bool dom0 = is_dom0(name);

	*c = (struct vmconf){
	    .qrexec_timeout = 60, .shutdown_timeout = 60, .memory = 400, .vcpus = 2};
	snprintf(c->virt_mode, sizeof(c->virt_mode), "pvh");
	snprintf(c->keyboard_layout, sizeof(c->keyboard_layout), "us++");
	snprintf(c->mac, sizeof(c->mac), "00:16:3e:5e:6c:00");
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->type, sizeof(c->type), "%s", dom0 ? "AdminVM" : "AppVM");
	snprintf(c->label, sizeof(c->label), "%s", dom0 ? "black" : "red");
	snprintf(c->default_user, sizeof(c->default_user), "user");
	if (dom0)
		snprintf(c->uuid, sizeof(c->uuid), DOM0_UUID);
	else
		uuid_of(name, c->uuid);
}

/* A file that may be absent: then *b stays empty. */
static bool
read_maybe(int dirfd, const char *name, bool maybe, struct buf *b, struct vmconf_error *e)
{
	if (buf_read_file(b, dirfd, name) || (errno == ENOENT && maybe))
		return true;
	at(e, name, 0);
	if (errno == EFBIG)
		return wrong(e, "longer than 64 KiB");
	return wrong(e, "%s", errno == ENOENT ? "no such qube" : strerror(errno));
}

static void
inherit(struct vmconf *c, const struct vmconf *from)
{
	keys_inherit(c, from);
	/* a disposable's disposables are its own template's kind, never the machine's default, and
	 * so is its network (QSB-047) */
	if (strcmp(c->type, "DispVM") == 0) {
		memcpy(c->default_dispvm, from->name, sizeof(c->default_dispvm));
		memcpy(c->netvm, from->netvm, sizeof(c->netvm));
	}
}

static bool load(int dirfd, const char *name, struct vmconf *c, int depth, struct vmconf_error *e);

/* The qube's own bytes over the built-in values, the defaults and, if it has one, its template. */
static bool
load_own(int dirfd, struct vmconf *c, const struct buf *own, int depth, struct vmconf_error *e)
{
	struct vmconf first = *c, tmpl;
	const char *text = (const char *)buf_bytes(own);

	/* read once to learn of the template, then again on top of it */
	if (!vmconf_parse(&first, c->name, text, own->len, e))
		return false;
	if (first.template[0] != '\0' &&
	    (strcmp(first.type, "AppVM") == 0 || strcmp(first.type, "DispVM") == 0)) {
		at(e, c->name, 0);
		if (depth == CHAIN_MAX)
			return wrong(e, "template: the chain of templates is too long");
		if (!load(dirfd, first.template, &tmpl, depth + 1, e))
			return false;
		memcpy(c->type, first.type, sizeof(c->type));
		inherit(c, &tmpl);
	}
	if (strcmp(first.type, "TemplateVM") == 0)
		c->netvm[0] = '\0'; /* the machine's default is not for templates */
	return vmconf_parse(c, c->name, text, own->len, e);
}

static bool
load(int dirfd, const char *name, struct vmconf *c, int depth, struct vmconf_error *e)
{
	struct buf defaults = {.max = FILE_MAX + 1}, own = {.max = FILE_MAX + 1};
	bool ok;

	builtin(c, name);
	ok = read_maybe(dirfd, "defaults", true, &defaults, e) &&
	     parse(c, "defaults", (const char *)buf_bytes(&defaults), defaults.len, GLOBAL, e) &&
	     read_maybe(dirfd, name, is_dom0(name), &own, e) && load_own(dirfd, c, &own, depth, e);
	buf_free(&defaults);
	buf_free(&own);
	return ok;
}

bool
vmconf_load(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e)
{
	if (!name_ok(name) || strcmp(name, "defaults") == 0) {
		errno = EINVAL;
		at(e, "", 0);
		return wrong(e, "not a qube's name");
	}
	return load(dirfd, name, c, 1, e);
}

void
vmconf_address(const struct vmconf *c, uint32_t qid, char out[16])
{
	if (c->ip[0] != '\0')
		snprintf(out, 16, "%s", c->ip);
	else if (qid < 255)
		snprintf(out, 16, "10.137.0.%u", qid);
	else
		snprintf(out, 16, "10.137.%u.%u", qid / 254 & 0xff, qid % 254 + 1);
}

void
vmconf_address6(uint32_t qid, char out[VM_IP6_LEN + 1])
{
	snprintf(out, VM_IP6_LEN + 1, "fd09:24ef:4179::a89:%x", qid & 0xffff);
}
