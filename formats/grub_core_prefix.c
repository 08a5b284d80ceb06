/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the prefix out of an EFI image of GRUB: its section of modules begins with a module info
 * (64 bits: magic, padding, offset, size), objects follow, each at a multiple of 8. The magic also
 * comes by chance, so the objects must make sense.
 *
 * Source: GRUB 2.06 include/grub/kernel.h.
 */
#include "formats/grub_core_internal.h"

#include <string.h>

#include "base/num.h"

enum { INFO64_SIZE = 24 };

/* The prefix in the objects of [p, p+len), NULL when there is none or they are none. */
static const char *find_in_objects(const uint8_t *p, uint64_t len)
{
	while (len >= GRUB_OBJ_HEADER) {
		uint32_t type = num_get_le32(p);
		uint64_t size = num_get_le32(p + 4), step = num_align(size, 8);

		if (size < GRUB_OBJ_HEADER || size > len)
			return NULL;
		if (type == GRUB_OBJ_PREFIX &&
			memchr(p + GRUB_OBJ_HEADER, '\0', size - GRUB_OBJ_HEADER))
			return (const char *)p + GRUB_OBJ_HEADER;
		if (step > len)
			return NULL;
		p += step;
		len -= step;
	}
	return NULL;
}

int grub_image_prefix(const struct buf *image, struct buf *out, struct error *err)
{
	const uint8_t *data = (const uint8_t *)image->data;
	uint8_t magic[4];

	num_put_le32(magic, GRUB_MODULE_MAGIC);
	/* Sections of a PE file begin at multiples of 512 or more. */
	for (size_t at = 0; at + INFO64_SIZE <= image->len; at += GRUB_SECTOR) {
		uint64_t off = num_get_le64(data + at + 8), size = num_get_le64(data + at + 16);
		const char *prefix;

		if (memcmp(data + at, magic, sizeof(magic)) != 0 || off != INFO64_SIZE ||
			size < off || size > image->len - at)
			continue;
		prefix = find_in_objects(data + at + off, size - off);
		if (prefix)
			return buf_add_str(out, prefix, err);
	}
	return 0;
}
