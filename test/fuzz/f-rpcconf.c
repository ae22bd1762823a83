/* SPDX-License-Identifier: ISC */
/* rpc-config files. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quiet.h"
#include "rpc/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct svc_config c;
	unsigned line;

	quiet(true);
	if (svc_config_parse(&c, (const char *)data, size, &line) == NULL &&
	    (memchr(c.force_user, '\0', sizeof c.force_user) == NULL ||
		memchr(data, '\0', size) != NULL))
		abort();
	quiet(false);
	return 0;
}
