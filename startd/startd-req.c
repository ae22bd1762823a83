/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "ids.h"
#include "startd-req.h"

#define DISP "@dispvm:"

enum need { NEED_PERSON, NEED_MANAGER, NEED_OWN, NEED_ROOT };

static const struct {
	const char *word;
	enum start_op op;
	enum need need;
} ops[] = {
    {"start", OP_START, NEED_MANAGER},
    {"shutdown", OP_SHUTDOWN, NEED_MANAGER},
    {"kill", OP_KILL, NEED_MANAGER},
    {"pause", OP_PAUSE, NEED_MANAGER},
    {"unpause", OP_UNPAUSE, NEED_MANAGER},
    {"dispose", OP_DISPOSE, NEED_OWN},
    {"store", OP_STORE, NEED_ROOT},
    {"up", OP_UP, NEED_ROOT},
    {"down", OP_DOWN, NEED_ROOT},
};

static const char *
optional(const struct kv *kv, struct start_request *r)
{
	const char *timeout = kv_get(kv, "timeout"), *force = kv_get(kv, "force"),
		   *order = kv_get(kv, "order");
	const char *code = kv_get(kv, "code"), *reason = kv_get(kv, "reason");
	uint32_t n;

	r->timeout_s = -1;
	if (timeout && (r->op != OP_SHUTDOWN || !parse_u32(timeout, 86400, &n)))
		return "bad timeout";
	if (timeout)
		r->timeout_s = (int)n;
	if (force && (r->op != OP_SHUTDOWN || strcmp(force, "yes") != 0))
		return "bad force";
	r->force = force != NULL;
	if (order && (r->op != OP_SHUTDOWN || strcmp(order, "yes") != 0))
		return "bad order";
	r->ordered = order != NULL;
	if ((code || reason) && r->op != OP_DOWN)
		return "code, reason: only for op=down";
	if (code && !parse_u32(code, 255, &n))
		return "bad code";
	r->code = code ? (int)n : 0;
	snprintf(r->reason, sizeof r->reason, "%s", reason ? reason : "");
	return NULL;
}

const char *
request_parse(const struct kv *kv, struct start_request *r)
{
	static const char *const keys[] = {
	    "op", "name", "ticket", "disp", "timeout", "force", "order", "code", "reason"};
	const char *op = kv_get(kv, "op"), *name = kv_get(kv, "name"),
		   *ticket = kv_get(kv, "ticket"), *disp = kv_get(kv, "disp");
	size_t i = 0;

	memset(r, 0, sizeof *r);
	if (!kv_only(kv, keys, sizeof keys / sizeof *keys))
		return "unknown key";
	if (!op || (name != NULL) + (ticket != NULL) + (disp != NULL) != 1)
		return "op and one of name, ticket, disp are needed";
	while (i < sizeof ops / sizeof *ops && strcmp(op, ops[i].word) != 0)
		i++;
	if (i == sizeof ops / sizeof *ops)
		return "unknown op";
	r->op = ops[i].op;
	if (ticket && (r->op != OP_START || !hexid_ok(ticket)))
		return "bad ticket";
	if (disp && r->op != OP_START)
		return "disp: only for op=start";
	r->disp = disp != NULL;
	if (disp)
		name = disp;
	if (name && (!name_ok(name) || is_dom0(name)))
		return "bad name";
	snprintf(r->name, sizeof r->name, "%s", name ? name : "");
	snprintf(r->ticket, sizeof r->ticket, "%s", ticket ? ticket : "");
	return optional(kv, r);
}

const char *
request_allowed(
    const struct start_request *r, uid_t uid, bool person, uint32_t (*qid_of)(const char *))
{
	enum need need = NEED_ROOT;

	if (r->ticket[0])
		return person || uid_qid(uid, PROG_QREXECD) > 0 ? NULL : "not a qrexecd";
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (ops[i].op == r->op)
			need = r->disp ? NEED_PERSON : ops[i].need;
	if (need == NEED_ROOT)
		return uid == 0 ? NULL : "only for root";
	if (need == NEED_OWN && uid_qid(uid, PROG_QREXECD) > 0)
		return uid_qid(uid, PROG_QREXECD) == qid_of(r->name) ? NULL
								     : "only for its own qrexecd";
	if (need == NEED_MANAGER && uid == prog_uid(0, PROG_ADMINAPI))
		return NULL;
	return person ? NULL : "only for root and group qubes";
}

const char *
ticket_answer(const struct kv *kv, int64_t qid, uint32_t (*qid_of)(const char *),
    const char **target, bool *disp)
{
	const char *result = kv_get(kv, "result"), *source = kv_get(kv, "source");

	*target = kv_get(kv, "target");
	if (!result || strcmp(result, "ok") != 0)
		return "the ticket is not valid";
	*disp = *target && strncmp(*target, DISP, strlen(DISP)) == 0;
	if (*disp)
		*target += strlen(DISP);
	if (!source || !*target || !name_ok(*target) || is_dom0(*target))
		return "the ticket names no qube";
	if (qid >= 0 && (is_dom0(source) ? 0 : (int64_t)qid_of(source)) != qid)
		return "the ticket belongs to another qube";
	return NULL;
}
