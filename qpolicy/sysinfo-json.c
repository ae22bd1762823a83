/* SPDX-License-Identifier: ISC */
/*
 * A strict reader for one kind of JSON: {"domains": {NAME: {...}}}. Unknown keys are skipped, wrong
 * types and double keys are errors. One value is one call; nothing is kept but strings.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine-int.h"
#include "engine/sysread.h"

#define DEPTH_MAX 16
#define TAGS_MAX 1024

struct js {
	struct arena mem;
	const char *p, *end;
	const char *why;
	unsigned depth;
};

static bool
fail(struct js *j, const char *why)
{
	if (j->why == NULL)
		j->why = why;
	return false;
}

static int
peek(struct js *j)
{
	while (j->p < j->end && *j->p != '\0' && strchr(" \t\r\n", *j->p) != NULL)
		j->p++;
	return j->p < j->end ? (unsigned char)*j->p : -1;
}

static bool
eat(struct js *j, int c)
{
	if (peek(j) != c)
		return false;
	j->p++;
	return true;
}

static bool
literal(struct js *j, const char *s)
{
	size_t n = strlen(s);

	(void)peek(j);
	if ((size_t)(j->end - j->p) < n || memcmp(j->p, s, n) != 0)
		return false;
	j->p += n;
	return true;
}

/* What is read here is ASCII; a \u beyond it becomes a question mark. */
static bool
escape(struct js *j, char **o)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t",
			  hex[] = "0123456789abcdefABCDEF";
	const char *f = j->p == j->end || *j->p == '\0' ? NULL : strchr(from, *j->p);
	uint32_t c = 0;

	if (f != NULL) {
		j->p++;
		*(*o)++ = to[f - from];
		return true;
	}
	if (j->end - j->p < 5 || *j->p != 'u')
		return fail(j, "an unknown escape");
	for (int i = 1; i <= 4; i++) {
		f = j->p[i] == '\0' ? NULL : strchr(hex, j->p[i]);
		if (f == NULL)
			return fail(j, "a \\u without four digits");
		c = c << 4 | (uint32_t)(f - hex < 16 ? f - hex : f - hex - 6);
	}
	j->p += 5;
	*(*o)++ = c > 0 && c < 0x80 ? (char)c : '?';
	return true;
}

static const char *
string(struct js *j)
{
	const char *q;
	char *out, *o;

	if (!eat(j, '"')) {
		fail(j, "expected a string");
		return NULL;
	}
	for (q = j->p; q < j->end && *q != '"'; q++)
		q += *q == '\\';
	out = o = arena_get(&j->mem, (size_t)(q - j->p) + 2);
	while (j->p < j->end && *j->p != '"') {
		if ((unsigned char)*j->p < 0x20) {
			fail(j, "a control byte in a string");
			return NULL;
		}
		if (*j->p != '\\')
			*o++ = *j->p++;
		else if (j->p++, !escape(j, &o))
			return NULL;
	}
	*o = '\0';
	return eat(j, '"') || fail(j, "an unfinished string") ? out : NULL;
}

typedef bool item_fn(struct js *j, const char *key, void *arg);

/* Goes through an object (or with key NULL an array) and calls fn where each value begins. */
static bool
each(struct js *j, bool object, item_fn *fn, void *arg)
{
	const char *key = NULL;
	int end = object ? '}' : ']';
	bool ok = true;

	if (!eat(j, object ? '{' : '['))
		return fail(j, object ? "expected {" : "expected [");
	if (++j->depth > DEPTH_MAX)
		return fail(j, "nested too deep");
	if (peek(j) != end)
		do {
			if (object) {
				key = string(j);
				if (key == NULL || !eat(j, ':'))
					return fail(j, "expected \"key\":");
			}
			ok = fn(j, key, arg);
		} while (ok && eat(j, ','));
	j->depth--;
	return ok && (eat(j, end) || fail(j, "expected , or the end of a list"));
}

static bool
number(struct js *j)
{
	const char *start = j->p;

	while (j->p < j->end && strchr("+-.0123456789eE", *j->p) != NULL && *j->p != '\0')
		j->p++;
	return j->p > start || fail(j, "expected a value");
}

static bool
skip(struct js *j, const char *key, void *arg)
{
	int c = peek(j);

	(void)key;
	(void)arg;
	if (c == '{' || c == '[')
		return each(j, c == '{', skip, NULL);
	if (c == '"')
		return string(j) != NULL;
	return literal(j, "true") || literal(j, "false") || literal(j, "null") || number(j);
}

struct domain {
	struct sys_vm vm;
	const char *tags[TAGS_MAX];
	unsigned seen; /* bit per field, and for tags and power_state */
};

static bool
add_tag(struct js *j, const char *key, void *arg)
{
	struct domain *d = arg;
	const char *tag = string(j);

	(void)key;
	if (tag == NULL)
		return false;
	if (d->vm.ntags == TAGS_MAX)
		return fail(j, "too many tags");
	d->tags[d->vm.ntags++] = tag;
	return true;
}

enum { J_STRING, J_BOOL };
static const struct {
	const char *key;
	int kind;
	size_t at;
} fields[] = {
    {"type", J_STRING, offsetof(struct sys_vm, type)},
    {"uuid", J_STRING, offsetof(struct sys_vm, uuid)},
    {"default_dispvm", J_STRING, offsetof(struct sys_vm, default_dispvm)},
    {"relayvm", J_STRING, offsetof(struct sys_vm, relayvm)},
    {"transport_rpc", J_STRING, offsetof(struct sys_vm, transport_rpc)},
    {"guivm", J_STRING, offsetof(struct sys_vm, guivm)},
    {"icon", J_STRING, offsetof(struct sys_vm, icon)},
    {"template_for_dispvms", J_BOOL, offsetof(struct sys_vm, template_for_dispvms)},
    {"internal", J_BOOL, offsetof(struct sys_vm, internal)},
};
#define NFIELDS (sizeof(fields) / sizeof(fields[0]))

static bool
set_field(struct js *j, size_t f, struct sys_vm *vm)
{
	char *at = (char *)vm + fields[f].at;
	const char *s;

	if (literal(j, "null"))
		return true;
	if (fields[f].kind == J_BOOL) {
		*(bool *)at = literal(j, "true");
		return *(bool *)at || literal(j, "false") || fail(j, "expected true or false");
	}
	s = string(j);
	memcpy(at, &s, sizeof(s));
	return s != NULL;
}

static bool
property(struct js *j, const char *key, void *arg)
{
	struct domain *d = arg;
	const char *power;
	size_t f = 0;

	while (f < NFIELDS && strcmp(fields[f].key, key) != 0)
		f++;
	if (f == NFIELDS && strcmp(key, "tags") == 0)
		f = NFIELDS + 1;
	if (f == NFIELDS && strcmp(key, "power_state") != 0)
		return skip(j, NULL, NULL);
	if ((d->seen & 1u << f) != 0)
		return fail(j, "a key twice");
	d->seen |= 1u << f;
	if (f < NFIELDS)
		return set_field(j, f, &d->vm);
	if (f == NFIELDS + 1)
		return each(j, false, add_tag, d);
	power = string(j);
	d->vm.running = power != NULL && strcmp(power, "Running") == 0;
	return power != NULL;
}

static bool
domain(struct js *j, const char *key, void *arg)
{
	struct domain d;

	d.vm = (struct sys_vm){.name = key, .type = "", .uuid = "", .tags = d.tags};
	d.seen = 0;
	if (!each(j, true, property, &d))
		return false;
	return sysinfo_add(arg, &d.vm) || fail(j, "a qube or uuid twice");
}

static bool
top(struct js *j, const char *key, void *arg)
{
	return strcmp(key, "domains") == 0 ? each(j, true, domain, arg) : skip(j, NULL, NULL);
}

struct sysinfo *
sysinfo_json(const char *untrusted, size_t n, const char **why)
{
	struct sysinfo *si = sysinfo_new();
	struct js j = {.p = untrusted, .end = untrusted + n};

	if (n > JSON_MAX)
		fail(&j, "too large");
	else if (each(&j, true, top, si) && peek(&j) != -1)
		fail(&j, "bytes behind the end");
	arena_free(&j.mem);
	*why = j.why;
	if (j.why == NULL)
		return si;
	sysinfo_free(si);
	return NULL;
}
