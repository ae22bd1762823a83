/* SPDX-License-Identifier: ISC */
/* Requests as bytes (spec/qrexec 6): what a peer of policyd sends, checked once, here. */
#include <string.h>

#include "names.h"
#include "policy/policyd.h"

#define EVAL_SERVICE "policy.EvalSimple+"
#define EVAL_REST_MAX 96

static const char *const decide_keys[] = {
    "source",
    "intended_target",
    "service_and_arg",
    "requested_source",
    "assume_yes_for_ask",
    "just_evaluate",
};
static const char *const redeem_keys[] = {"redeem", "use"};
static const char *const bind_keys[] = {"bind", "target"};

static const char *
yes_or_no(const struct kv *kv, const char *key, bool *to)
{
	const char *v = kv_get(kv, key);

	*to = v != NULL && strcmp(v, "yes") == 0;
	if (v != NULL && !*to && strcmp(v, "no") != 0)
		return "yes or no expected";
	return NULL;
}

static const char *
redeem_parse(struct request *rq, const struct kv *kv)
{
	const char *use = kv_get(kv, "use");

	if (!kv_only(kv, redeem_keys, sizeof(redeem_keys) / sizeof(*redeem_keys)))
		return "unknown key";
	if (use == NULL)
		return "missing key";
	rq->start = strcmp(use, "start") == 0;
	if (!rq->start && strcmp(use, "call") != 0)
		return "use is call or start";
	return NULL;
}

static const char *
bind_parse(struct request *rq, const struct kv *kv)
{
	if (!kv_only(kv, bind_keys, sizeof(bind_keys) / sizeof(*bind_keys)))
		return "unknown key";
	rq->target = kv_get(kv, "target");
	return rq->target == NULL ? "missing key" : NULL;
}

const char *
request_parse(struct request *rq, struct kv *kv, const void *untrusted, size_t n)
{
	const char *bad = kv_parse(kv, untrusted, n);

	*rq = (struct request){0};
	if (bad != NULL)
		return bad;
	rq->redeem = kv_get(kv, "redeem");
	if (rq->redeem != NULL)
		return redeem_parse(rq, kv);
	rq->bind = kv_get(kv, "bind");
	if (rq->bind != NULL)
		return bind_parse(rq, kv);
	if (!kv_only(kv, decide_keys, sizeof(decide_keys) / sizeof(*decide_keys)))
		return "unknown key";
	rq->source = kv_get(kv, "source");
	rq->target = kv_get(kv, "intended_target");
	rq->service = kv_get(kv, "service_and_arg");
	rq->requested_source = kv_get(kv, "requested_source");
	if (rq->source == NULL || rq->target == NULL || rq->service == NULL)
		return "missing key";
	if (*rq->source == '\0' || *rq->service == '\0' || *rq->service == '+')
		return "empty source or service";
	bad = yes_or_no(kv, "assume_yes_for_ask", &rq->assume_yes);
	return bad != NULL ? bad : yes_or_no(kv, "just_evaluate", &rq->just_evaluate);
}

static bool
eval_word(const char *untrusted, size_t max)
{
	size_t n = strlen(untrusted);

	for (size_t i = 0; i < n; i++) {
		if (!service_byte((unsigned char)untrusted[i]) && untrusted[i] != '@')
			return false;
	}
	return n > 0 && n <= max;
}

const char *
eval_parse(struct request *rq, char *untrusted, size_t n)
{
	char *end = memchr(untrusted, '\0', n), *source, *target;
	size_t left;

	*rq = (struct request){.just_evaluate = true, .assume_yes = true};
	if (end == NULL || strncmp(untrusted, EVAL_SERVICE, sizeof(EVAL_SERVICE) - 1) != 0)
		return "not a descriptor of policy.EvalSimple";
	rq->service = untrusted + sizeof(EVAL_SERVICE) - 1;
	untrusted[strcspn(untrusted, " ")] = '\0';
	if (*rq->service == '\0' || *rq->service == '+')
		return "no service to evaluate";
	source = end + 1;
	left = n - (size_t)(source - untrusted);
	if (left > EVAL_REST_MAX)
		return "more than 96 bytes";
	target = memchr(source, '\0', left);
	if (target != NULL)
		target++;
	if (target == NULL || strlen(target) != left - (size_t)(target - source))
		return "SOURCE, NUL, TARGET expected";
	if (!eval_word(source, NAME_LEN_MAX) || !eval_word(target, 63))
		return "not a name";
	rq->source = source;
	rq->target = target;
	return NULL;
}
