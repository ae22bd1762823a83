/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "names.h"

static bool
alpha(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool
lower_hex(unsigned char c)
{
	return digit(c) || (c >= 'a' && c <= 'f');
}

bool
service_byte(unsigned char c)
{
	return alpha(c) || digit(c) || c == '_' || c == '.' || c == '-';
}

bool
target_byte(unsigned char c)
{
	return service_byte(c) || c == '@' || c == ':';
}

bool
name_ok_n(const char *s, size_t n)
{
	static const char *const reserved[] = {"Domain-0", "none", "default"};

	if (n == 0 || n > NAME_LEN_MAX || !alpha((unsigned char)s[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!service_byte((unsigned char)s[i]))
			return false;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (n == strlen(reserved[i]) && memcmp(s, reserved[i], n) == 0)
			return false;
	return n < 3 || memcmp(s + n - 3, "-dm", 3) != 0;
}

bool
name_ok(const char *s)
{
	return name_ok_n(s, strnlen(s, NAME_LEN_MAX + 1));
}

bool
one_of(const char *const *words, const char *s)
{
	while (*words != NULL && strcmp(*words, s) != 0)
		words++;
	return *words != NULL;
}

bool
uuid_ok(const char *s)
{
	if (strnlen(s, UUID_LEN + 1) != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		unsigned char c = (unsigned char)s[i];

		if (dash ? c != '-' : !lower_hex(c) && !(c >= 'A' && c <= 'F'))
			return false;
	}
	return true;
}

bool
is_dom0(const char *s)
{
	return strcmp(s, "dom0") == 0 || strcmp(s, "@adminvm") == 0 ||
	       strcmp(s, "uuid:00000000-0000-0000-0000-000000000000") == 0;
}

bool
parse_u64(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0, d;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		if (!digit((unsigned char)*s))
			return false;
		d = (uint64_t)(*s - '0');
		if (d > max || v > (max - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return true;
}

bool
parse_u32(const char *s, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!parse_u64(s, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

bool
hexid_ok(const char *s)
{
	for (size_t i = 0; i < HEXID_LEN; i++)
		if (!lower_hex((unsigned char)s[i]))
			return false;
	return s[HEXID_LEN] == '\0';
}

void
hexid_new(char out[HEXID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char r[HEXID_LEN / 2];
	ssize_t n;

	do
		n = getrandom(r, sizeof(r), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(r))
		die("getrandom");
	for (size_t i = 0; i < sizeof(r); i++) {
		out[2 * i] = hex[r[i] >> 4];
		out[2 * i + 1] = hex[r[i] & 15];
	}
	out[HEXID_LEN] = '\0';
}

bool
hexid_equal(const char *a, const char *b)
{
	unsigned diff = 0;

	if (!hexid_ok(a) || !hexid_ok(b))
		return false;
	for (size_t i = 0; i < HEXID_LEN; i++)
		diff |= (unsigned)(a[i] ^ b[i]);
	return diff == 0;
}

size_t
utf8_char(const unsigned char *s, size_t n, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	*c = len > 1 ? s[0] & (0x7fu >> len) : s[0];
	if (len > 1 && (s[0] < 0xc2 || s[0] > 0xf4 || len > n))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (s[i] & 0x3fu);
	}
	return *c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff) ? 0 : len;
}
