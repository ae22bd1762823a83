/* SPDX-License-Identifier: ISC */
#include "qrexecd.h"

enum { FREE, USED, ORPHAN };

bool
ports_valid(uint32_t port)
{
	return port >= QREXEC_PORT_BASE && port < QREXEC_PORT_BASE + QREXEC_PORTS;
}

/* The two daemons of a pair count by parity, so they never choose the same number. */
static uint32_t
find(const struct ports *p, uint32_t own, uint32_t peer, uint8_t state)
{
	uint32_t step = peer == 0 ? 1 : 2;

	for (uint32_t n = peer > own ? 1 : 0; n < QREXEC_PORTS; n += step) {
		const uint32_t i = (p->first + n) % QREXEC_PORTS;

		if (p->state[i] == state)
			return i;
	}
	return QREXEC_PORTS;
}

uint32_t
ports_take(struct ports *p, uint32_t own, uint32_t peer)
{
	uint32_t i = find(p, own, peer, FREE);

	if (i == QREXEC_PORTS)
		i = find(p, own, peer, ORPHAN);
	if (i == QREXEC_PORTS)
		return 0;
	p->state[i] = USED;
	p->domain[i] = peer;
	return QREXEC_PORT_BASE + i;
}

bool
ports_fair(const struct ports *p, uint32_t peer)
{
	uint32_t one = 0, all = 0;

	for (uint32_t i = 0; i < QREXEC_PORTS; i++) {
		all += p->state[i] == USED && p->domain[i] != 0;
		one += p->state[i] == USED && p->domain[i] == peer;
	}
	return one < PORTS_OF_ONE && all < PORTS_OF_QUBES;
}

bool
ports_free(struct ports *p, uint32_t peer, uint32_t port)
{
	uint32_t i = port - QREXEC_PORT_BASE;

	if (!ports_valid(port) || p->state[i] == FREE || p->domain[i] != peer)
		return false;
	p->state[i] = FREE;
	return true;
}

bool
ports_busy(const struct ports *p)
{
	for (uint32_t i = 0; i < QREXEC_PORTS; i++)
		if (p->state[i] == USED)
			return true;
	return false;
}

void
ports_orphan(struct ports *p)
{
	for (uint32_t i = 0; i < QREXEC_PORTS; i++)
		if (p->state[i] == USED)
			p->state[i] = ORPHAN;
}
