/* SPDX-License-Identifier: ISC */
/* RUN_STATE/NAME and the table of qids, through real files. What is read can be written and reads
 * the same. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ids.h"
#include "qids.h"
#include "state.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char dir[] = "/dev/shm/f-state.XXXXXX";
	static int d = -1;
	struct vm_state a, b;
	uint32_t high, qid;
	unsigned bad;
	int fd;

	if (d < 0)
		d = open(mkdtemp(dir), O_RDONLY | O_DIRECTORY);
	fd = openat(d, "work", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		abort();
	close(fd);
	if (state_read(d, "work", &a)) {
		if (strcmp(a.name, "work") != 0 || !hexid_ok(a.session) || !state_write(d, &a) ||
		    !state_read(d, "work", &b) || memcmp(&a, &b, sizeof a) != 0)
			abort();
	}
	qid = qids_find((const char *)p, n, "work", &high, &bad);
	if (qid > QID_MAX || high > QID_MAX || (qid && bad) || qid > high)
		abort();
	return 0;
}
