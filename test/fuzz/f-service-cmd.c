/* SPDX-License-Identifier: ISC */
/* Commands, and where they lead to. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct svc_cmd c;
	static struct svc s;
	const char *why;
	char *text;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	setenv("QREXEC_SERVICE_PATH", "/bin:/dev", 1);
	setenv("QUBES_RPC_CONFIG_PATH", "/nowhere", 1);
	if (svc_parse(&c, text, data[0] & 1) == NULL && c.rpc) {
		if (strlen(c.name) > SVC_NAME_MAX || strchr(c.name, '/') != NULL ||
		    c.source[0] == '\0')
			abort();
		svc_lookup(&c, &s, &why);
	}
	svc_free(&c);
	free(text);
	return 0;
}
