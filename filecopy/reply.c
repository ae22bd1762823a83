/* SPDX-License-Identifier: ISC */
/* The receiver's word on a copy. All of it is a qube's. */
#include <string.h>
#include <unistd.h>

#include "filecopy/io.h"
#include "filecopy/pack.h"
#include "log.h"

void
reply_read(int in, struct reply *r)
{
	struct qfile_reply head;
	uint32_t n;

	*r = (struct reply){.there = false};
	if (read_all(in, &head, sizeof head) != sizeof head)
		return;
	r->there = true;
	/* An old receiver says a refused directory's code negated (spec/filecopy 2). */
	r->error = head.error > INT32_MAX ? 0u - head.error : head.error;
	r->crc = (uint32_t)head.crc;
	if (read_all(in, &n, sizeof n) != sizeof n || n > QFILE_PATH_MAX)
		return;
	r->last_len = read_all(in, r->untrusted_last, n);
}

/* What a stock sender prints of it (spec/filecopy 2; QSB-087). */
static void
printable(char *out, const struct reply *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->last_len && n < 255; i++) {
		const char c = r->untrusted_last[i];

		if (c == '\0')
			break;
		out[n++] = (char)(c >= 0x20 && c < 0x7f && c != '"' ? c : '_');
	}
	out[n] = '\0';
}

bool
reply_ok(const struct reply *r, const struct pack *p)
{
	char last[256];

	if (!r->there) {
		logit("the receiver has ended without an answer: what has arrived is not known");
		return false;
	}
	if (r->error == 0 && !p->answered && r->crc == p->crc)
		return true;
	printable(last, r);
	if (r->error == 0 && p->answered)
		logit("the receiver says that all is there before all was sent");
	else if (r->error == 0)
		logit("what has arrived is not what was sent: its CRC-32 is another");
	else if (*last)
		logit("not copied: %s; at \"%s\": what was sent before it has arrived",
		    qfile_strerror(r->error), last);
	else
		logit("not copied: %s", qfile_strerror(r->error));
	return false;
}
