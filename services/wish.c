/* SPDX-License-Identifier: ISC */
/* What may be wished for, and what qubes say when they do (spec/vm 7). */
#include <string.h>

#include "names.h"
#include "wish.h"

const struct wish_kind wish_features[] = {
    {"qrexec", WISH_FLAG | WISH_ONCE},
    {"gui", WISH_FLAG | WISH_ONCE},
    {"gui-emulated", WISH_FLAG | WISH_ONCE},
    {"qubes-firewall", WISH_FLAG | WISH_ONCE},
    {"vmexec", WISH_FLAG},
    {"qubes-agent-version", 0},
    {"os-", WISH_PREFIX},
    {"boot-mode.", WISH_PREFIX},
    {"supported-service.", WISH_PREFIX | WISH_FLAG | WISH_ALL},
    {NULL, 0},
};

const struct wish_kind wish_updates[] = {{"updates-available", WISH_FLAG}, {NULL, 0}};

static bool
value_ok(const char *untrusted)
{
	const size_t n = strlen(untrusted);

	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)untrusted[i]) &&
		    strchr(",= ", untrusted[i]) == NULL)
			return false;
	return n <= WISH_VALUE_LEN && (n == 0 || (untrusted[0] != ' ' && untrusted[n - 1] != ' '));
}

static bool
name_of(const struct wish_kind *k, const char *untrusted)
{
	const size_t n = strlen(k->name);

	if (!(k->flags & WISH_PREFIX))
		return strcmp(untrusted, k->name) == 0;
	return strncmp(untrusted, k->name, n) == 0 && untrusted[n] != '\0' &&
	       strlen(untrusted) <= VM_FEATURE_LEN;
}

const struct wish_kind *
wish_kind(const struct wish_kind *kinds, const char *untrusted_name, const char *untrusted_value)
{
	static const char *const flags[] = {"0", "1", NULL};

	for (const char *p = untrusted_name; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return NULL;
	for (const struct wish_kind *k = kinds; k->name != NULL; k++)
		if (name_of(k, untrusted_name))
			return (k->flags & WISH_FLAG ? one_of(flags, untrusted_value)
						     : value_ok(untrusted_value))
				   ? k
				   : NULL;
	return NULL;
}

bool
wish_put(struct buf *out, const char *name, const char *value)
{
	return buf_printf(out, "%s=%s\n", name, value);
}

static bool
known(const char *untrusted_name)
{
	for (const struct wish_kind *k = wish_features; k->name != NULL; k++)
		if (name_of(k, untrusted_name))
			return true;
	return false;
}

const char *
wish_from_request(struct buf *out, const char *untrusted_key, const char *untrusted_value)
{
	if (!known(untrusted_key))
		return NULL;
	if (wish_kind(wish_features, untrusted_key, untrusted_value) == NULL)
		return "a feature's name or value holds what it may not, or is too long";
	return wish_put(out, untrusted_key, untrusted_value) ? NULL : "more than 8192 bytes";
}

static bool
digits(const char *untrusted, size_t most)
{
	const size_t n = strspn(untrusted, "0123456789");

	return n > 0 && n <= most && untrusted[n] == '\0';
}

/* An agent that says nothing of itself is none. */
const char *
wish_from_tools(struct buf *out, const char *untrusted_version, const char *untrusted_qrexec,
    const char *untrusted_gui)
{
	static const char *const names[] = {"qrexec", "gui"};
	const char *untrusted[] = {untrusted_qrexec, untrusted_gui};

	if (untrusted_version == NULL)
		return NULL;
	if (!digits(untrusted_version, 9))
		return "the version of the tools is no number";
	for (size_t i = 0; i < 2; i++) {
		if (untrusted[i] == NULL)
			continue;
		if (wish_kind(wish_features, names[i], untrusted[i]) == NULL)
			return "qrexec or gui is neither 0 nor 1";
		if (!wish_put(out, names[i], untrusted[i]))
			return "no memory";
	}
	return NULL;
}

const char *
wish_from_count(struct buf *out, const void *untrusted, size_t n)
{
	static const char blanks[] = " \t\r\n";
	const char *p = untrusted;
	char text[10];

	while (n > 0 && p[n - 1] != '\0' && strchr(blanks, p[n - 1]) != NULL)
		n--;
	if (n == 0 || n >= sizeof(text))
		return "not a number of one to nine digits";
	memcpy(text, p, n);
	text[n] = '\0';
	if (strlen(text) != n || !digits(text, 9))
		return "not a number of one to nine digits";
	return wish_put(out, "updates-available", strspn(text, "0") == n ? "0" : "1") ? NULL
										      : "no memory";
}
