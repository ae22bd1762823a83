/* SPDX-License-Identifier: ISC */
#include <assert.h>

#include "display/xauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct xauth a;

	if (xauth_find(&a, data, n, "host", 7))
		assert(a.n > 0 && a.n <= sizeof a.data);
	else
		assert(a.n == 0);
	return 0;
}
