/* SPDX-License-Identifier: Apache-2.0 */
/* GNU's magic and version, since its numbers may be in the header. */
#include "formats/tar_header.h"

#include <assert.h>
#include <string.h>

/* What 11 octal digits hold. */
#define OCTAL_MAX ((UINT64_C(1) << 33) - 1)

static void put_octal(uint8_t *field, size_t len, uint64_t value)
{
	field[len - 1] = 0;
	for (size_t i = len - 1; i-- > 0; value >>= 3)
		field[i] = (uint8_t)('0' + (value & 7));
}

/* GNU's form for what octal digits cannot hold: the top bit, then a big-endian number. */
static void put_size(uint8_t field[12], uint64_t value)
{
	if (value <= OCTAL_MAX) {
		put_octal(field, 12, value);
		return;
	}
	for (size_t i = 12; i-- > 0; value >>= 8)
		field[i] = (uint8_t)value;
	field[0] |= 0x80;
}

void tar_header(uint8_t b[TAR_BLOCK], const char *name, uint64_t size, int64_t time)
{
	unsigned sum = 0;

	assert(strlen(name) <= TAR_NAME_MAX && time >= 0);
	memset(b, 0, TAR_BLOCK);
	memcpy(b, name, strlen(name));
	put_octal(b + 100, 8, 0644);
	put_octal(b + 108, 8, 0);
	put_octal(b + 116, 8, 0);
	put_size(b + 124, size);
	put_octal(b + 136, 12, (uint64_t)time);
	memset(b + 148, ' ', 8);
	b[156] = '0';
	memcpy(b + 257, "ustar  ", 8); /* GNU's magic and version */
	memcpy(b + 265, "root", 4);
	memcpy(b + 297, "root", 4);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += b[i];
	put_octal(b + 148, 7, sum);
}
