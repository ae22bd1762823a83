/* SPDX-License-Identifier: ISC */
/* feature.NAME = VALUE: what is kept for a qube without being a property of it. Those that become
 * keys of its QubesDB are checked for that (spec/qubesdb 8). */
#include <ctype.h>
#include <string.h>

#include "vmconf-keys.h"

static int
alnum_(int c)
{
	return isalnum(c) || c == '_';
}

static const struct {
	const char *prefix;
	size_t most; /* of what follows it */
	int (*first)(int c);
	bool yes_or_no;
} kinds[] = {
    {"service.", 48, alnum_, true},
    {"vm-config.", 52, isalpha, false},
    {"custom-persist.", 54, isgraph, false},
};

static const char *
checked(const char *name, const char *val)
{
	static const char *const no[] = {"", "false", "False", "0", "no", NULL};

	if (*name == '\0' || strlen(name) > VM_FEATURE_LEN)
		return "its name is empty, or longer than 63";
	for (const char *p = name; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return "its name may hold A-Z a-z 0-9 _ . - only";
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const size_t n = strlen(kinds[i].prefix);

		if (strncmp(name, kinds[i].prefix, n) != 0)
			continue;
		if (strlen(name + n) > kinds[i].most || !kinds[i].first((unsigned char)name[n]))
			return "no name that a qube could take";
		if (kinds[i].yes_or_no && !vmconf_true(val) && !one_of(no, val))
			return "not true or false";
	}
	return NULL;
}

/* "NAME=VALUE" of that name, or the empty string behind the last one. */
static const char *
at(const char *all, const char *name)
{
	const size_t n = strlen(name);

	while (*all != '\0' && (n != strcspn(all, "=") || strncmp(all, name, n) != 0))
		all += strlen(all) + 1;
	return all;
}

static size_t
used(const char *all)
{
	const char *p = all;

	while (*p != '\0')
		p += strlen(p) + 1;
	return (size_t)(p - all);
}

const char *
feature_find(const char *all, const char *name)
{
	const char *p = at(all, name);

	return *p != '\0' ? p + strlen(name) + 1 : NULL;
}

const char *
feature_set(char all[VM_FEATURES], const char *name, const char *val)
{
	const size_t n = strlen(name), len = strlen(val), rest = n + len + 2;
	const char *why = checked(name, val);
	char *p = all + (at(all, name) - all);
	const size_t old = *p != '\0' ? strlen(p) + 1 : 0;
	size_t all_len = used(all);

	if (why != NULL)
		return why;
	if (all_len - old + rest >= VM_FEATURES)
		return "all features together are longer than 1024";
	memmove(p, p + old, all_len - (size_t)(p - all) - old);
	all_len -= old;
	p = all + all_len;
	memcpy(p, name, n);
	p[n] = '=';
	memcpy(p + n + 1, val, len + 1);
	p[rest] = '\0';
	return NULL;
}

const char *
vmconf_feature(const struct vmconf *c, const char *name)
{
	return feature_find(c->features, name);
}

const char *
vmconf_feature_next(const struct vmconf *c, const char *before)
{
	const char *p = before != NULL ? before + strlen(before) + 1 : c->features;

	return *p != '\0' ? p : NULL;
}
