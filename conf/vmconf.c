/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "log.h"
#include "vmconf-keys.h"

#define FILE_MAX 65536u

void
vmconf_at(struct vmconf_error *e, const char *file, unsigned line)
{
	snprintf(e->file, sizeof(e->file), "%s", file);
	e->line = line;
}

bool
vmconf_wrong(struct vmconf_error *e, const char *fmt, ...)
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
		return vmconf_wrong(e, "unknown key %s", esc);
	return vmconf_wrong(e, "unknown key %s (%s is meant?)", esc, k->name);
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

static bool
parse_feature(
    struct vmconf *c, const char *name, const char *val, struct seen *seen, struct vmconf_error *e)
{
	const char *why;

	if (feature_find(seen->features, name) != NULL)
		return vmconf_wrong(e, "this key was given before");
	why = feature_set(c->features, name, val);
	if (why == NULL)
		why = feature_set(seen->features, name, val);
	return why == NULL || vmconf_wrong(e, FEATURE "%.40s: %s", name, why);
}

/* What kind of file this is. */
struct how {
	const char *file;
	bool defaults, trusted;
	bool named, beyond; /* it says whose it is; names a path that only root's file may name */
};

/* One line over *c. */
static bool
parse_line(struct vmconf *c, char *line, struct how *how, struct seen *seen, struct vmconf_error *e)
{
	char *key = trim(line), *eq = strchr(key, '=');
	const char *why;
	const struct key *k;

	if (*key == '\0')
		return true;
	if (eq == NULL)
		return vmconf_wrong(e, "expected: key = value");
	*eq = '\0';
	key = trim(key);
	if (strncmp(key, FEATURE, strlen(FEATURE)) == 0)
		return parse_feature(c, key + strlen(FEATURE), trim(eq + 1), seen, e);
	if (strcmp(key, "name") == 0) {
		how->named = true;
		return strcmp(trim(eq + 1), how->file) == 0 ||
		       vmconf_wrong(e, "name: this is another one's file");
	}
	k = key_find(key);
	if (k == NULL)
		return unknown_key(key, e);
	if (how->defaults ? !(k->flags & GLOBAL) : k->flags & ONLY)
		return vmconf_wrong(e, "this key may %s the defaults",
		    how->defaults ? "not stand in" : "stand only in");
	if (seen->line[key_number(k)] > 0)
		return vmconf_wrong(e, "this key was given before");
	seen->line[key_number(k)] = e->line;
	if (k->flags & PATH && !how->trusted)
		c->trusted = false;
	eq = trim(eq + 1);
	how->beyond |= key_beyond(k, eq);
	why = k->set(c, k, eq);
	return why == NULL || vmconf_wrong(e, "%s: %s", key, why);
}

/* Length of the UTF-8 character at p; 0: none (overlong, surrogate, cut) or a control. */
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
	return c >= least[n] && c > 0x9f && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

/* Copies one line of n bytes to a string if its bytes are text and it fits. */
static bool
take_line(char *out, size_t size, const char *untrusted, size_t n, struct vmconf_error *e)
{
	size_t step;

	if (n >= size)
		return vmconf_wrong(e, "the line is too long");
	for (size_t i = 0; i < n; i += step) {
		step = character((const unsigned char *)untrusted + i, n - i);
		if (step == 0)
			return vmconf_wrong(e, "not text: a NUL or control byte, or no UTF-8");
	}
	memcpy(out, untrusted, n);
	out[n] = '\0';
	return true;
}

bool
vmconf_parse_as(struct vmconf *c, const char *file, const char *untrusted, size_t n, bool defaults,
    bool trusted, struct seen *seen, struct vmconf_error *e)
{
	struct how how = {.file = file, .defaults = defaults, .trusted = trusted};
	char line[4096];
	const char *nl;
	size_t len;

	memset(seen, 0, sizeof(*seen));
	vmconf_at(e, file, 0);
	if (n > FILE_MAX)
		return vmconf_wrong(e, "longer than 64 KiB");
	for (unsigned no = 1; n > 0; no++) {
		nl = memchr(untrusted, '\n', n);
		len = nl != NULL ? (size_t)(nl - untrusted) : n;
		e->line = no;
		if (!take_line(line, sizeof(line), untrusted, len, e) ||
		    !parse_line(c, line, &how, seen, e))
			return false;
		len += nl != NULL;
		untrusted += len;
		n -= len;
	}
	/* a member of group qubes can rename it */
	c->trusted = c->trusted && (how.named || !how.beyond);
	return true;
}

bool
vmconf_parse(
    struct vmconf *c, const char *file, const char *untrusted, size_t n, struct vmconf_error *e)
{
	struct seen seen;

	return vmconf_parse_as(c, file, untrusted, n, false, true, &seen, e);
}

const char *
vmconf_key_wrong(const char *key, struct vmconf_error *e)
{
	vmconf_at(e, "", 0);
	if (strncmp(key, FEATURE, strlen(FEATURE)) == 0 || key_find(key) != NULL)
		return NULL;
	unknown_key(key, e);
	return e->text;
}
