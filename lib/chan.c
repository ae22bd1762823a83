/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chan.h"
#include "kv.h"
#include "log.h"
#include "paths.h"
#include "sock.h"

static struct vchan *
by_name(enum vchan_role role, uint32_t domid, uint32_t port, int ms, const char **why)
{
	struct vchan *v = vchan_open(role, NULL, vchan_self(), domid, port);

	if (v == NULL) {
		*why = "cannot open the channel";
		return NULL;
	}
	if (role == VCHAN_SERVER || vchan_wait(v, ms, -1))
		return v;
	vchan_close(v);
	*why = "no server came";
	return NULL;
}

/* One request to chand over s, which stays open on success (chand/chansock.h). */
static struct vchan *
ask_chand(int s, enum vchan_role role, uint32_t domid, uint32_t port, int ms, const char **why)
{
	char req[96], esc[LOG_ESC_MAX];
	struct vchan *v;
	struct kv kv;
	const char *reason;
	int fd, n;

	n = snprintf(req, sizeof(req), "role=%s\nport=%u\ndomid=%u\n\n",
	    role == VCHAN_SERVER ? "server" : "client", port, domid);
	*why = kv_ask(s, req, (size_t)n, ms, &kv, &fd);
	if (*why != NULL)
		return NULL;
	if (fd < 0) {
		reason = kv_get(&kv, "reason");
		if (reason != NULL)
			logit("chand: %s", log_escs(esc, sizeof(esc), reason));
		*why = "refused by chand";
		return NULL;
	}
	v = vchan_take(role, &fd, 1);
	if (v == NULL) {
		*why = "no memory";
		close(fd);
	}
	return v;
}

struct vchan *
chan_open(
    enum vchan_role role, uint32_t domid, uint32_t port, int ms, int *control, const char **why)
{
	struct vchan *v;
	int s;

	*control = -1;
	if (getenv("VCHAN_SOCKET_DIR") != NULL || access(CHAN_SOCK, F_OK) < 0)
		return by_name(role, domid, port, ms, why);
	s = sock_connect_wait(CHAN_SOCK, ms);
	if (s < 0) {
		*why = "cannot connect to chand";
		return NULL;
	}
	v = ask_chand(s, role, domid, port, ms, why);
	if (v == NULL)
		close(s);
	else
		*control = s;
	return v;
}
