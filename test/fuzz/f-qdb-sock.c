/* SPDX-License-Identifier: ISC */
/* What a client says: first byte: on which socket, on which side, whether it reads. In two pieces.
 */
#include "qdb.h"

#define TO_CLIENT                                                                                  \
	(1u << QDB_OK | 1u << QDB_NOENT | 1u << QDB_ERROR | 1u << QDB_R_READ |                     \
	    1u << QDB_R_MULTIREAD | 1u << QDB_R_LIST | 1u << QDB_R_WATCH)

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const size_t half = n / 2;
	unsigned watches = 0;
	int fd;

	if (n < 2 || n > 100000)
		return 0;
	begin(p[0] & 1 ? QUBE : DOM0);
	for (int i = 0; i < 8; i++) {
		const char path[] = {'/', (char)('a' + i), '\0'};
		key(path, "value");
	}
	fd = client(p[0] & 2);
	say(fd, p + 1, half - 1);
	turn(3);
	if (p[0] & 4)
		hear(fd);
	say(fd, p + half, n - half);
	turn(3);
	hear(fd);
	turn(6);
	hear(fd);
	check(TO_CLIENT);
	for (const struct entry *e = d.store.first; e != NULL; e = e->next) {
		if ((p[0] & 2) && e->len != 2)
			abort(); /* ro: nothing is written */
		if (e->key[0] != '/' || (e->next != NULL && strcmp(e->key, e->next->key) >= 0))
			abort();
		watches++;
	}
	if ((p[0] & 2) && watches != 8)
		abort();
	close(fd);
	turn(2);
	if (d.nclients != 0 || d.watches != NULL)
		abort();
	end();
	return 0;
}
