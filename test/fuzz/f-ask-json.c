/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "ask/qrexec-ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (int notify = 0; notify < 2; notify++) {
		struct ask_msg m;
		char *text = malloc(n + 1);

		if (text == NULL)
			return 0;
		if (n > 0)
			memcpy(text, p, n);
		text[n] = '\0';
		if (msg_parse(&m, text, n, notify) == NULL) {
			if (m.source == NULL || (!notify && m.ntargets == 0))
				abort();
			for (size_t i = 0; i < m.ntargets; i++)
				if (!msg_offers(&m, m.targets[i]))
					abort();
		}
		msg_free(&m);
		free(text);
	}
	return 0;
}
