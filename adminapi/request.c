/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "adminapi.h"

#define HEAD_MAX 320

static bool
arg_byte(unsigned char c)
{
	return service_byte(c) || c == '+' || c == ':' || c == '@';
}

/* The n bytes at untrusted are the word, if all of them may stand in it. */
static bool
take(char *out, size_t size, const char *untrusted, size_t n, bool (*may)(unsigned char))
{
	if (n >= size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!may((unsigned char)untrusted[i]))
			return false;
	memcpy(out, untrusted, n);
	out[n] = '\0';
	return true;
}

static bool
take_name(char out[NAME_LEN_MAX + 1], const char *untrusted, size_t n)
{
	return take(out, NAME_LEN_MAX + 1, untrusted, n, service_byte) && name_ok(out);
}

static const char *
take_method(struct request *rq, const char *untrusted, size_t n)
{
	const char *plus = memchr(untrusted, '+', n);
	const size_t len = plus != NULL ? (size_t)(plus - untrusted) : n;

	if (len == 0 || !take(rq->method, sizeof(rq->method), untrusted, len, service_byte))
		return "the method's name is empty, too long or none";
	if (plus != NULL && !take(rq->arg, sizeof(rq->arg), plus + 1, n - len - 1, arg_byte))
		return "the argument is too long, or holds a byte that may not be there";
	return NULL;
}

/* What was called: a qube by its name, or dom0 by the keyword. */
static const char *
take_dest(struct request *rq, const char *type, size_t ntype, const char *untrusted, size_t n)
{
	const bool keyword = ntype == 7 && memcmp(type, "keyword", 7) == 0;

	if (keyword && n == 7 && memcmp(untrusted, "adminvm", 7) == 0) {
		memcpy(rq->dest, "dom0", 5);
		return NULL;
	}
	if (ntype != 4 || memcmp(type, "name", 4) != 0)
		return "neither a qube nor dom0 was called";
	return take_name(rq->dest, untrusted, n) ? NULL : "not a qube's name";
}

const char *
request_parse(struct request *rq, const void *untrusted, size_t n)
{
	const char *head = untrusted, *end = memchr(head, '\0', n < HEAD_MAX ? n : HEAD_MAX);
	const char *word[4], *why;
	size_t len[4];

	memset(rq, 0, sizeof(*rq));
	if (end == NULL)
		return n < HEAD_MAX ? "the head is not whole" : "the head is too long";
	rq->payload = n - (size_t)(end - head) - 1;
	for (size_t i = 0; i < 4; i++) {
		const char *blank = i < 3 ? memchr(head, ' ', (size_t)(end - head)) : end;

		if (blank == NULL)
			return "the head needs four words";
		word[i] = head;
		len[i] = (size_t)(blank - head);
		head = blank + 1;
	}
	why = take_method(rq, word[0], len[0]);
	if (why != NULL)
		return why;
	if (!take_name(rq->source, word[1], len[1]))
		return "the source is not a qube's name";
	return take_dest(rq, word[2], len[2], word[3], len[3]);
}
