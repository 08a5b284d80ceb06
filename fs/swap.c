/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swap: a header of one page of 4 KiB and nothing else. The kernel's include/linux/swap.h, union
 * swap_header, version 1:
 *
 *   0     room for a boot sector
 *   1024  version (1) · last page · number of bad pages · uuid 16 · label 16, little-endian
 *   4086  "SWAPSPACE2"
 */
#include "fs/fs_types.h"

#include <string.h>

#include "base/num.h"

enum { PAGE = 4096, INFO = 1024, LEAST_PAGES = 10, LABEL = 16 };

static int swap_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	(void)err;
	*least = fs->ops->least;
	*roomy = GIB;
	return 0;
}

/* The number of the last page has 32 bits. */
static uint64_t pages_of(uint64_t len)
{
	return MIN(len / PAGE, (uint64_t)UINT32_MAX);
}

static int swap_plan(struct fs *fs, struct fs_sums *out, struct error *err)
{
	(void)err;
	out->size = pages_of(fs->len) * PAGE;
	out->used = PAGE;
	out->free = out->size - PAGE;
	return 0;
}

static int swap_write(struct fs *fs, struct dev *dev, struct error *err)
{
	uint8_t page[PAGE] = {0};
	const char *label = fs->opts.label ? fs->opts.label : "";
	size_t len = strlen(label);

	/* Cut between characters, with room for the NUL that mkswap keeps. */
	if (len >= LABEL) {
		len = LABEL - 1;
		while (len && ((unsigned char)label[len] & 0xc0) == 0x80)
			len--;
	}
	num_put_le32(page + INFO, 1);
	num_put_le32(page + INFO + 4, (uint32_t)(pages_of(dev->size) - 1));
	memcpy(page + INFO + 12, fs->opts.uuid, sizeof(fs->opts.uuid));
	memcpy(page + INFO + 28, label, len);
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	if (dev_pwrite(dev, page, sizeof(page), 0, err) < 0)
		return -1;
	return dev_clear(dev, PAGE, dev->size - PAGE, EXTENT_UNUSED, err);
}

const struct fs_ops fs_swap_ops = {
	.name = "swap",
	.flags = FS_NO_TREE,
	.least = LEAST_PAGES * PAGE,
	.label_max = LABEL - 1,
	.sizes = swap_sizes,
	.plan = swap_plan,
	.write = swap_write,
};
