/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free blocks of an ext2/3/4 file system, read by libext2fs through an io_manager over our dev.
 * Left out of a snapshot is what we report here, so in all doubt nothing is: a bitmap is trusted
 * only when the file system is clean and the bitmap's sum is the superblock's.
 */
#include "fs/ext4_probe.h"

#include <stdarg.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "base/num.h"

/* What a channel reads from; the first error of ours is kept, for libext2fs only passes numbers. */
struct probe_input {
	struct dev *dev;
	struct error err;
};

/* io_manager's open() gets a name and nothing else, so the input comes to it beside the call. */
static _Thread_local struct probe_input *opening;

static struct struct_io_manager probe_manager;

static errcode_t probe_open(const char *name, int flags, io_channel *out)
{
	io_channel channel;
	errcode_t r = ext2fs_get_memzero(sizeof(*channel), &channel);

	(void)flags;
	if (r)
		return r;
	r = ext2fs_get_mem(strlen(name) + 1, &channel->name);
	if (r) {
		ext2fs_free_mem(&channel);
		return r;
	}
	memcpy(channel->name, name, strlen(name) + 1);
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &probe_manager;
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = opening;
	*out = channel;
	return 0;
}

static errcode_t probe_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	ext2fs_free_mem(&channel->name);
	return ext2fs_free_mem(&channel);
}

static errcode_t probe_set_blksize(io_channel channel, int blksize)
{
	channel->block_size = blksize;
	return 0;
}

/* count is blocks, or bytes when negative. */
static errcode_t probe_read_blk64(io_channel channel, unsigned long long block, int count, void *data)
{
	struct probe_input *in = channel->private_data;
	uint64_t len = count < 0 ? (uint64_t)-(int64_t)count
				 : (uint64_t)count * (unsigned)channel->block_size;
	uint64_t off;

	if (num_mul(block, (unsigned)channel->block_size, &off) || off > in->dev->size ||
		len > in->dev->size - off)
		return EXT2_ET_SHORT_READ;
	if (dev_pread(in->dev, data, len, off, &in->err) < 0)
		return EXT2_ET_SHORT_READ;
	return 0;
}

static errcode_t probe_read_blk(io_channel channel, unsigned long block, int count, void *data)
{
	return probe_read_blk64(channel, block, count, data);
}

static errcode_t probe_write_blk64(io_channel channel, unsigned long long block, int count,
	const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t probe_write_blk(io_channel channel, unsigned long block, int count, const void *data)
{
	return probe_write_blk64(channel, block, count, data);
}

static errcode_t probe_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager probe_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "dev",
	.open = probe_open,
	.close = probe_close,
	.set_blksize = probe_set_blksize,
	.read_blk = probe_read_blk,
	.write_blk = probe_write_blk,
	.flush = probe_flush,
	.read_blk64 = probe_read_blk64,
	.write_blk64 = probe_write_blk64,
};

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

/* libext2fs talks to stderr about blocks out of range; that a bitmap is wrong is seen by its sum. */
static void say_nothing(const char *who, errcode_t code, const char *fmt, va_list args)
{
	(void)who, (void)code, (void)fmt, (void)args;
}

int ext4_probe_usage(struct dev *dev, ext4_free_fn each, void *arg, struct ext4_usage *out,
	struct error *err)
{
	struct probe_input in = {.dev = dev, .err = ERROR_INIT};
	ext2_filsys fs = NULL;
	errcode_t r;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	set_com_err_hook(say_nothing);
	opening = &in;
	r = ext2fs_open2("dev", NULL, EXT2_FLAG_64BITS, 0, 0, &probe_manager, &fs);
	opening = NULL;
	/*
	 * A whole file system is looked at with its backup superblocks never; a damaged one is not
	 * known.
	 */
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
