/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "vmconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct vmconf c = {.name = "work"};
	struct vmconf_error e = {.line = 0};

	if (!vmconf_parse(&c, "work", (const char *)p, n, &e)) {
		if (e.text[0] == '\0' || memchr(e.text, '\0', sizeof(e.text)) == NULL)
			abort();
		return 0;
	}
	if (c.ntags > VM_TAGS || (c.template[0] != '\0' && !name_ok(c.template)) ||
	    (c.uuid[0] != '\0' && !uuid_ok(c.uuid)) || strcmp(c.name, "work") != 0)
		abort();
	for (const char *f = NULL; (f = vmconf_feature_next(&c, f)) != NULL;)
		if (f >= c.features + sizeof(c.features) - 1 || strchr(f, '=') == NULL)
			abort();
	return 0;
}
