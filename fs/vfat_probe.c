/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free clusters of a FAT. Fields of the boot sector and the rule for FAT12, 16 and 32 (the number of
 * clusters alone decides) are those of Microsoft's "FAT: General Overview of On-Disk Format".
 */
#include "fs/vfat_probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

enum {
	PIECE = 256 << 10, /* bytes of the FAT at a time */
	FAT12_CLUSTERS = 4085,
	FAT16_CLUSTERS = 65525,
	CLEAN16 = 0x8000,
	CLEAN32 = 0x08000000,
};

struct layout {
	uint32_t entry;    /* bytes: 2 or 4 */
	uint64_t fat_off, data_off, cluster_bytes, clusters, size;
};

/* False when it is none that we understand, or the device is too small for it. */
static bool read_layout(const uint8_t *b, uint64_t dev_size, struct layout *l)
{
	uint64_t sector = num_get_le16(b + 11), reserved = num_get_le16(b + 14);
	uint64_t sectors = num_get_le16(b + 19), fat = num_get_le16(b + 22);
	uint64_t root = num_get_le16(b + 17) * UINT64_C(32), head;

	if (num_get_le16(b + 510) != 0xaa55 || sector < 512 || sector > 4096 ||
		(sector & (sector - 1)) || !b[13] || (b[13] & (b[13] - 1)) || !b[16] || !reserved)
		return false;
	fat = fat ? fat : num_get_le32(b + 36);
	sectors = sectors ? sectors : num_get_le32(b + 32);
	head = reserved + b[16] * fat + num_div_up(root, sector);
	if (!fat || sectors <= head || sectors * sector > dev_size)
		return false;
	l->size = sectors * sector;
	l->fat_off = reserved * sector;
	l->data_off = head * sector;
	l->cluster_bytes = b[13] * sector;
	l->clusters = (sectors - head) / b[13];
	l->entry = l->clusters < FAT16_CLUSTERS ? 2 : 4;
	return l->clusters >= FAT12_CLUSTERS && (l->clusters + 2) * l->entry <= fat * sector;
}

struct walk {
	const struct layout *l;
	vfat_free_fn each;
	void *arg;
	uint64_t free_from; /* cluster from 0; UINT64_MAX: the last one was in use */
	uint64_t nr_free;
};

static int end_run(struct walk *w, uint64_t at, struct error *err)
{
	uint64_t from = w->free_from;

	w->free_from = UINT64_MAX;
	if (from == UINT64_MAX)
		return 0;
	w->nr_free += at - from;
	return w->each ? w->each(w->arg, w->l->data_off + from * w->l->cluster_bytes,
				 (at - from) * w->l->cluster_bytes, err)
		       : 0;
}

static bool is_free(const struct layout *l, const uint8_t *e)
{
	return l->entry == 2 ? num_get_le16(e) == 0 : (num_get_le32(e) & 0x0fffffff) == 0;
}

static int walk_fat(struct dev *dev, struct walk *w, struct error *err)
{
	const struct layout *l = w->l;
	CLEANUP_FREE uint8_t *piece = malloc(PIECE);
	const uint64_t per = PIECE / l->entry;

	if (!piece)
		return error_nomem(err, "a part of a FAT");
	for (uint64_t at = 0; at < l->clusters; at += per) {
		uint64_t nr = MIN(per, l->clusters - at);

		if (dev_pread(dev, piece, nr * l->entry, l->fat_off + (at + 2) * l->entry, err) < 0)
			return -1;
		for (uint64_t i = 0; i < nr; i++) {
			if (!is_free(l, piece + i * l->entry)) {
				if (end_run(w, at + i, err) < 0)
					return -1;
			} else if (w->free_from == UINT64_MAX) {
				w->free_from = at + i;
			}
		}
	}
	return end_run(w, l->clusters, err);
}

int vfat_probe_usage(struct dev *dev, vfat_free_fn each, void *arg, struct vfat_usage *out,
	struct error *err)
{
	uint8_t boot[512], marks[8];
	struct layout l;
	struct walk w = {.l = &l, .each = each, .arg = arg, .free_from = UINT64_MAX};

	*out = (struct vfat_usage){.known = false};
	if (dev->size < sizeof(boot))
		return 0;
	if (dev_pread(dev, boot, sizeof(boot), 0, err) < 0)
		return -1;
	if (!read_layout(boot, dev->size, &l))
		return 0;
	if (dev_pread(dev, marks, sizeof(marks), l.fat_off, err) < 0)
		return -1;
	/* The entry of cluster 1, which there is none of, says whether it was left in order. */
	if (l.entry == 2 ? !(num_get_le16(marks + 2) & CLEAN16)
			 : !(num_get_le32(marks + 4) & CLEAN32))
		return 0;
	if (walk_fat(dev, &w, err) < 0)
		return -1;
	out->known = true;
	out->size = l.size;
	out->used = l.size - w.nr_free * l.cluster_bytes;
	return 0;
}
