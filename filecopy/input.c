/* SPDX-License-Identifier: ISC */
#include "filecopy/input.h"

#include <errno.h>
#include <libdeflate.h>
#include <string.h>
#include <unistd.h>

#include "filecopy/qfile.h"

uint32_t
input_crc(struct input *in)
{
	in->crc = libdeflate_crc32(in->crc, in->bytes + in->summed, in->at - in->summed);
	in->summed = in->at;
	return in->crc;
}

const uint8_t *
input_some(struct input *in, uint64_t most, size_t *n)
{
	if (in->at == in->end) {
		ssize_t got;

		(void)input_crc(in);
		do
			got = read(in->fd, in->bytes, sizeof in->bytes);
		while (got < 0 && errno == EINTR);
		in->at = in->summed = in->end = 0;
		if (got <= 0) {
			in->error = got < 0 ? (uint32_t)errno : QFILE_CUT;
			return NULL;
		}
		in->end = (size_t)got;
	}
	*n = in->end - in->at;
	if (*n > most)
		*n = (size_t)most;
	in->at += *n;
	return in->bytes + in->at - *n;
}

bool
input_take(struct input *in, void *to, size_t n)
{
	for (uint8_t *p = to; n > 0;) {
		size_t got;
		const uint8_t *from = input_some(in, n, &got);

		if (!from)
			return false;
		memcpy(p, from, got);
		p += got, n -= got;
	}
	return true;
}
