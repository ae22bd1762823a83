/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "date.h"

#define RANGE_NS (360u * UINT64_C(1000000000))

bool
date_text(time_t t, char out[DATE_LEN + 1])
{
	struct tm tm;

	return t >= 0 && gmtime_r(&t, &tm) != NULL && tm.tm_year < 10000 - 1900 &&
	       strftime(out, DATE_LEN + 1, "%Y-%m-%dT%H:%M:%S+00:00", &tm) == DATE_LEN;
}

/* FNV-1a, mixed well: who knows his own offset learns nothing of another qube's. */
int64_t
date_offset(const void *boot_id, size_t n, const char *qube)
{
	uint64_t h = 0xcbf29ce484222325u;
	const unsigned char *p = boot_id;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	for (; *qube != '\0'; qube++)
		h = (h ^ (unsigned char)*qube) * 0x100000001b3u;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
	h ^= h >> 33;
	return (int64_t)(h % (RANGE_NS + 1)) - (int64_t)(RANGE_NS / 2);
}
