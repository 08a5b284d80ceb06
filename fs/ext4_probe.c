/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free blocks of an ext2/3/4 file system, read by libext2fs through an io_manager over our dev.
 * Left out of a snapshot is what we report here, so in all doubt nothing is: a bitmap is trusted
 * only when the file system is clean and the bitmap's sum is the superblock's.
 */
#include "fs/ext4_probe.h"

#include <string.h>

#include <ext2fs/ext2fs.h>

#include "base/num.h"
#include "fs/ext4_channel.h"

/* With clusters (bigalloc) the bitmap's bits are not blocks; nobody makes such images. */
static bool is_trustworthy(const struct dev *dev, const ext2_filsys fs)
{
	uint64_t size;

	return (fs->super->s_state & EXT2_VALID_FS) && !(fs->super->s_state & EXT2_ERROR_FS) &&
		!ext2fs_has_feature_journal_needs_recovery(fs->super) &&
		!ext2fs_has_feature_bigalloc(fs->super) &&
		!num_mul(ext2fs_blocks_count(fs->super), fs->blocksize, &size) && size <= dev->size;
}

/* The next run of free blocks at or after *block; false when there is none. */
static bool next_free(ext2_filsys fs, blk64_t *block, blk64_t *nr)
{
	blk64_t last = ext2fs_blocks_count(fs->super) - 1, end;

	if (*block > last ||
		ext2fs_find_first_zero_block_bitmap2(fs->block_map, *block, last, block) != 0)
		return false;
	if (ext2fs_find_first_set_block_bitmap2(fs->block_map, *block, last, &end) != 0)
		end = last + 1;
	*nr = end - *block;
	return true;
}

static blk64_t count_free(ext2_filsys fs)
{
	blk64_t total = 0, nr;

	for (blk64_t block = fs->super->s_first_data_block; next_free(fs, &block, &nr); block += nr)
		total += nr;
	return total;
}

static int walk_free(ext2_filsys fs, ext4_free_fn each, void *arg, struct ext4_usage *out,
	struct error *err)
{
	blk64_t free_blocks = count_free(fs), nr;

	if (free_blocks != ext2fs_free_blocks_count(fs->super))
		return 0;
	out->known = true;
	out->block_size = fs->blocksize;
	out->size = ext2fs_blocks_count(fs->super) * fs->blocksize;
	out->used = out->size - free_blocks * fs->blocksize;
	for (blk64_t block = fs->super->s_first_data_block; each && next_free(fs, &block, &nr);
		block += nr)
		if (each(arg, block * fs->blocksize, nr * fs->blocksize, err) < 0)
			return -1;
	return 0;
}

int ext4_probe_usage(struct dev *dev, ext4_free_fn each, void *arg, struct ext4_usage *out,
	struct error *err)
{
	struct ext4_channel in = {.dev = dev, .err = ERROR_INIT};
	ext2_filsys fs = NULL;
	errcode_t r;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	r = ext4_channel_open(&in, &fs);
	if (r == 0 && is_trustworthy(dev, fs))
		r = ext2fs_read_block_bitmap(fs);
	if (r == 0 && fs->block_map)
		ret = walk_free(fs, each, arg, out, err);
	if (fs)
		ext2fs_free(fs);
	if (in.err.kind == ERROR_NONE)
		return ret;
	if (err)
		*err = in.err;
	return -1;
}
