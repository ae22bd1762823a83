/* SPDX-License-Identifier: ISC */
/* What needs no X server. */
#include <string.h>

#include "ga.h"
#include "names.h"

/* COMPOUND_TEXT: ESC, some of 0x20 to 0x2f, an end. The sets that are known here are ASCII and
 * Latin-1, and UTF-8 between ESC % G and ESC % @. */
struct sets {
	bool utf8, low, high; /* low, high: bytes of the lower and of the upper half are known */
};

static size_t
escape(const uint8_t *p, size_t n, struct sets *s)
{
	size_t i = 1;

	while (i < n && p[i] >= 0x20 && p[i] < 0x30)
		i++;
	if (i == n)
		return n;
	if (p[1] == '%')
		s->utf8 = p[i] == 'G';
	else if (p[i - 1] == '-' || p[i - 1] == ')')
		s->high = i == 2 && p[i] == 'A';
	else
		s->low = i == 2 && (p[i] == 'B' || p[i] == 'J');
	return i + 1;
}

/* Up to its end or a NUL. What is not known is '_', as is what is not UTF-8. */
void
text_title(char out[128], const void *text, size_t n, enum text kind)
{
	const uint8_t *p = text, *end = p + strnlen(text, n);
	struct sets s = {kind == TEXT_UTF8, true, true};
	size_t len = 0, bytes;
	uint32_t c;

	memset(out, 0, 128);
	for (; p < end; p += bytes) {
		char to[4] = {(char)*p};
		size_t put = 1;

		if (kind == TEXT_COMPOUND && *p == 0x1b) {
			bytes = escape(p, (size_t)(end - p), &s);
			continue;
		}
		bytes = s.utf8 ? utf8_char(p, (size_t)(end - p), &c) : 1;
		if (bytes == 0 || !(s.utf8 || (*p < 0x80 ? s.low : s.high))) {
			to[0] = '_';
			bytes = 1;
		} else if (s.utf8) {
			memcpy(to, p, put = bytes);
		} else if (*p >= 0x80) {
			to[0] = (char)(0xc0 | *p >> 6);
			to[1] = (char)(0x80 | (*p & 0x3f));
			put = 2;
		}
		if (len + put >= 128)
			return;
		memcpy(out + len, to, put);
		len += put;
	}
}

/* As X's cursor font has them, and themes call them. */
static const struct {
	const char *name;
	uint32_t glyph;
} glyphs[] = {
#include "cursors.inc"
};

uint32_t
input_glyph(const char *name)
{
	for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
		if (strcmp(name, glyphs[i].name) == 0)
			return GUI_CURSOR_FONT + glyphs[i].glyph;
	return 0;
}
