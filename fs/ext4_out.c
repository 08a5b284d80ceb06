/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of metadata to the device: blocks that follow each other are put together into one write,
 * since directories and inode tables come block by block in ascending order.
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

int ext4_out_init(struct ext4_out *out, struct dev *dev, struct ext4_build *b, struct error *err)
{
	*out = (struct ext4_out){.dev = dev, .b = b};
	out->buf = malloc(EXT4_OUT_SIZE);
	out->block = malloc(b->block_size);
	if (out->buf && out->block)
		return 0;
	ext4_out_release(out);
	return error_nomem(err, "a buffer for blocks");
}

void ext4_out_release(struct ext4_out *out)
{
	free(out->buf);
	free(out->block);
	out->buf = out->block = NULL;
}

int ext4_out_flush(struct ext4_out *out, struct error *err)
{
	size_t len = out->len;

	out->len = 0;
	return len ? dev_pwrite(out->dev, out->buf, len, out->off, err) : 0;
}

int ext4_out_bytes(
	struct ext4_out *out, uint64_t off, const void *data, size_t len, struct error *err)
{
	if ((out->off + out->len != off || out->len + len > EXT4_OUT_SIZE) &&
		ext4_out_flush(out, err) < 0)
		return -1;
	if (len > EXT4_OUT_SIZE)
		return dev_pwrite(out->dev, data, len, off, err);
	if (out->len == 0)
		out->off = off;
	memcpy(out->buf + out->len, data, len);
	out->len += len;
	return 0;
}

int ext4_out_block(struct ext4_out *out, uint64_t block, const void *data, struct error *err)
{
	const uint32_t bs = out->b->block_size;

	return ext4_out_bytes(out, block * bs, data, bs, err);
}

int ext4_out_clear(struct ext4_out *out, uint64_t block, uint64_t len, enum extent_kind kind,
	struct error *err)
{
	const uint32_t bs = out->b->block_size;

	return len ? dev_clear(out->dev, block * bs, len * bs, kind, err) : 0;
}

uint32_t ext4_inode_crc(const struct ext4_build *b, uint32_t ino)
{
	const uint32_t head[2] = {ino, 0};

	return ext2fs_crc32c_le(b->fs->csum_seed, (const unsigned char *)head, sizeof(head));
}
