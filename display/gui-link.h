/* SPDX-License-Identifier: ISC */
/*
 * Either end of the channel between a qube's gui-agent and Dom0's guid (guid/gui-proto.h): what
 * comes until it is whole, and what waits to be sent.
 */
#ifndef GUI_LINK_H
#define GUI_LINK_H

#include "buf.h"
#include "guid/gui-proto.h"
#include "loop.h"
#include "vchan.h"

struct gui_link {
	struct vchan *v;
	int fd;		/* as the loop has it, or -1 */
	uint32_t minor; /* of the version both speak */
	bool hello;	/* and from then on messages */
	bool over;	/* nothing more is to be read or sent */
	struct buf in, out;
};

/* Of each type; index: from GUI_FIRST on. */
struct gui_type_of {
	const char *name;
	uint16_t len;
};
extern const struct gui_type_of gui_types[];
#define GUI_TYPE(t) (gui_types[(t)-GUI_FIRST])

/* A message whose body is in two parts. false: there is no room. */
bool gui_put(struct gui_link *k, enum gui_type type, uint32_t window, const void *a, size_t n,
    const void *b, size_t m);
void gui_flush(struct gui_link *k); /* as much as the channel takes */
/* Before each poll. in: what comes is wanted. */
void gui_watch(struct gui_link *k, struct loop *l, bool in, loop_fn *fn, void *arg);

#endif
