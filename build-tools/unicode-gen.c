/* SPDX-License-Identifier: ISC */
/*
 * unicode-gen UnicodeData.txt Scripts.txt: which characters beyond ASCII a copied file's name may
 * have (spec/filecopy 3), as a C table, from the distribution's Unicode data.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST 0x10ffff

enum { ASSIGNED = 1, SCRIPT = 2, BOTH = 3 };
static uint8_t ok[LAST + 1];

/* Controls, formats, marks, blanks, symbols that are pictures; private use and surrogates. */
static const char *const categories[] = {
    "Cc", "Cf", "Co", "Cs", "Mn", "Me", "Mc", "Zs", "Zl", "Zp", "Sk", "So", NULL};
/* From left to right, numbers, neutral. */
static const char *const directions[] = {
    "L", "ON", "EN", "ES", "ET", "AN", "CS", "B", "S", "WS", NULL};
static const char *const scripts[] = {"Common", "Inherited", "Latin", "Greek", "Cyrillic", "Han",
    "Hiragana", "Katakana", "Hangul", "Bopomofo", "Braille", NULL};

static bool
one_of(const char *const *words, const char *s)
{
	while (*words && strcmp(*words, s) != 0)
		words++;
	return *words != NULL;
}

static void
mark(unsigned long first, unsigned long last, uint8_t what)
{
	for (unsigned long c = first; c <= last && c <= LAST; c++)
		ok[c] |= what;
}

static FILE *
input(const char *path)
{
	FILE *f = fopen(path, "r");

	if (!f) {
		perror(path);
		exit(111);
	}
	return f;
}

/* The next field, without blanks around it; the line goes on behind the separator. */
static char *
field(char **line, const char *separators)
{
	char *s = strsep(line, separators), *end;

	if (!s)
		return NULL;
	while (*s == ' ')
		s++;
	for (end = s + strlen(s); end > s && (end[-1] == ' ' || end[-1] == '\n'); end--)
		end[-1] = '\0';
	return s;
}

/* CODE;NAME;CATEGORY;COMBINING;DIRECTION;... A large block has a line for its first and its last.
 */
static void
read_data(const char *path)
{
	FILE *f = input(path);
	unsigned long first = 0;
	char text[1024];

	while (fgets(text, sizeof text, f)) {
		char *line = text, *code = field(&line, ";"), *name = field(&line, ";");
		const char *category = field(&line, ";"), *combining = field(&line, ";"),
			   *direction = field(&line, ";");
		unsigned long c;

		if (!combining || !direction)
			continue;
		c = strtoul(code, NULL, 16);
		if (!strstr(name, ", Last>"))
			first = c;
		if (strstr(name, ", First>"))
			continue;
		if (!one_of(categories, category) && one_of(directions, direction))
			mark(first, c, ASSIGNED);
	}
	fclose(f);
}

/* FIRST[..LAST] ; SCRIPT # comment */
static void
read_scripts(const char *path)
{
	FILE *f = input(path);
	char text[1024];

	while (fgets(text, sizeof text, f)) {
		char *line = text, *codes = field(&line, ";"), *script = field(&line, "#"), *last;
		unsigned long first;

		if (*codes == '#' || !script)
			continue;
		first = strtoul(codes, &last, 16);
		if (one_of(scripts, script))
			mark(first,
			    strncmp(last, "..", 2) == 0 ? strtoul(last + 2, NULL, 16) : first,
			    SCRIPT);
	}
	fclose(f);
}

int
main(int argc, char **argv)
{
	size_t spans = 0;

	if (argc != 3) {
		fputs("usage: unicode-gen UnicodeData.txt Scripts.txt\n", stderr);
		return 100;
	}
	read_data(argv[1]);
	read_scripts(argv[2]);
	puts("static const struct span {\n\tuint32_t first, last;\n} characters[] = {");
	for (unsigned long c = 0x80; c <= LAST; c++) {
		const unsigned long first = c;

		if (ok[c] != BOTH)
			continue;
		while (c < LAST && ok[c + 1] == BOTH)
			c++;
		printf("\t{0x%lx, 0x%lx},\n", first, c);
		spans++;
	}
	puts("};");
	if (spans < 100) {
		fputs("unicode-gen: these are not Unicode's files\n", stderr);
		return 111;
	}
	return 0;
}
