/* SPDX-License-Identifier: ISC */
/* A receiver's reply, and what a sender says of it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "filecopy/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply r;
	static struct pack p;
	static int in = -1;

	if (in < 0) {
		in = memfd_create("reply", 0);
		(void)dup2(open("/dev/null", 1), STDERR_FILENO);
	}
	if (ftruncate(in, 0) < 0 || pwrite(in, data, size, 0) < 0)
		abort();
	(void)lseek(in, 0, SEEK_SET);
	reply_read(in, &r);
	p.answered = size & 1;
	if (reply_ok(&r, &p) && (r.error != 0 || r.crc != p.crc))
		abort();
	return 0;
}
