/* SPDX-License-Identifier: Apache-2.0 */
/* Superblocks of md, version 1, little-endian. */
#include "fs/raid_probe.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"

enum { SECTOR = 512, HEAD = 256, LEVEL_MIRROR = 1 };
/* Fields of the superblock. */
enum { MAGIC_AT = 0, VERSION_AT = 4, UUID_AT = 16, NAME_AT = 32, NAME_LEN = 32, LEVEL_AT = 72, PLACE_AT = 144 };
#define MAGIC 0xa92b4efcu

/* Where version 1.0 lies: at least 8 KiB before the end, on a multiple of 4 KiB. */
static uint64_t place_at_end(uint64_t size)
{
	uint64_t sectors = size / SECTOR;

	return sectors < 24 ? UINT64_MAX : ((sectors - 16) & ~UINT64_C(7)) * SECTOR;
}

static int look(struct dev *dev, uint64_t off, uint8_t sb[HEAD], bool *found, struct error *err)
{
	*found = false;
	if (off > dev->size || dev->size - off < HEAD)
		return 0;
	if (dev_pread(dev, sb, HEAD, off, err) < 0)
		return -1;
	*found = num_get_le32(sb + MAGIC_AT) == MAGIC && num_get_le32(sb + VERSION_AT) == 1 &&
		 num_get_le64(sb + PLACE_AT) == off / SECTOR;
	return 0;
}

int raid_probe(struct dev *dev, struct probe *out, bool *found, struct error *err)
{
	const uint64_t places[] = {0, 4096, place_at_end(dev->size)};
	uint8_t sb[HEAD];

	*found = false;
	for (size_t i = 0; i < ARRAY_SIZE(places) && !*found; i++) {
		if (look(dev, places[i], sb, found, err) < 0)
			return -1;
		if (*found && places[i] > 4096 && num_get_le32(sb + LEVEL_AT) == LEVEL_MIRROR)
			*found = false;
	}
	if (!*found)
		return 0;
	snprintf(out->type, sizeof(out->type), "linux_raid_member");
	snprintf(out->label, sizeof(out->label), "%.*s", NAME_LEN, (const char *)sb + NAME_AT);
	uuid_format(out->uuid, sb + UUID_AT);
	return 0;
}
