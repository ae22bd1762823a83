/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "term-filter.h"

#define STRING_MAX                                                                                 \
	4096 /* longer ones are taken for text again: a guest cannot silence its console */
#define ESC 0x1b

static size_t
text(struct term_filter *t, unsigned char c, char *out)
{
	if (c == ESC) {
		t->state = TF_ESC;
		return 0;
	}
	if (c >= 0x7f) {
		*out = '?';
		return c > 0x7f;
	}
	*out = (char)c;
	return c >= 0x20 || strchr("\n\r\t\b", c) != NULL;
}

/* After the escape byte: what kind of sequence this is. */
static void
kind(struct term_filter *t, unsigned char c)
{
	t->len = 0;
	t->skipped = 0;
	if (c == '[') {
		t->state = TF_CSI;
		t->seq[t->len++] = ESC;
		t->seq[t->len++] = '[';
	} else if (strchr("]P^_X", c)) {
		t->state = TF_STRING;
	} else if (c >= 0x20 && c < 0x30) {
		t->state = TF_ONE_MORE; /* a choice of a character set */
	} else if (c != ESC) {
		t->state = TF_TEXT;
	}
}

static size_t
csi(struct term_filter *t, unsigned char c, char *out)
{
	size_t n = 0;

	if (c < 0x20 || c > 0x7e) { /* a terminal would act on it in the middle */
		t->state = c == ESC ? TF_ESC : TF_TEXT;
		return 0;
	}
	if (t->len < TERM_SEQ)
		t->seq[t->len] = (char)c;
	t->len++;
	if (c >= 0x40) {
		t->state = TF_TEXT;
		for (size_t i = 2; i + 1 < t->len && i < TERM_SEQ; i++)
			if (!strchr("0123456789;", t->seq[i]))
				return 0;
		if (t->len <= TERM_SEQ && strchr("mABCDEFGHJKdf", c)) {
			memcpy(out, t->seq, t->len);
			n = t->len;
		}
	} else if (t->len > STRING_MAX) {
		t->state = TF_TEXT;
	}
	return n;
}

static void
string(struct term_filter *t, unsigned char c)
{
	if (c == 7 || (t->state == TF_STRING_ESC && c == '\\') || ++t->skipped > STRING_MAX)
		t->state = TF_TEXT;
	else
		t->state = c == ESC ? TF_STRING_ESC : TF_STRING;
}

size_t
term_filter(struct term_filter *t, const void *untrusted, size_t n, char *out)
{
	const unsigned char *p = untrusted;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (t->state == TF_TEXT)
			len += text(t, p[i], out + len);
		else if (t->state == TF_ESC)
			kind(t, p[i] ? p[i] : 1);
		else if (t->state == TF_CSI)
			len += csi(t, p[i], out + len);
		else if (t->state == TF_ONE_MORE)
			t->state = TF_TEXT;
		else
			string(t, p[i]);
	}
	return len;
}
