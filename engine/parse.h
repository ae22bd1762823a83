/* SPDX-License-Identifier: ISC */
/* Between parse-line.c (one line) and parse.c (files, directories, includes). */
#ifndef PARSE_H
#define PARSE_H

#include "engine-int.h"

#define LINE_MAX_BYTES 8192
#define LINE_WORDS 24
#define INCLUDE_DEPTH 16
#define FILES_MAX 8192	      /* opened for one load, each inclusion counts */
#define BYTES_MAX (32u << 20) /* read for one load */
#define RULES_MAX 500000
#define ERRORS_MAX 200 /* kept */

struct loader {
	struct policy *p;
	const char *legacy; /* directory, for !compat-4.0 */
	size_t files, bytes;
	bool full; /* over a limit: said once, nothing more is read */
};

/* A file being read. */
struct unit {
	struct loader *l;
	const struct unit *up; /* who includes it */
	const char *file;
	const char *base;    /* relative paths start here */
	const char *service; /* old syntax: of all its rules; NULL: new syntax */
	const char *argument;
	unsigned depth;
	uint64_t dev, ino;
};

struct word {
	char *s;
	unsigned col;
};

struct line {
	const struct unit *u;
	unsigned no;
	struct word w[LINE_WORDS];
	size_t n;
};

void complain(struct loader *l, const char *file, unsigned line, unsigned col, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* text is one line, NUL-terminated and without NULs; it is cut into words in place. */
void parse_line(const struct unit *u, unsigned no, char *text);
/* A rule that no line holds (the denials behind a legacy SERVICE+ARG file). */
void implied_deny(const struct unit *u, const char *target);
/* Byte of the first thing that is no UTF-8, or n. */
size_t utf8_bad(const char *s, size_t n);

bool service_word_ok(const char *s);
bool argument_word_ok(const char *s);
bool call_bytes(const char *s); /* what SERVICE+ARG is made of, and nothing else */

/* What directives do; w is the path, for messages. */
void include_file(
    const struct line *ln, const struct word *w, const char *service, const char *argument);
void include_dir(const struct line *ln, const struct word *w);
void include_legacy(const struct line *ln);

#endif
