/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a compressed piece of an initrd ends, for the compressions whose decoders take what follows
 * for damage: they must not get to see it.
 */
#include "fs/initrd_internal.h"

#include <string.h>

#include "base/num.h"

/*
 * Steps over one zstd frame (RFC 8878, section 3.1.1). *whole is false when there is none, or it is
 * cut off.
 */
static int skip_zstd_frame(struct initrd_stream *s, bool *whole, struct error *err)
{
	static const uint8_t dictionary_sizes[] = {0, 1, 2, 4}, content_sizes[] = {0, 2, 4, 8};
	uint8_t head[5], block[3];
	uint64_t left;
	size_t got;

	*whole = false;
	if (initrd_stream_read(s, head, 4, &got, err) < 0)
		return -1;
	if (got < 4 || num_get_le32(head) != 0xfd2fb528)
		return 0;
	if (initrd_stream_read(s, head + 4, 1, &got, err) < 0 || !got)
		return got ? -1 : 0;
	/* The window's byte is missing in a single segment, which has a size of content instead. */
	left = dictionary_sizes[head[4] & 3] + content_sizes[head[4] >> 6] +
	       (uint64_t)(!(head[4] & 0x20) || !(head[4] >> 6));
	for (bool last = false; !last;) {
		uint32_t b;

		if (initrd_stream_skip(s, left, NULL) < 0)
			return 0;
		if (initrd_stream_read(s, block, 3, &got, err) < 0)
			return -1;
		if (got < 3)
			return 0;
		b = (uint32_t)block[0] | (uint32_t)block[1] << 8 | (uint32_t)block[2] << 16;
		last = b & 1;
		left = (b >> 1 & 3) == 1 ? 1 : b >> 3;
	}
	left += head[4] & 4;
	*whole = initrd_stream_skip(s, left, NULL) == 0;
	return 0;
}

/* CRC-32 as in gzip; of six bytes only, so no table. */
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/*
 * Steps over one xz stream (xz-file-format.txt, sections 2.1.1 and 2.1.2): all in it is in units of
 * 4 bytes, and it ends with a footer: CRC-32 of the next six bytes, size of the index, the flags of
 * the header, "YZ".
 */
static int skip_xz_stream(struct initrd_stream *s, bool *whole, struct error *err)
{
	static const uint8_t magic[] = {0xfd, '7', 'z', 'X', 'Z', 0};
	uint8_t head[12], tail[12];
	size_t got;

	*whole = false;
	if (initrd_stream_read(s, head, 12, &got, err) < 0)
		return -1;
	if (got < 12 || memcmp(head, magic, sizeof(magic)))
		return 0;
	memset(tail, 0, sizeof(tail));
	while (!*whole) {
		memmove(tail, tail + 4, 8);
		if (initrd_stream_read(s, tail + 8, 4, &got, err) < 0)
			return -1;
		if (got < 4)
			return 0;
		*whole = !memcmp(tail + 8, head + 6, 2) && tail[10] == 'Y' && tail[11] == 'Z' &&
			 num_get_le32(tail) == crc32_of(tail + 4, 6);
	}
	return 0;
}

/*
 * Steps over one lz4 stream of the old form (lz4_Frame_format.md, "Legacy frame"): blocks of at most
 * 8 MiB, each behind its packed size. There is no mark of the end: it is where no such size can be.
 */
static int skip_old_lz4(struct initrd_stream *s, bool *whole, struct error *err)
{
	enum { BLOCK = 8 << 20, PACKED_MAX = BLOCK + BLOCK / 255 + 16 };
	uint8_t head[4];
	uint32_t size;
	size_t got;

	*whole = false;
	if (initrd_stream_read(s, head, 4, &got, err) < 0)
		return -1;
	if (got < 4 || num_get_le32(head) != 0x184c2102)
		return 0;
	for (;;) {
		*whole = true;
		if (initrd_stream_read(s, head, 4, &got, err) < 0)
			return -1;
		size = num_get_le32(head);
		if (got < 4 || !size || size > PACKED_MAX) {
			initrd_stream_unread(s, got);
			return 0;
		}
		*whole = initrd_stream_skip(s, size, NULL) == 0;
		if (!*whole)
			return 0;
	}
}

int initrd_find_end(struct initrd_stream *s, const char *compression, uint64_t *end, struct error *err)
{
	int (*skip)(struct initrd_stream *, bool *, struct error *) = NULL;
	bool whole = false;

	*end = s->end;
	if (!strcmp(compression, "zstd"))
		skip = skip_zstd_frame;
	else if (!strcmp(compression, "xz"))
		skip = skip_xz_stream;
	else if (!strcmp(compression, INITRD_OLD_LZ4))
		skip = skip_old_lz4;
	if (!skip)
		return 0;
	do {
		if (skip(s, &whole, err) < 0)
			return -1;
		if (whole)
			*end = initrd_stream_tell(s);
	} while (whole);
	return 0;
}
