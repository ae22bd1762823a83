/* SPDX-License-Identifier: ISC */
/* What another qube's qrexecd says (up to the first 0xff), and what policyd answers to its ticket.
 */
#define FUZZ_PEER
#include "qd.h"

#define sock_peer fuzz_sock_peer
#define helper_ask fuzz_helper_ask

static struct helper *asked;

static bool
fuzz_sock_peer(int fd, uid_t *uid, pid_t *pid)
{
	(void)fd, (void)pid;
	*uid = prog_uid(7, PROG_QREXECD);
	return true;
}

static struct helper *
fuzz_helper_ask(struct qd *d, const char *path, uint32_t ms, const char *request,
    void (*done)(struct helper *, const char *), void *arg)
{
	(void)ms;
	if (strncmp(request, "redeem=", 7) != 0 || strlen(request) != 7 + 32 + 11)
		abort();
	asked = calloc(1, sizeof(*asked));
	*asked =
	    (struct helper){.q = d, .path = path, .fd = -1, .passed = -1, .done = done, .arg = arg};
	asked->in.max = KV_BYTES;
	return asked;
}

#include "../../qrexecd/peer.c"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char ticket[] = "ticket=00112233445566778899aabbccddeeff\n\n";
	uint32_t hello[3] = {MSG_HELLO, 4, 4};
	const uint8_t *split = memchr(p, 0xff, n);
	size_t first = split != NULL ? (size_t)(split - p) : n;
	int fd, us;

	asked = NULL;
	begin();
	say(agent, hello, sizeof(hello));
	turn(2);
	fd = pair(&us);
	q.peer_door.open++;
	peer_came(&q, fd);
	say(us, first == 0 ? ticket : (const char *)p, first == 0 ? sizeof(ticket) - 1 : first);
	turn(3);
	if (asked != NULL && split != NULL && buf_put(&asked->in, split + 1, n - first - 1))
		asked->done(asked, NULL);
	turn(1);
	check_agent();
	close(us);
	turn(2);
	if (q.peer_door.open != 0 || q.peers != NULL)
		abort();
	end();
	return 0;
}
