/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "names.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* No check reads behind the end, and what is accepted is what the headers say. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1), out[40];
	uint64_t v = 0;

	if (s == NULL)
		return 0;
	if (n > 0)
		memcpy(s, p, n);
	s[n] = '\0';
	if (name_ok_n((const char *)p, n) &&
	    (!name_ok(s) || n > NAME_LEN_MAX ||
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "0123456789_.-") != n))
		abort();
	if (uuid_ok(s) && strlen(s) != UUID_LEN)
		abort();
	if (hexid_ok(s) && (strlen(s) != HEXID_LEN || !hexid_equal(s, s)))
		abort();
	if (parse_u64(s, 1000000, &v) && v > 1000000)
		abort();
	is_dom0(s);
	for (size_t size = 1; size <= sizeof(out); size += 13)
		if (strlen(log_esc(out, size, p, n)) >= size)
			abort();
	free(s);
	return 0;
}
