/* SPDX-License-Identifier: ISC */
#include "loop.h"
#include "vchan.h"

bool
vchan_wait(struct vchan *v, int ms, int cancel_fd)
{
	const uint64_t end = now_ms() + (uint64_t)(ms > 0 ? ms : 0);
	struct pollfd p[2];

	while (vchan_state(v) == VCHAN_WAITING) {
		const uint64_t now = now_ms();
		const int left = ms < 0 ? -1 : now < end ? (int)(end - now) : 0;
		vchan_poll(v, POLLIN, &p[0]);
		p[1] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
		const int n = poll(p, 2, left);
		if (n > 0) /* also when cancelled: it may have come since it was looked at */
			vchan_turn(v);
		if ((n > 0 && p[1].revents) || (n == 0 && left == 0))
			break;
	}
	return vchan_state(v) != VCHAN_WAITING;
}
