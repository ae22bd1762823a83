/* SPDX-License-Identifier: ISC */
/* Just enough JSON, strictly: one object of known members, strings, a list and a map of strings. */
#include <stdlib.h>
#include <string.h>

#include "ask/qrexec-ask.h"

struct json {
	char *p;
	bool bad;
};

struct list {
	char **v;
	size_t n, cap;
};

static bool
is(struct json *j, char ch)
{
	if (j->bad) /* p may be past the end */
		return false;
	while (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r')
		j->p++;
	if (*j->p != ch)
		return false;
	j->p++;
	return true;
}

static void
need(struct json *j, char ch)
{
	if (!is(j, ch))
		j->bad = true;
}

static int
hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		const char *hex = "0123456789abcdef0123456789ABCDEF", *at;

		at = p[i] != '\0' ? strchr(hex, p[i]) : NULL;
		if (at == NULL)
			return -1;
		v = v * 16 + (int)((at - hex) % 16);
	}
	return v;
}

/* The character behind a backslash; what is not ASCII becomes '?'. 0: wrong. */
static char
escape(struct json *j)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = *j->p != '\0' ? strchr(from, *j->p) : NULL;
	int v;

	if (at != NULL) {
		j->p++;
		return to[at - from];
	}
	if (*j->p != 'u')
		return '\0';
	v = hex4(j->p + 1);
	if (v <= 0)
		return '\0';
	j->p += 5;
	return v < 0x80 ? (char)v : '?';
}

static char *
string(struct json *j)
{
	char *start, *to;

	need(j, '"');
	start = to = j->p;
	while (!j->bad && *j->p != '"') {
		unsigned char ch = (unsigned char)*j->p++;

		if (ch == '\\')
			ch = (unsigned char)escape(j);
		if (ch == '\0' || (ch < 0x20 && j->p[-1] == (char)ch))
			j->bad = true;
		*to++ = (char)ch;
	}
	if (j->bad)
		return NULL;
	j->p++;
	*to = '\0';
	return start;
}

static void
push(struct json *j, struct list *l, char *s)
{
	size_t cap = l->cap == 0 ? 32 : l->cap * 2;
	char **v;

	if (l->n == l->cap) {
		v = realloc(l->v, cap * sizeof(*v));
		if (v == NULL) {
			j->bad = true;
			return;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = s;
}

/* ["a", ...] or, as pairs, {"a": "b", ...} */
static void
strings(struct json *j, struct list *l, bool pairs)
{
	char end = pairs ? '}' : ']';

	need(j, pairs ? '{' : '[');
	if (l->n > 0)
		j->bad = true;
	if (is(j, end))
		return;
	do {
		push(j, l, string(j));
		if (pairs) {
			need(j, ':');
			push(j, l, string(j));
		}
	} while (!j->bad && is(j, ','));
	need(j, end);
}

static void
member(struct json *j, struct ask_msg *m, struct list *targets, struct list *icons)
{
	const struct {
		const char *key;
		char **to;
	} members[] = {
	    {"source", &m->source},
	    {"service", &m->service},
	    {"argument", &m->argument},
	    {"default_target", &m->default_target},
	    {"resolution", &m->resolution},
	    {"target", &m->target},
	};
	const char *key = string(j);

	need(j, ':');
	if (j->bad)
		return;
	if (strcmp(key, "targets") == 0) {
		strings(j, targets, false);
		return;
	}
	if (strcmp(key, "icons") == 0) {
		strings(j, icons, true);
		return;
	}
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		if (strcmp(members[i].key, key) == 0 && *members[i].to == NULL) {
			*members[i].to = string(j);
			return;
		}
	}
	j->bad = true; /* unknown, or there twice */
}

static void
set_icons(struct json *j, struct ask_msg *m, const struct list *icons)
{
	m->icons = calloc(m->ntargets + 1, sizeof(*m->icons));
	if (m->icons == NULL)
		j->bad = true;
	for (size_t i = 0; !j->bad && i < m->ntargets; i++)
		for (size_t k = 0; k + 1 < icons->n; k += 2)
			if (strcmp(icons->v[k], m->targets[i]) == 0)
				m->icons[i] = icons->v[k + 1];
}

const char *
msg_parse(struct ask_msg *m, char *untrusted, size_t n, bool notify)
{
	struct json j = {.p = untrusted};
	struct list targets = {0}, icons = {0};

	*m = (struct ask_msg){0};
	if (strlen(untrusted) != n)
		return "a NUL byte";
	need(&j, '{');
	do
		member(&j, m, &targets, &icons);
	while (!j.bad && is(&j, ','));
	need(&j, '}');
	if (!is(&j, '\0')) /* white space, and nothing else */
		j.bad = true;
	m->targets = targets.v;
	m->ntargets = j.bad ? 0 : targets.n;
	set_icons(&j, m, &icons);
	free(icons.v);
	if (j.bad)
		return "not the JSON of a prompt";
	if (m->source == NULL || m->service == NULL || m->argument == NULL ||
	    (notify ? m->resolution == NULL || m->target == NULL : m->default_target == NULL))
		return "a member is missing";
	return notify || m->ntargets > 0 ? NULL : "no targets";
}

void
msg_free(struct ask_msg *m)
{
	free(m->targets);
	free(m->icons);
	*m = (struct ask_msg){0};
}

bool
msg_offers(const struct ask_msg *m, const char *target)
{
	for (size_t i = 0; i < m->ntargets; i++) {
		if (strcmp(m->targets[i], target) == 0)
			return true;
	}
	return false;
}
