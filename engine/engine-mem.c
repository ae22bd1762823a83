/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine-int.h"
#include "log.h"

#define CHUNK_FIRST 1024
#define CHUNK_MOST ((size_t)256 * 1024)

struct chunk {
	struct chunk *next;
	max_align_t data[];
};

void *
arena_get(struct arena *a, size_t n)
{
	const size_t unit = sizeof(max_align_t);
	struct chunk *c;
	size_t size;

	n = (n + unit - 1) / unit * unit;
	if (a->left < n) {
		if (a->next < CHUNK_MOST)
			a->next = a->next == 0 ? CHUNK_FIRST : a->next * 2;
		size = n > a->next ? n : a->next;
		c = calloc(1, sizeof(*c) + size);
		if (c == NULL)
			die("policy");
		c->next = a->head;
		a->head = c;
		a->left = size;
		/* The chunk is used from its end: no second pointer to keep. */
	}
	a->left -= n;
	return (char *)a->head->data + a->left;
}

char *
arena_dup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_get(a, n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	char *s = NULL, *p;
	int n = vasprintf(&s, fmt, ap);

	if (n < 0)
		die("policy");
	p = arena_dup(a, s, (size_t)n);
	free(s);
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

void
arena_free(struct arena *a)
{
	struct chunk *c;

	while ((c = a->head) != NULL) {
		a->head = c->next;
		free(c);
	}
	a->left = a->next = 0;
}

void *
grow(void *v, size_t *cap, size_t n, size_t item)
{
	if (n < *cap)
		return v;
	*cap = *cap == 0 ? 16 : *cap * 2;
	v = reallocarray(v, *cap, item);
	if (v == NULL)
		die("policy");
	return v;
}

uint32_t
str_hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}
