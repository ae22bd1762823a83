/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chan.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "sock.h"

/* A chand that was killed is back within a second or so; there is no event to wait for that people
 * in group qubes may watch. */
#define BACK_MS 3000
#define AGAIN_MS 50

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
	v = vchan_take(role, fd);
	if (v == NULL)
		*why = "the channel from chand cannot be used";
	return v;
}

struct vchan *
chan_open(
    enum vchan_role role, uint32_t domid, uint32_t port, int ms, int *control, const char **why)
{
	const uint64_t until = now_ms() + BACK_MS;
	bool gone = true;
	int s;

	*control = -1;
	if (getenv("VCHAN_SOCKET_DIR") != NULL || access(CHAN_SOCK, F_OK) < 0)
		return by_name(role, domid, port, ms, why);
	while (gone && now_ms() < until) {
		struct vchan *v = NULL;

		*why = "cannot connect to chand";
		s = sock_connect_wait(CHAN_SOCK, ms);
		gone = s < 0 && errno == ECONNREFUSED;
		if (s >= 0) {
			v = ask_chand(s, role, domid, port, ms, why);
			gone = v == NULL && strcmp(*why, KV_HUNG_UP) == 0;
		}
		if (v != NULL) {
			*control = s;
			return v;
		}
		if (s >= 0)
			close(s);
		if (gone)
			poll(NULL, 0, AGAIN_MS);
	}
	return NULL;
}

void
chan_came(int control)
{
	if (control >= 0)
		(void)send(control, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}
