/* SPDX-License-Identifier: ISC */
/* What an agent says: first byte its version, then raw bytes of the control link, in two pieces. */
#include "qd.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint32_t hello[3] = {MSG_HELLO, 4, 0};
	size_t half = n / 2;

	if (n < 2 || n > 100000)
		return 0;
	begin();
	hello[2] = p[0] % 6;
	if (p[0] < 200)
		say(agent, hello, sizeof(hello));
	say(agent, p + 1, half - (half > 0));
	turn(4);
	route_ran(&q, 1, p[0] & 1);
	say(agent, p + half, n - half);
	turn(4);
	route_ran(&q, 2, EXIT_REFUSED);
	turn(2);
	if (q.link.v != NULL && q.link.out.len == 0)
		check_agent();
	if (q.routes.n > ROUTES_MAX || q.routes.waiting > WAITING_MAX)
		abort();
	end();
	return 0;
}
