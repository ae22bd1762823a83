/* SPDX-License-Identifier: ISC */
/* qubes.NotifyUpdates: how many updates a qube has found, as a number on standard input. One with a
 * template speaks for that. */
#include <unistd.h>

#include "wish.h"

static const char *
updates_read(qdb_handle_t h, struct buf *out)
{
	char untrusted[64];
	size_t n = 0;
	ssize_t r = 1;

	(void)h;
	while (r > 0 && n < sizeof(untrusted)) {
		r = read(STDIN_FILENO, untrusted + n, sizeof(untrusted) - n);
		n += r > 0 ? (size_t)r : 0;
	}
	return r == 0 ? wish_from_count(out, untrusted, n) : "longer than a number";
}

int
main(int argc, char **argv)
{
	static const struct wish_service s = {
	    .name = "qubes.NotifyUpdates",
	    .kinds = wish_updates,
	    .read = updates_read,
	    .for_template = true,
	};

	return wish_run(argc, argv, &s);
}
