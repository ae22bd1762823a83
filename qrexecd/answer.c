/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "policy/policysock.h"
#include "qrexecd.h"

/* A field's text; false if it is longer than the field. */
static bool
copy(char *out, size_t size, const char *val)
{
	int n = snprintf(out, size, "%s", val != NULL ? val : "");

	return n >= 0 && (size_t)n < size;
}

static bool
yes_no(const char *val, bool *out)
{
	if (val == NULL || (strcmp(val, "True") != 0 && strcmp(val, "False") != 0))
		return false;
	*out = val[0] == 'T';
	return true;
}

static const char *
parse_allow(struct answer *a, const struct kv *kv)
{
	const char *user = kv_get(kv, "user"), *target = kv_get(kv, "target");
	const char *state = kv_get(kv, "target_state"), *ticket = kv_get(kv, "ticket");
	const char *domid = kv_get(kv, "target_domid");

	if (user == NULL || target == NULL || kv_get(kv, "requested_target") == NULL ||
	    !yes_no(kv_get(kv, "autostart"), &a->autostart))
		return "an allow without user, target, requested_target or autostart";
	if (!copy(a->user, sizeof(a->user), user) || !copy(a->target, sizeof(a->target), target) ||
	    !copy(a->target_uuid, sizeof(a->target_uuid), kv_get(kv, "target_uuid")) ||
	    !copy(
		a->requested_target, sizeof(a->requested_target), kv_get(kv, "requested_target")) ||
	    !copy(a->policy_source, sizeof(a->policy_source), kv_get(kv, "policy_source")) ||
	    !copy(a->service, sizeof(a->service), kv_get(kv, "service")))
		return "a value is too long";
	if (ticket != NULL && hexid_ok(ticket))
		copy(a->ticket, sizeof(a->ticket), ticket);
	if (domid != NULL && !parse_u32(domid, UINT32_MAX, &a->target_domid))
		return "target_domid is no number";
	a->running = state == NULL || strcmp(state, "Running") == 0;
	a->allow = true;
	return NULL;
}

const char *
answer_parse(struct answer *a, struct kv *kv, const void *untrusted, size_t n)
{
	static const char *const only_allow[] = {"user", "target", "requested_target", "autostart"};
	const char *why, *result;

	memset(a, 0, offsetof(struct answer, service) + 1);
	if (n > POLICY_ANSWER_MAX)
		return "longer than 4095 bytes";
	why = kv_parse(kv, untrusted, n);
	if (why != NULL)
		return why;
	result = kv_get(kv, "result");
	if (result == NULL)
		return "no result";
	if (strcmp(result, "allow") == 0)
		return parse_allow(a, kv);
	if (strcmp(result, "deny") != 0)
		return "an unknown result";
	for (size_t i = 0; i < sizeof(only_allow) / sizeof(only_allow[0]); i++)
		if (kv_get(kv, only_allow[i]) != NULL)
			return "a deny that has more to say";
	return NULL;
}

size_t
route_command(char *out, size_t size, const char *user, const char *service, const char *source)
{
	int n = snprintf(out, size, "%s%sQUBESRPC %s%s %s", user, user[0] != '\0' ? ":" : "",
	    service, strchr(service, '+') != NULL ? "" : "+", source);

	return n > 0 && (size_t)n < size ? (size_t)n + 1 : 0;
}
