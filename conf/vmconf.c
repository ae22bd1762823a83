/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "log.h"
#include "vmconf.h"

#define FILE_MAX 65536u
#define TIMEOUT_MAX 86400u
#define CHAIN_MAX 3 /* DispVM, AppVM, TemplateVM */
#define DOM0_UUID "00000000-0000-0000-0000-000000000000"

struct key;
/* Checks a value and stores it. NULL, or what is wrong with it. */
typedef const char *set_fn(struct vmconf *c, const struct key *k, const char *val);
static set_fn set_bool, set_label, set_name, set_root, set_secs, set_service, set_tags, set_type,
    set_user, set_uuid;

enum { GLOBAL = 1, INHERIT = 2 }; /* may stand in "defaults"; comes from the template */

static const struct key {
	const char *name;
	set_fn *set;
	size_t off, size;
	int flags;
} keys[] = {
#define KEY(f, set, flags)                                                                         \
	{                                                                                          \
#f, set, offsetof(struct vmconf, f), sizeof(((struct vmconf *)0)->f), flags        \
	}
    KEY(label, set_label, 0),
    KEY(type, set_type, 0),
    KEY(template, set_name, 0),
    KEY(tags, set_tags, 0),
    KEY(default_dispvm, set_name, GLOBAL),
    KEY(uuid, set_uuid, 0),
    KEY(relayvm, set_name, 0),
    KEY(transport_rpc, set_service, 0),
    KEY(guivm, set_name, 0),
    KEY(default_user, set_user, GLOBAL | INHERIT),
    KEY(root, set_root, GLOBAL | INHERIT),
    KEY(template_for_dispvms, set_bool, 0),
    KEY(autostart, set_bool, 0),
    KEY(internal, set_bool, 0),
    KEY(qrexec_timeout, set_secs, GLOBAL | INHERIT),
    KEY(shutdown_timeout, set_secs, GLOBAL | INHERIT),
#undef KEY
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static void *
field(struct vmconf *c, const struct key *k)
{
	return (char *)c + k->off;
}

static const char *
store(struct vmconf *c, const struct key *k, const char *val)
{
	int n = snprintf(field(c, k), k->size, "%s", val);

	return n >= 0 && (size_t)n < k->size ? NULL : "too long";
}

static const char *
set_label(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const labels[] = {
	    "red", "orange", "yellow", "green", "gray", "blue", "purple", "black", NULL};

	return one_of(labels, val) ? store(c, k, val)
				   : "not red, orange, yellow, green, gray, blue, purple or black";
}

static const char *
set_type(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const types[] = {
	    "AppVM", "TemplateVM", "StandaloneVM", "DispVM", "RemoteVM", "AdminVM", NULL};

	if (is_dom0(c->name) != (strcmp(val, "AdminVM") == 0))
		return "dom0, and nobody else, is the AdminVM";
	return one_of(types, val)
		   ? store(c, k, val)
		   : "not AppVM, TemplateVM, StandaloneVM, DispVM, RemoteVM or AdminVM";
}

/* Empty: none. */
static const char *
set_name(struct vmconf *c, const struct key *k, const char *val)
{
	return *val == '\0' || name_ok(val) ? store(c, k, val) : "not a qube's name";
}

static const char *
set_service(struct vmconf *c, const struct key *k, const char *val)
{
	for (const char *p = val; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return "not a service's name";
	return store(c, k, val);
}

static const char *
set_user(struct vmconf *c, const struct key *k, const char *val)
{
	if (*val == '\0' || *val == '-' || *val == '.' || (*val >= '0' && *val <= '9'))
		return "not a user's name";
	return set_service(c, k, val) == NULL ? NULL : "not a user's name";
}

static const char *
set_root(struct vmconf *c, const struct key *k, const char *val)
{
	return *val == '\0' || *val == '/' ? store(c, k, val) : "not an absolute path";
}

static const char *
set_uuid(struct vmconf *c, const struct key *k, const char *val)
{
	char low[UUID_LEN + 1];

	if (!uuid_ok(val))
		return "not a UUID";
	for (size_t i = 0; i <= UUID_LEN; i++)
		low[i] = (char)(val[i] >= 'A' && val[i] <= 'F' ? val[i] - 'A' + 'a' : val[i]);
	if (is_dom0(c->name) != (strcmp(low, DOM0_UUID) == 0))
		return "the zero UUID is dom0's, and dom0 has no other";
	return store(c, k, low);
}

static const char *
set_bool(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const yes[] = {"true", "True", "1", "yes", NULL};
	static const char *const no[] = {"false", "False", "0", "no", NULL};
	bool *out = field(c, k);

	*out = one_of(yes, val);
	return *out || one_of(no, val) ? NULL : "not true or false";
}

static const char *
set_secs(struct vmconf *c, const struct key *k, const char *val)
{
	uint32_t *out = field(c, k), v;

	if (!parse_u32(val, TIMEOUT_MAX, &v) || v == 0)
		return "not a number of seconds from 1 to 86400";
	*out = v;
	return NULL;
}

static const char *
add_tag(struct vmconf *c, const char *tag, size_t n)
{
	if (n > VM_TAG_LEN)
		return "a tag is longer than 63";
	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)tag[i]))
			return "a tag may hold A-Z a-z 0-9 _ . - only";
	for (size_t i = 0; i < c->ntags; i++)
		if (strlen(c->tags[i]) == n && memcmp(c->tags[i], tag, n) == 0)
			return NULL;
	if (c->ntags == VM_TAGS)
		return "more than 32 tags";
	memcpy(c->tags[c->ntags], tag, n);
	c->tags[c->ntags++][n] = '\0';
	return NULL;
}

static const char *
set_tags(struct vmconf *c, const struct key *k, const char *val)
{
	const char *why = NULL;

	(void)k;
	c->ntags = 0;
	while (why == NULL && *(val += strspn(val, " \t")) != '\0') {
		size_t n = strcspn(val, " \t");

		why = add_tag(c, val, n);
		val += n;
	}
	return why;
}

/* Changes, insertions and deletions that make a of b; both shorter than 32. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[33], diag, up, least;
	size_t na = strlen(a), nb = strlen(b);

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		diag = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			up = row[j];
			least = (up < row[j - 1] ? up : row[j - 1]) + 1;
			diag += a[i - 1] != b[j - 1];
			row[j] = diag < least ? diag : least;
			diag = up;
		}
	}
	return row[nb];
}

static const struct key *
nearest(const char *word)
{
	const struct key *best = NULL;
	unsigned d, least = 3;

	for (size_t i = 0; i < NKEYS && strlen(word) < 32; i++) {
		d = distance(word, keys[i].name);
		if (d < least) {
			least = d;
			best = &keys[i];
		}
	}
	return best;
}

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
	const struct key *k = nearest(word);
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

/* One line over *c. seen: a bit for each key this file has set. */
static bool
parse_line(struct vmconf *c, char *line, int need, uint32_t *seen, struct vmconf_error *e)
{
	char *key = trim(line), *eq = strchr(key, '=');
	const char *why;
	size_t i = 0;

	if (*key == '\0')
		return true;
	if (eq == NULL)
		return wrong(e, "expected: key = value");
	*eq = '\0';
	key = trim(key);
	while (i < NKEYS && strcmp(keys[i].name, key) != 0)
		i++;
	if (i == NKEYS)
		return unknown_key(key, e);
	if ((keys[i].flags & need) != need)
		return wrong(e, "this key may not stand in the defaults");
	if (*seen & 1u << i)
		return wrong(e, "this key was given before");
	*seen |= 1u << i;
	why = keys[i].set(c, &keys[i], trim(eq + 1));
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
	uint32_t seen = 0;
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

	*c = (struct vmconf){.qrexec_timeout = 60, .shutdown_timeout = 60};
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
	for (const struct key *k = keys; k < keys + NKEYS; k++)
		if (k->flags & INHERIT)
			memcpy(field(c, k), (const char *)from + k->off, k->size);
	/* a disposable's disposables are its own template's kind, never the machine's default
	 * (QSB-047) */
	if (strcmp(c->type, "DispVM") == 0)
		memcpy(c->default_dispvm, from->name, sizeof(c->default_dispvm));
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
