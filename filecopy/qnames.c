/* SPDX-License-Identifier: ISC */
#include "filecopy/qnames.h"

#include <stdint.h>
#include <string.h>

#include "characters.h" /* made by unicode-gen: struct span { first, last } characters[] */
#include "names.h"

static bool
is_dots(const char *s, size_t n)
{
	return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

size_t
path_depth(const char *path)
{
	size_t depth = 0;

	for (const char *s = path;; s++) {
		const size_t n = strcspn(s, "/");

		if (n == 0 || is_dots(s, n))
			return 0;
		depth++;
		s += n;
		if (*s == '\0')
			return depth;
	}
}

static bool
character_ok(uint32_t c)
{
	size_t low = 0, high = sizeof characters / sizeof characters[0];

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (c > characters[mid].last)
			low = mid + 1;
		else if (c < characters[mid].first)
			high = mid;
		else
			return true;
	}
	return false;
}

bool
path_readable(const char *path)
{
	const unsigned char *s = (const unsigned char *)path;
	size_t left = strlen(path), n;
	uint32_t c;

	for (; left > 0; s += n, left -= n) {
		n = 1, c = *s;
		if (c >= 0x80)
			n = utf8_char(s, left, &c);
		if (n == 0 || !(c < 0x80 ? c >= 0x20 && c < 0x7f : character_ok(c)))
			return false;
	}
	return true;
}

bool
link_inside(const char *path, const char *target)
{
	size_t up = path_depth(path); /* 2 in front of us: the link itself, the topmost directory */
	bool down = false;

	if (up < 2 || *target == '\0' || *target == '/')
		return false;
	up -= 2;
	for (const char *s = target;; s++) {
		const size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.') {
			if (down || up-- == 0)
				return false;
		} else if (n > 0 && !is_dots(s, n))
			down = true;
		s += n;
		if (*s == '\0')
			return true;
	}
}
