/* SPDX-License-Identifier: ISC */
/*
 * The clipboard between qubes is not served yet: nobody asks the agent for its own, so whatever it
 * sends was not asked for (spec/gui 8: read and dropped; its length is checked in agent.c). The key
 * sequences go to the qube as any others.
 */
#include "guid.h"

void
on_clipboard(struct gui *g, struct window *w, const struct body *untrusted)
{
	(void)w;
	log_limited(&g->clip, "clipboard: %zu bytes that nobody asked for: dropped", untrusted->n);
}
