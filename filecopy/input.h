/* SPDX-License-Identifier: ISC */
/* A stream that is read in large pieces, with the CRC-32 of all that was taken from it. */
#ifndef QFILE_INPUT_H
#define QFILE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPUT_SIZE (256 * 1024)

struct input {
	int fd;
	uint32_t error; /* why nothing more comes: QFILE_CUT or an errno */
	uint32_t crc;
	size_t at, end, summed; /* in bytes: taken up to, read up to, in crc up to */
	uint8_t bytes[INPUT_SIZE];
};

/* 1 to most bytes, valid until the next call; NULL: error says why. */
const uint8_t *input_some(struct input *, uint64_t most, size_t *n);
/* Exactly n. */
bool input_take(struct input *, void *to, size_t n);
uint32_t input_crc(struct input *); /* of what was taken */

#endif
