/* SPDX-License-Identifier: ISC */
/* What a qrexecd answers to qrexec-client and qvm-run: HELLO, then the parameters of the call. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dom0/call.h"
#include "qrexecd/qrexec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t types[] = {MSG_EXEC_CMDLINE, MSG_JUST_EXEC, MSG_SERVICE_CONNECT};
	struct call_answer a = {0, 0}, out = {0, 0};
	const char *why = NULL;
	int s[2];

	if (size < 1 || size > 4096 || socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
		return 0;
	if (write(s[1], data + 1, size - 1) < 0 || shutdown(s[1], SHUT_WR) < 0)
		abort();
	if (call_hello(s[0], &why) &&
	    call_request(s[0], types[data[0] % 3], a, "x", 2, &out, &why)) {
		/* Accepted means: exactly a HELLO of 3 or more and an answer of this type. */
		uint32_t w[7];
		if (size - 1 < sizeof w)
			abort();
		memcpy(w, data + 1, sizeof w);
		if (w[0] != MSG_HELLO || w[1] != 4 || w[2] < 3 || w[3] != types[data[0] % 3] ||
		    w[4] != 8 || w[5] != out.domid || w[6] != out.port)
			abort();
	} else if (why == NULL) {
		abort();
	}
	close(s[0]);
	close(s[1]);
	return 0;
}
