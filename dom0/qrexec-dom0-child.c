/* SPDX-License-Identifier: ISC */
/*
 * One call to Dom0: request, ticket, service, channel; then the sandbox, then the bytes of the
 * qube. Until the sandbox it is root and has read nothing but a qrexecd's request of fixed form and
 * policyd's answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "chan.h"
#include "ids.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "policy/policysock.h"
#include "pump.filter.h"
#include "qrexec-dom0.filter.h"
#include "qrexec-dom0.h"
#include "qrexecd/peer.h"
#include "qrexecd/qrexec.h"
#include "rpc/pump.h"
#include "sandbox.h"
#include "sock.h"
#include "state.h"

#define REQUEST_MS 5000
#define POLICY_MS 5000

struct request {
	char ticket[HEXID_LEN + 1];
	uint32_t port;
};

static bool
answer(int peer, const char *text)
{
	return send(peer, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static _Noreturn void
refused(int peer, const char *reason)
{
	char line[128];

	snprintf(line, sizeof(line), "result=refused\nreason=%s\n\n", reason);
	logit("call refused: %s", reason);
	answer(peer, line);
	_exit(DOM0_REFUSED);
}

static const char *
parse_request(const void *untrusted, size_t n, struct request *rq)
{
	static const char *const keys[] = {"ticket", "port"};
	struct kv kv;
	const char *why = kv_parse(&kv, untrusted, n);

	if (why != NULL)
		return why;
	const char *ticket = kv_get(&kv, "ticket"), *port = kv_get(&kv, "port");
	if (!kv_only(&kv, keys, 2) || ticket == NULL || !hexid_ok(ticket))
		return "bad request";
	if (port == NULL || !parse_u32(port, QREXEC_PORT_BASE + QREXEC_PORTS - 1, &rq->port) ||
	    rq->port < QREXEC_PORT_BASE)
		return "bad port";
	memcpy(rq->ticket, ticket, sizeof(rq->ticket));
	return NULL;
}

static const char *
read_request(int peer, struct request *rq)
{
	char untrusted[PEER_REQUEST_MAX];
	size_t have = 0, whole;
	uint64_t until = now_ms() + REQUEST_MS;

	while ((whole = kv_whole(untrusted, have)) == 0) {
		struct pollfd p = {.fd = peer, .events = POLLIN};
		uint64_t now = now_ms();
		if (have == sizeof(untrusted))
			return "request too long";
		if (now >= until || poll(&p, 1, (int)(until - now)) < 1)
			return "no request in time";
		ssize_t n = recv(peer, untrusted + have, sizeof(untrusted) - have, MSG_DONTWAIT);
		if (n <= 0)
			return "no request";
		have += (size_t)n;
	}
	return parse_request(untrusted, whole, rq);
}

static const char *
redeem(const struct request *rq, struct kv *kv)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "redeem=%s\nuse=call\n\n", rq->ticket);
	const char *why = kv_call(POLICY_SOCK, text, (size_t)n, POLICY_MS, kv, NULL);

	if (why != NULL)
		return "policyd did not answer";
	const char *result = kv_get(kv, "result"), *target = kv_get(kv, "target");
	if (result == NULL || strcmp(result, "ok") != 0)
		return "ticket";
	return target != NULL && is_dom0(target) ? NULL : "ticket for another target";
}

/* The ticket must be that of the qube whose qrexecd brought it, in its present session. */
static const char *
check_source(const struct kv *kv, uint32_t qid, struct vm_state *st)
{
	const char *source = kv_get(kv, "source"), *session = kv_get(kv, "source_session");
	int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return "no state directory";
	bool known = source != NULL && name_ok(source) && state_read(dir, source, st);
	close(dir);
	if (!known || st->qid != qid)
		return "ticket of another qube";
	if (session == NULL || !hexid_ok(session) || !hexid_equal(session, st->session))
		return "ticket of another session";
	return NULL;
}

/* QUBESRPC SERVICE+ARG SOURCE TYPE WHAT (spec/qrexec 4.4). NULL if policyd left something out. */
static char *
command(const struct kv *kv)
{
	const char *service = kv_get(kv, "service"), *asked = kv_get(kv, "requested_target");
	const char *source = kv_get(kv, "policy_source");
	char *text = NULL;

	if (source == NULL || *source == '\0')
		source = kv_get(kv, "source");
	if (service == NULL || asked == NULL || source == NULL)
		return NULL;
	bool keyword = *asked == '@';
	const char *plus = strchr(service, '+') == NULL ? "+" : "";
	if (asprintf(&text, "QUBESRPC %s%s %s %s %s", service, plus, source,
		keyword ? "keyword" : "name", asked + (keyword ? 1 : 0)) < 0)
		return NULL;
	return text;
}

static void
confine_pump(void)
{
	sandbox_filter(pump_filter, pump_filter_len);
}

/* What the service says may hold up who reads it: not the relay. */
static void
split(void *arg)
{
	struct relay *r = arg;

	if (r->err >= 0)
		r->err = pump_start(r->err, confine_pump);
}

static void
enter_sandbox(uint32_t qid, struct relay *r)
{
	const struct sandbox sb = {
	    .uid = prog_uid(qid, PROG_RELAY),
	    .filter = qrexec_dom0_filter,
	    .nfilter = qrexec_dom0_filter_len,
	    .split = split,
	    .arg = r,
	};

	sandbox_enter(&sb);
}

/* Name the service in the log, not only the qube. */
static void
log_failure(const struct dom0_call *c, const char *why)
{
	char esc[LOG_ESC_MAX];

	logit("service %s: %s", log_escs(esc, sizeof(esc), c->cmd.name), why);
}

/*
 * A caller that leaves early does not end the service, whose input has ended now and whose output
 * fails. But it counts as one of the qube's calls for as long as it runs.
 */
static _Noreturn void
leave(int peer, const struct relay *r)
{
	const int fds[] = {peer, r->in, r->out, r->err};

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	while (r->child > 0 && waitpid(r->child, NULL, 0) < 0 && errno == EINTR)
		;
	_exit(0);
}

_Noreturn void
dom0_child(int peer, uint32_t who_qid)
{
	struct request rq;
	struct kv kv;
	struct vm_state st;
	struct dom0_call c = {.managed = true};
	struct relay r = {.side = RELAY_SERVICE,
	    .control = -1,
	    .read_first = true,
	    .in = -1,
	    .out = -1,
	    .err = -1};
	char line[64];

	const char *why = read_request(peer, &rq);
	if (why == NULL)
		why = redeem(&rq, &kv);
	if (why == NULL)
		why = check_source(&kv, who_qid, &st);
	char *text = why == NULL ? command(&kv) : NULL;
	if (why == NULL && text == NULL)
		why = "incomplete ticket";
	if (why != NULL)
		refused(peer, why);
	log_open("qrexec-dom0", st.name);

	/* What cannot be started is told over the channel, as everywhere: exit code 125 or 127. */
	int code = dom0_prepare(&c, text, &why);
	snprintf(line, sizeof(line), "result=ok\ndomid=0\nport=%u\n\n", rq.port);
	if (!answer(peer, line))
		_exit(1);
	if (code == 0)
		code = dom0_start(&c, &r, &why);
	if (code != 0)
		log_failure(&c, why);
	r.v = chan_open(VCHAN_CLIENT, st.domid, rq.port, DOM0_WAIT_MS, &r.control, &why);
	if (r.v == NULL) {
		log_failure(&c, why);
		leave(peer, &r);
	}
	if (!answer(peer, PEER_STANDS))
		leave(peer, &r);
	enter_sandbox(who_qid, &r);
	if (code != 0)
		relay_refuse(r.v, true, code);
	else
		relay_run(&r);
	leave(peer, &r);
}
