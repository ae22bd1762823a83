/* SPDX-License-Identifier: ISC */
/* What peers send to policyd: a request, a ticket, policy.EvalSimple. */
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "policy/policyd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct kv kv;
	struct request rq;
	char *text;

	if (request_parse(&rq, &kv, p, n) == NULL && rq.redeem == NULL &&
	    (*rq.source == '\0' || *rq.service == '\0' || *rq.service == '+' || rq.target == NULL))
		abort();
	text = malloc(n + 1);
	if (text == NULL)
		return 0;
	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\0';
	if (eval_parse(&rq, text, n) == NULL &&
	    (strlen(rq.source) > NAME_LEN_MAX || strlen(rq.target) > 63 || *rq.service == '\0' ||
		*rq.service == '+' || !rq.just_evaluate))
		abort();
	free(text);
	return 0;
}
