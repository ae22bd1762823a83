/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "kv.h"
#include "paths.h"
#include "sock.h"
#include "state.h"
#include "vmstart/startsock.h"

int
ask_startd(const struct call *c)
{
	struct buf b = {.max = START_REQUEST_MAX};
	const int fd = sock_connect(START_SOCK);
	/* A few bytes into a new socket: they go at once. */
	const bool ok = fd >= 0 && kv_put(&b, "op", c->op) && kv_put(&b, "name", c->rq->dest) &&
			(!c->force || kv_put(&b, "force", "yes")) && buf_put(&b, "\n", 1) &&
			buf_write_fd(&b, fd) == 0 && b.len == 0;

	buf_free(&b);
	if (ok || fd < 0)
		return fd;
	close(fd);
	return -1;
}

void
ask_answer(const struct call *c, const void *text, size_t n)
{
	static struct kv kv;
	const char *bad = n > 0 ? kv_parse(&kv, text, n) : "it was ended";
	const char *result = bad == NULL ? kv_get(&kv, "result") : NULL;
	const char *reason = bad == NULL ? kv_get(&kv, "reason") : NULL;

	if (result != NULL && strcmp(result, "ok") == 0)
		answer_ok(c->out);
	else if (reason != NULL)
		answer_reason(c->out, "QubesVMError", reason);
	else
		answer_exception(c->out, "QubesVMError", "no answer from startd");
}

bool
ask_begun(const struct call *c)
{
	static const char *const on[] = {"Running", "Transient", "Paused", NULL};
	struct vm_state st;

	return !state_read(c->state, c->rq->dest, &st) || !one_of(on, st.state);
}
