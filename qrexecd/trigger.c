/* SPDX-License-Identifier: ISC */
/* TRIGGER_SERVICE, 3 and 4: spec/qrexec 1 (layout) and 3 "Agent messages". */
#include <string.h>

#include "qrexecd.h"

static const struct layout {
	uint32_t type;
	size_t source, target, target_len, ident, service; /* offsets */
} layouts[] = {
    {MSG_TRIGGER_SERVICE, SIZE_MAX, 64, 32, 96, 0},
    {MSG_TRIGGER_SERVICE3, SIZE_MAX, 0, TARGET_LEN, 64, TRIGGER3_FIXED},
    {MSG_TRIGGER_SERVICE4, 0, 64, TARGET_LEN, 128, TRIGGER4_FIXED},
};
#define SERVICE2_LEN 64u

static const struct layout *
layout_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].type == type)
			return &layouts[i];
	return NULL;
}

/* A target or source: cut at its NUL or its end, foreign bytes become _. */
static void
copy_target(char out[TARGET_LEN], const uint8_t *untrusted, size_t field)
{
	size_t n = strnlen((const char *)untrusted, field - 1);

	memset(out, 0, TARGET_LEN);
	for (size_t i = 0; i < n; i++)
		out[i] = target_byte(untrusted[i]) ? (char)untrusted[i] : '_';
}

static bool
ident_ok(const char *untrusted)
{
	size_t n = strnlen(untrusted, IDENT_LEN), i;

	for (i = 0; i < n; i++)
		if (!service_byte((unsigned char)untrusted[i]) && untrusted[i] != ' ')
			return false;
	for (; i < IDENT_LEN; i++)
		if (untrusted[i] != '\0')
			return false;
	return n < IDENT_LEN;
}

const char *
trigger_parse(struct trigger *t, uint32_t type, const uint8_t *untrusted, size_t n)
{
	const struct layout *l = layout_of(type);
	size_t field = type == MSG_TRIGGER_SERVICE ? SERVICE2_LEN : n - l->service, len;
	const uint8_t *service = untrusted + l->service;

	memcpy(t->ident, untrusted + l->ident, IDENT_LEN);
	if (!ident_ok(t->ident))
		return "the ident has bytes that it must not have";
	t->has_source = l->source != SIZE_MAX;
	memset(t->source, 0, sizeof(t->source));
	if (t->has_source)
		copy_target(t->source, untrusted + l->source, TARGET_LEN);
	copy_target(t->target, untrusted + l->target, l->target_len);
	len = strnlen((const char *)service, field);
	if (type == MSG_TRIGGER_SERVICE && len == field)
		len--;
	else if (type != MSG_TRIGGER_SERVICE && len != field - 1)
		return "the service does not end with its only NUL";
	if (len == 0 || service[0] == '+')
		return "the service is empty";
	if (len >= sizeof(t->service))
		return "the service is too long for a control message (4096 bytes)";
	for (size_t i = 0; i < len; i++)
		t->service[i] =
		    service_byte(service[i]) || service[i] == '+' ? (char)service[i] : '_';
	t->service[len] = '\0';
	return NULL;
}
