/* SPDX-License-Identifier: ISC */
/* What may be a name: checked once at the edge, then plain. */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN_MAX 31 /* a qube's name, without the NUL (spec/vm 5) */
#define UUID_LEN 36

/* [A-Za-z][A-Za-z0-9_.-]*, at most 31, not Domain-0, none, default, not *-dm. dom0 passes. */
bool name_ok(const char *s);
bool name_ok_n(const char *s, size_t n);
bool uuid_ok(const char *s); /* 36 characters, lower or upper hex, dashes in place */
bool is_dom0(const char *s); /* dom0, @adminvm, uuid:000... (spec/policy 3) */

bool one_of(const char *const *words, const char *s); /* words: NULL-terminated */

/* Decimal, no sign, no leading blank, whole string; false if over max. */
bool parse_u32(const char *s, uint32_t max, uint32_t *out);
bool parse_u64(const char *s, uint64_t max, uint64_t *out);

/* Length of the UTF-8 character at s and *c, or 0: there is none (RFC 3629). */
size_t utf8_char(const unsigned char *s, size_t n, uint32_t *c);
bool service_byte(unsigned char c); /* [A-Za-z0-9_.-] */
bool target_byte(unsigned char c);  /* service_byte, @ and : */

/* "32 lower-case hex digits": sessions and tickets. */
#define HEXID_LEN 32
bool hexid_ok(const char *s);
void hexid_new(char out[HEXID_LEN + 1]);	/* from getrandom(2); exits 111 if there is none */
bool hexid_equal(const char *a, const char *b); /* constant time */

#endif
