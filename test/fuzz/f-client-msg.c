/* SPDX-License-Identifier: ISC */
/* What a client says: its HELLO or not, then raw bytes; a trigger waits so that SERVICE_CONNECT can
 * match. */
#include "qd.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint32_t hello[3] = {MSG_HELLO, 4, 4};
	uint8_t trigger[8 + TRIGGER4_FIXED + 2] = {0};
	uint32_t header[2] = {MSG_TRIGGER_SERVICE4, TRIGGER4_FIXED + 2};
	int fd, us;

	if (n < 1 || n > 150000)
		return 0;
	begin();
	say(agent, hello, sizeof(hello));
	memcpy(trigger, header, 8);
	memcpy(trigger + 8 + 128, "SOCKET5", 7);
	trigger[8 + TRIGGER4_FIXED] = 's';
	say(agent, trigger, sizeof(trigger));
	turn(2);
	fd = pair(&us);
	q.door.open++;
	client_came(&q, fd);
	hello[2] = 3;
	if (p[0] & 1)
		say(us, hello, sizeof(hello));
	say(us, p + 1, n - 1);
	turn((unsigned)(n / 256 + 4)); /* it reads 256 bytes at a time */
	check_agent();
	close(us);
	turn(2);
	if (q.door.open != 0 || q.clients != NULL)
		abort();
	end();
	return 0;
}
