/* SPDX-License-Identifier: ISC */
/* One line of a policy file (spec/policy 2 and 4). */
#include <string.h>

#include "names.h"
#include "parse.h"

size_t
utf8_bad(const char *s, size_t n)
{
	size_t i = 0, k;
	uint32_t c;

	while (i < n && (k = utf8_char((const unsigned char *)s + i, n - i, &c)) != 0)
		i += k;
	return i;
}

/* White space as Python's str.split() knows it. */
static bool
white(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
	       c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Old syntax: $include: is !include, $ is @, a comma is a blank. Columns stay the same. */
static void
substitute(char *text)
{
	char *p;

	while ((p = strstr(text, "$include:")) != NULL)
		memcpy(p, "!include ", 9);
	for (p = text; *p != '\0'; p++)
		*p = *p == '$' ? '@' : *p == ',' ? ' ' : *p;
}

static bool
split(struct line *ln, char *text, unsigned col)
{
	bool in = false;
	uint32_t c;
	size_t k;

	for (char *p = text; *p != '\0'; p += k, col++) {
		k = utf8_char((const unsigned char *)p, strlen(p), &c);
		if (k == 0)
			k = 1; /* checked before; never */
		if (white(c)) {
			in = false;
			memset(p, '\0', k);
			continue;
		}
		if (!in && ln->n == LINE_WORDS) {
			complain(
			    ln->u->l, ln->u->file, ln->no, col, "more than %d words", LINE_WORDS);
			return false;
		}
		if (!in)
			ln->w[ln->n++] = (struct word){p, col};
		in = true;
	}
	return true;
}

/* The word as it may be shown: cut, and nothing in it that a terminal acts on. */
static void
bad(const struct line *ln, size_t w, const char *expected)
{
	char shown[64];
	size_t n = 0;

	for (const char *s = ln->w[w].s; *s != '\0' && n < sizeof(shown) - 1; s++)
		shown[n++] = *s > ' ' && *s < 0x7f ? *s : '?';
	shown[n] = '\0';
	complain(ln->u->l, ln->u->file, ln->no, ln->w[w].col, "'%s': %s", shown, expected);
}

bool
service_word_ok(const char *s)
{
	if (strcmp(s, "*") == 0)
		return true;
	for (const char *p = s; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return false;
	return *s != '\0';
}

bool
call_bytes(const char *s)
{
	for (; *s != '\0'; s++)
		if (!service_byte((unsigned char)*s) && *s != '+')
			return false;
	return true;
}

bool
argument_word_ok(const char *s)
{
	if (strcmp(s, "*") == 0)
		return true;
	return *s == '+' && call_bytes(s);
}

static bool
check_call(const struct line *ln, size_t service, size_t argument)
{
	bool ok = true;

	if (!service_word_ok(ln->w[service].s)) {
		bad(ln, service, "expected a service: * or bytes of A-Z a-z 0-9 - . _");
		ok = false;
	}
	if (!argument_word_ok(ln->w[argument].s)) {
		bad(ln, argument,
		    "expected an argument: * or + and then bytes of A-Z a-z 0-9 + - . _");
		ok = false;
	} else if (strcmp(ln->w[service].s, "*") == 0 && strcmp(ln->w[argument].s, "*") != 0) {
		bad(ln, argument, "expected * as argument, since the service is *");
		ok = false;
	}
	return ok;
}

static bool
check_token(const struct line *ln, size_t w, const char *word, unsigned place, const char *expected)
{
	enum tok kind = token(word, place).kind;

	if (kind == T_EMPTY)
		bad(ln, w, "nothing behind the last : or =");
	else if (kind == T_BAD)
		bad(ln, w, expected);
	return kind != T_EMPTY && kind != T_BAD;
}

#define REDIRECTS "a qube's name, uuid:..., @adminvm, @dispvm or @dispvm:NAME"
static const char yes_or_no[] = "expected yes or no";

enum { K_TARGET, K_DEFAULT, K_USER, K_NOTIFY, K_AUTOSTART, NKEYS };
static const struct {
	const char *key;
	unsigned actions; /* 1 << V_ALLOW ... */
} keys[NKEYS] = {
    [K_TARGET] = {"target", 1 << V_ALLOW | 1 << V_ASK},
    [K_DEFAULT] = {"default_target", 1 << V_ASK},
    [K_USER] = {"user", 1 << V_ALLOW | 1 << V_ASK},
    [K_NOTIFY] = {"notify", 1 << V_ALLOW | 1 << V_ASK | 1 << V_DENY},
    [K_AUTOSTART] = {"autostart", 1 << V_ALLOW | 1 << V_ASK},
};

static bool
set_yes_no(const struct line *ln, size_t w, const char *val, bool *out)
{
	*out = strcmp(val, "yes") == 0;
	if (*out || strcmp(val, "no") == 0)
		return true;
	bad(ln, w, yes_or_no);
	return false;
}

static bool
set_key(const struct line *ln, size_t w, int k, const char *val, struct rule *r)
{
	switch (k) {
	case K_TARGET:
		r->redirect = val;
		return check_token(ln, w, val, P_REDIRECT, "expected in target= " REDIRECTS);
	case K_DEFAULT:
		r->default_target = val;
		return check_token(
		    ln, w, val, P_REDIRECT, "expected in default_target= " REDIRECTS);
	case K_USER:
		r->user = *val == '\0' ? NULL : val;
		return true;
	case K_NOTIFY:
		return set_yes_no(ln, w, val, &r->notify);
	default:
		return set_yes_no(ln, w, val, &r->autostart);
	}
}

static bool
parse_keys(const struct line *ln, size_t first, struct rule *r)
{
	unsigned seen = 0;
	bool ok = true;
	size_t len;
	int k;

	for (size_t w = first; w < ln->n; w++) {
		const char *s = ln->w[w].s;

		len = strcspn(s, "=");
		for (k = 0; k < NKEYS; k++)
			if (strlen(keys[k].key) == len && memcmp(s, keys[k].key, len) == 0)
				break;
		if (s[len] != '=') {
			bad(ln, w, "expected KEY=VALUE (there are no comments behind a rule)");
			ok = false;
		} else if (k == NKEYS || (keys[k].actions & 1u << r->action) == 0) {
			bad(ln, w,
			    r->action == V_DENY ? "expected notify= (no other key goes with deny)"
			    : r->action == V_ASK
				? "expected target=, default_target=, user=, notify= or autostart="
				: "expected target=, user=, notify= or autostart=");
			ok = false;
		} else if ((seen & 1u << k) != 0) {
			bad(ln, w, "the key stands here for the second time");
			ok = false;
		} else {
			ok &= set_key(ln, w, k, s + len + 1, r);
			seen |= 1u << k;
		}
	}
	return ok;
}

static const char *
keep(struct policy *p, const char *s)
{
	return s == NULL ? NULL : arena_dup(&p->mem, s, strlen(s));
}

static void
add_rule(const struct unit *u, const struct rule *r, const struct line *ln, size_t at)
{
	struct policy *p = u->l->p;
	size_t cap = p->cap_rules;
	struct crule *c;
	struct rule *n;

	if (p->nrules == RULES_MAX) {
		complain(u->l, r->file, r->line, 0, "more than %d rules", RULES_MAX);
		u->l->full = true;
		return;
	}
	p->rules = grow(p->rules, &p->cap_rules, p->nrules, sizeof(*p->rules));
	p->crules = grow(p->crules, &cap, p->nrules, sizeof(*p->crules));
	n = &p->rules[p->nrules];
	*n = *r;
	n->service = keep(p, r->service);
	n->argument = keep(p, r->argument);
	n->source = keep(p, r->source);
	n->target = keep(p, r->target);
	n->redirect = keep(p, r->redirect);
	n->default_target = keep(p, r->default_target);
	n->user = keep(p, r->user);
	c = &p->crules[p->nrules++];
	*c = (struct crule){
	    .source = token(n->source, P_SOURCE), .target = token(n->target, P_TARGET)};
	if (strcmp(n->argument, "*") != 0)
		c->argument = n->argument;
	for (size_t w = at; ln != NULL && w < ln->n; w++) {
		const char *s = ln->w[w].s;

		if (w < at + 2)
			c->col[w - at] = (uint16_t)ln->w[w].col;
		else if (strncmp(s, "target=", 7) == 0)
			c->col[2] = (uint16_t)ln->w[w].col;
		else if (strncmp(s, "default_target=", 15) == 0)
			c->col[3] = (uint16_t)ln->w[w].col;
	}
}

void
implied_deny(const struct unit *u, const char *target)
{
	struct rule r = {.file = u->file,
	    .service = u->service,
	    .argument = u->argument,
	    .source = "@anyvm",
	    .target = target,
	    .action = V_DENY,
	    .notify = true,
	    .autostart = true};

	add_rule(u, &r, NULL, 0);
}

static void
parse_rule(const struct line *ln)
{
	const struct unit *u = ln->u;
	size_t at = u->service == NULL ? 2 : 0; /* of the source */
	struct rule r = {.file = u->file, .line = ln->no, .autostart = true, .action = V_ERROR};
	const char *action;
	bool ok = true;

	if (ln->n < at + 3) {
		complain(u->l, u->file, ln->no, ln->n == 0 ? 1 : ln->w[ln->n - 1].col,
		    "%zu words, expected at least %s", ln->n,
		    at == 2 ? "5: SERVICE ARGUMENT SOURCE TARGET ACTION"
			    : "3: SOURCE TARGET ACTION");
		return;
	}
	r.service = at == 2 ? ln->w[0].s : u->service;
	r.argument = at == 2 ? ln->w[1].s : u->argument;
	if (at == 2)
		ok = check_call(ln, 0, 1);
	r.source = ln->w[at].s;
	r.target = ln->w[at + 1].s;
	action = ln->w[at + 2].s;
	ok &= check_token(ln, at, r.source, P_SOURCE,
	    "expected as source a qube's name, uuid:..., *, @anyvm, @adminvm, @tag:TAG or "
	    "@type:TYPE");
	ok &= check_token(ln, at + 1, r.target, P_TARGET,
	    "expected as target a qube's name, uuid:..., *, @anyvm, @adminvm, @default, @dispvm, "
	    "@dispvm:NAME, @dispvm:@tag:TAG, @tag:TAG or @type:TYPE");
	for (int v = V_DENY; v <= V_ASK; v++)
		if (strcmp(action, v == V_DENY ? "deny" : v == V_ALLOW ? "allow" : "ask") == 0)
			r.action = (enum verdict)v;
	if (r.action == V_ERROR) {
		bad(ln, at + 2, "expected allow, ask or deny");
		return;
	}
	r.notify = r.action == V_DENY;
	if (!parse_keys(ln, at + 3, &r) || !ok)
		return;
	if (r.action == V_ALLOW && r.redirect == NULL && strcmp(r.target, "@default") == 0)
		bad(ln, at + 1, "allow for @default must say which qube: target=NAME");
	else
		add_rule(u, &r, ln, at);
}

static void
parse_directive(const struct line *ln)
{
	static const struct {
		const char *name;
		size_t words;
		const char *usage;
	} dir[] = {
	    {"!include", 1, "expected !include PATH"},
	    {"!include-dir", 1, "expected !include-dir PATH"},
	    {"!include-service", 3, "expected !include-service SERVICE ARGUMENT PATH"},
	    {"!compat-4.0", 0, "expected !compat-4.0 alone"},
	};
	bool old = ln->u->service != NULL;
	size_t d = 0, n = old ? 1 : sizeof(dir) / sizeof(dir[0]);

	while (d < n && strcmp(ln->w[0].s, dir[d].name) != 0)
		d++;
	if (d == n)
		bad(ln, 0,
		    old ? "expected !include PATH, the only directive here"
			: "expected !include, !include-dir, !include-service or !compat-4.0");
	else if (ln->n - 1 != dir[d].words)
		bad(ln, 0, dir[d].usage);
	else if (d == 0)
		include_file(ln, &ln->w[1], ln->u->service, ln->u->argument);
	else if (d == 1)
		include_dir(ln, &ln->w[1]);
	else if (d == 3)
		include_legacy(ln);
	else if (check_call(ln, 1, 2))
		include_file(ln, &ln->w[3], ln->w[1].s, ln->w[2].s);
}

void
parse_line(const struct unit *u, unsigned no, char *text)
{
	struct line ln = {.u = u, .no = no};
	unsigned col = 1;
	uint32_t c;
	size_t k;

	while (*text != '\0' && (k = utf8_char((unsigned char *)text, strlen(text), &c)) != 0 &&
	       white(c)) {
		text += k;
		col++;
	}
	if (*text == '\0' || *text == '#')
		return;
	if (u->service != NULL)
		substitute(text);
	k = text[0] == '!';
	if (!split(&ln, text, col))
		return;
	if (k && ln.n > 0)
		parse_directive(&ln);
	else
		parse_rule(&ln);
}
