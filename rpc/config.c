/* SPDX-License-Identifier: ISC */
/* /etc/qubes/rpc-config/SERVICE: a few lines of TOML's simplest form (spec/qrexec 7). */
#include <string.h>

#include "log.h"
#include "service.h"

#define KEYS_MAX 64

enum kind { BOOL, INTEGER, STRING };

struct value {
	enum kind kind;
	long number;
	const char *str;
	size_t len;
};

struct span {
	const char *p;
	size_t n;
};

struct parser {
	struct svc_config *c;
	struct span keys[KEYS_MAX];
	size_t nkeys;
};

static bool
letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
key_byte(char c)
{
	return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t
blanks(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && (p[n] == ' ' || p[n] == '\t'))
		n++;
	return n;
}

static bool
span_is(const char *p, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(p, word, n) == 0;
}

static bool
integer(struct value *v, const char *p, size_t n)
{
	if (n == 0 || n > 9 || (p[0] == '0' && n > 1))
		return false;
	v->kind = INTEGER;
	v->number = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v->number = v->number * 10 + (p[i] - '0');
	}
	return true;
}

static const char *
quoted(struct value *v, const char *p, const char *end, size_t *used)
{
	const char *close = memchr(p + 1, '\'', (size_t)(end - p) - 1);

	if (close == NULL)
		return "no closing quote";
	for (const char *q = p + 1; q < close; q++)
		if (((unsigned char)*q < 0x20 && *q != '\t') || *q == 0x7f)
			return "control character in a string";
	*v = (struct value){.kind = STRING, .str = p + 1, .len = (size_t)(close - p) - 1};
	*used = (size_t)(close - p) + 1;
	return NULL;
}

static const char *
word(struct value *v, const char *p, const char *end, size_t *used)
{
	size_t n = 0;

	while (p + n < end && key_byte(p[n]))
		n++;
	*used = n;
	if (span_is(p, n, "true") || span_is(p, n, "false")) {
		*v = (struct value){.kind = BOOL, .number = p[0] == 't'};
		return NULL;
	}
	return integer(v, p, n) ? NULL : "neither true, false, a number nor a 'string'";
}

static const char *
set_user(struct svc_config *c, const struct value *v)
{
	if (v->kind != STRING)
		return "force-user needs a 'string'";
	if (v->len == 0 || v->len >= sizeof c->force_user)
		return "force-user is empty or too long";
	memcpy(c->force_user, v->str, v->len);
	c->force_user[v->len] = '\0';
	return NULL;
}

static const char *
set_wait(struct svc_config *c, const struct value *v)
{
	if (v->kind == STRING || v->number > 1)
		return "wait-for-session needs true or false";
	c->wait_for_session = v->number == 1;
	return NULL;
}

static const char *
set_number(uint32_t *to, const struct value *v)
{
	if (v->kind != INTEGER)
		return "a key that needs a number has something else";
	*to = (uint32_t)v->number;
	return NULL;
}

static const char *
assign(struct svc_config *c, const struct span *key, const struct value *v)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
	    {"skip-service-descriptor", &c->skip_service_descriptor},
	    {"exit-on-client-eof", &c->exit_on_client_eof},
	    {"exit-on-service-eof", &c->exit_on_service_eof},
	    {"refuse-existing-directories", &c->no_merge},
	};
	const struct {
		const char *name;
		uint32_t *number;
	} numbers[] = {
	    {"max-megabytes", &c->max_megabytes},
	    {"max-files", &c->max_files},
	    {"max-depth", &c->max_depth},
	};
	char esc[64];

	if (span_is(key->p, key->n, "force-user"))
		return set_user(c, v);
	if (span_is(key->p, key->n, "wait-for-session"))
		return set_wait(c, v);
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		if (!span_is(key->p, key->n, flags[i].name))
			continue;
		if (v->kind != BOOL)
			return "a key that needs true or false has something else";
		*flags[i].flag = v->number == 1;
		return NULL;
	}
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (span_is(key->p, key->n, numbers[i].name))
			return set_number(numbers[i].number, v);
	logit("rpc-config: unknown key %s is ignored", log_esc(esc, sizeof esc, key->p, key->n));
	return NULL;
}

static const char *
remember(struct parser *ps, const char *p, size_t n)
{
	for (size_t i = 0; i < ps->nkeys; i++)
		if (ps->keys[i].n == n && memcmp(ps->keys[i].p, p, n) == 0)
			return "duplicate key";
	if (ps->nkeys == KEYS_MAX)
		return "too many keys";
	ps->keys[ps->nkeys++] = (struct span){p, n};
	return NULL;
}

/* p..end is one line without its end. */
static const char *
parse_line(struct parser *ps, const char *p, const char *end)
{
	struct span key = {p, 0};
	struct value v = {0};
	const char *why;
	size_t used;

	if (p + blanks(p, end) == end || *p == '#')
		return NULL;
	if (!letter(*p))
		return "a line must begin with a key";
	while (p < end && key_byte(*p))
		p++;
	key.n = (size_t)(p - key.p);
	p += blanks(p, end);
	if (p == end || *p != '=')
		return "no = after the key";
	p++;
	p += blanks(p, end);
	if (p == end)
		return "no value";
	why = *p == '\'' ? quoted(&v, p, end, &used) : word(&v, p, end, &used);
	if (why != NULL)
		return why;
	p += used;
	p += blanks(p, end);
	if (p != end && *p != '#')
		return "something after the value";
	why = remember(ps, key.p, key.n);
	return why != NULL ? why : assign(ps->c, &key, &v);
}

const char *
svc_config_parse(struct svc_config *c, const char *untrusted, size_t n, unsigned *line)
{
	struct parser ps = {.c = c};
	const char *p = untrusted, *end = untrusted + n, *nl, *stop, *why;

	memset(c, 0, sizeof *c);
	*line = 0;
	if (n > 0 && memchr(p, '\0', n) != NULL)
		return "NUL byte";
	while (p < end) {
		(*line)++;
		nl = memchr(p, '\n', (size_t)(end - p));
		stop = nl != NULL ? nl : end;
		if (nl != NULL && stop > p && stop[-1] == '\r')
			stop--;
		why = parse_line(&ps, p, stop);
		if (why != NULL)
			return why;
		p = nl != NULL ? nl + 1 : end;
	}
	*line = 0;
	if (c->force_user[0] != '\0' &&
	    (c->skip_service_descriptor || c->exit_on_client_eof || c->exit_on_service_eof))
		return "force-user cannot be used with options of sockets";
	return NULL;
}
