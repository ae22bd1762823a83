/* SPDX-License-Identifier: ISC */
/* qubes.NotifyTools: as qubes.FeaturesRequest, of older agents: /qubes-tools/ of its QubesDB. */
#include <string.h>

#include "wish.h"

static const char *
tools_read(qdb_handle_t h, struct buf *out)
{
	static char paths[3][24] = {
	    "/qubes-tools/version", "/qubes-tools/qrexec", "/qubes-tools/gui"};
	char *untrusted[3];

	for (int i = 0; i < 3; i++) {
		unsigned int len = 0;

		untrusted[i] = qdb_read(h, paths[i], &len);
		if (untrusted[i] != NULL && strlen(untrusted[i]) != len)
			return "a NUL in a value";
	}
	return wish_from_tools(out, untrusted[0], untrusted[1], untrusted[2]);
}

/* Nothing else than these two, whatever the reader hands on. */
int
main(int argc, char **argv)
{
	static const struct wish_kind kinds[] = {
	    {"qrexec", WISH_FLAG | WISH_ONCE}, {"gui", WISH_FLAG | WISH_ONCE}, {NULL, 0}};
	static const struct wish_service s = {
	    .name = "qubes.NotifyTools",
	    .kinds = kinds,
	    .store = true,
	    .read = tools_read,
	};

	return wish_run(argc, argv, &s);
}
