/* SPDX-License-Identifier: Apache-2.0 */
/* libext2fs's io_manager over our dev, for reading. */
#include "fs/ext4_channel.h"

#include <stdarg.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "base/num.h"

/* io_manager's open() gets a name and nothing else, so the input comes to it beside the call. */
static _Thread_local struct ext4_channel *opening;

static struct struct_io_manager channel_manager;

static errcode_t channel_open(const char *name, int flags, io_channel *out)
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
	channel->manager = &channel_manager;
	channel->block_size = 1024;
	channel->refcount = 1;
	channel->private_data = opening;
	*out = channel;
	return 0;
}

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	ext2fs_free_mem(&channel->name);
	return ext2fs_free_mem(&channel);
}

static errcode_t channel_set_blksize(io_channel channel, int blksize)
{
	channel->block_size = blksize;
	return 0;
}

/* count is blocks, or bytes when negative. */
static errcode_t channel_read_blk64(io_channel channel, unsigned long long block, int count, void *data)
{
	struct ext4_channel *in = channel->private_data;
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

static errcode_t channel_read_blk(io_channel channel, unsigned long block, int count, void *data)
{
	return channel_read_blk64(channel, block, count, data);
}

static errcode_t channel_write_blk64(io_channel channel, unsigned long long block, int count,
	const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write_blk(io_channel channel, unsigned long block, int count, const void *data)
{
	return channel_write_blk64(channel, block, count, data);
}

static errcode_t channel_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager channel_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "dev",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_blksize,
	.read_blk = channel_read_blk,
	.write_blk = channel_write_blk,
	.flush = channel_flush,
	.read_blk64 = channel_read_blk64,
	.write_blk64 = channel_write_blk64,
};

/* libext2fs talks to stderr about blocks out of range; callers see the error that it returns. */
static void say_nothing(const char *who, errcode_t code, const char *fmt, va_list args)
{
	(void)who, (void)code, (void)fmt, (void)args;
}

/*
 * What libext2fs believes a superblock and then writes beyond its bitmaps, or allocates for: a first
 * block that is none, groups that are no whole bytes of a bitmap, more blocks than there are.
 */
static bool is_sane(const uint8_t *sb, uint64_t dev_size)
{
	uint32_t first = num_get_le32(sb + 20), shift = num_get_le32(sb + 24);
	uint32_t blocks_per_group = num_get_le32(sb + 32), inodes_per_group = num_get_le32(sb + 40);
	uint64_t blocks = num_get_le32(sb + 4), size;

	if (num_get_le32(sb + 96) & EXT4_FEATURE_INCOMPAT_64BIT)
		blocks |= (uint64_t)num_get_le32(sb + 336) << 32;
	return shift <= 6 && first <= (shift == 0) && blocks > first && blocks_per_group &&
	       blocks_per_group % 8 == 0 && inodes_per_group && inodes_per_group % 8 == 0 &&
	       !num_mul(blocks, UINT64_C(1024) << shift, &size) && size <= dev_size;
}

static errcode_t check_superblock(struct ext4_channel *c)
{
	uint8_t sb[SUPERBLOCK_SIZE];

	if (c->dev->size < SUPERBLOCK_OFFSET + sizeof(sb) ||
		dev_pread(c->dev, sb, sizeof(sb), SUPERBLOCK_OFFSET, &c->err) < 0)
		return EXT2_ET_SHORT_READ;
	return is_sane(sb, c->dev->size) ? 0 : EXT2_ET_CORRUPT_SUPERBLOCK;
}

long ext4_channel_open(struct ext4_channel *c, struct struct_ext2_filsys **fs)
{
	errcode_t r;

	*fs = NULL;
	r = check_superblock(c);
	if (r)
		return r;
	set_com_err_hook(say_nothing);
	opening = c;
	r = ext2fs_open2("dev", NULL, EXT2_FLAG_64BITS, 0, 0, &channel_manager, fs);
	opening = NULL;
	return r;
}
