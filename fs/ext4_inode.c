/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes, built one after another in the order of their numbers and written table by table. What
 * belongs to an inode but lies elsewhere (extent tree, block of attributes) is written on the way.
 */
#include "fs/ext4_internal.h"

#include <string.h>

#include <ext2fs/ext2_ext_attr.h>

#include "base/num.h"

_Static_assert(sizeof(struct ext2_inode_large) == EXT2_GOOD_OLD_INODE_SIZE + EXT4_EXTRA_ISIZE,
	"the inode ends where its attributes begin");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"structures of ext4 are written as they are in memory");

/* An inode and the attributes in its tail. */
struct whole_inode {
	struct ext2_inode_large core;
	uint8_t tail[EXT4_INODE_SIZE - sizeof(struct ext2_inode_large)];
};

/* Seconds as 34 bits from 1901-12-13 on, which is what kernel and e2fsprogs read back. */
static uint32_t time_extra(int64_t *sec, uint32_t ns)
{
	const int64_t min = INT32_MIN, max = INT32_MAX + INT64_C(3) * (INT64_C(1) << 32);

	*sec = *sec < min ? min : *sec > max ? max : *sec;
	return ((uint32_t)((*sec - (int32_t)*sec) >> 32) & 3u) | ns << 2;
}

void ext4_inode_times(struct ext2_inode_large *inode, int64_t sec, uint32_t ns)
{
	uint32_t extra = time_extra(&sec, ns);

	inode->i_atime = inode->i_ctime = inode->i_mtime = inode->i_crtime = (uint32_t)sec;
	inode->i_atime_extra = inode->i_ctime_extra = extra;
	inode->i_mtime_extra = inode->i_crtime_extra = extra;
	inode->i_extra_isize = EXT4_EXTRA_ISIZE;
}

void ext4_inode_size(struct ext2_inode_large *inode, uint64_t size, uint64_t sectors)
{
	inode->i_size = (uint32_t)size;
	inode->i_size_high = (uint32_t)(size >> 32);
	inode->i_blocks = (uint32_t)sectors;
	inode->osd2.linux2.l_i_blocks_hi = (uint16_t)(sectors >> 32);
}

/*
 * As the kernel stores device numbers: 8 and 8 bits in the first word, or 12 and 20 in the second.
 */
static void put_device(struct ext2_inode_large *inode, uint32_t major, uint32_t minor)
{
	if (major < 256 && minor < 256)
		inode->i_block[0] = major << 8 | minor;
	else
		inode->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static int put_symlink(struct ext4_out *out, const struct ext4_slot *slot,
	const struct tree_attr *attr, struct error *err)
{
	struct ext4_build *b = out->b;
	uint64_t room;

	memset(out->block, 0, b->block_size);
	memcpy(out->block, attr->target, attr->size);
	return ext4_out_block(out, ext4_space_block(&b->space, slot->at, &room), out->block, err);
}

static int put_xattrs(struct ext4_out *out, const struct ext4_slot *slot, uint32_t ino,
	struct whole_inode *w, struct error *err)
{
	struct ext4_build *b = out->b;
	uint64_t room, block;

	if (!slot->xattr_block)
		return ext4_xattr_put(b, slot->node, w->tail, NULL, err);
	memset(out->block, 0, b->block_size);
	if (ext4_xattr_put(b, slot->node, w->tail, out->block, err) < 0)
		return -1;
	block = ext4_space_block(&b->space, slot->at + ext4_slot_places(b, slot) - 1, &room);
	if (ext2fs_ext_attr_block_csum_set(b->fs, ino, block, (void *)out->block))
		return error_set(err, ERROR_BUG, 0, "cannot sum a block of attributes");
	w->core.i_file_acl = (uint32_t)block;
	w->core.osd2.linux2.l_i_file_acl_high = (uint16_t)(block >> 32);
	return ext4_out_block(out, block, out->block, err);
}

static int put_content(struct ext4_out *out, const struct ext4_slot *slot, uint32_t ino,
	const struct tree_attr *attr, struct ext2_inode_large *inode, struct error *err)
{
	struct ext4_run_iter it;

	if (S_ISCHR(attr->mode) || S_ISBLK(attr->mode))
		put_device(inode, attr->rdev_major, attr->rdev_minor);
	if (S_ISLNK(attr->mode) && slot->nr_blocks == 0)
		memcpy(inode->i_block, attr->target, attr->size);
	if (S_ISLNK(attr->mode) && slot->nr_blocks > 0 && put_symlink(out, slot, attr, err) < 0)
		return -1;
	if (!S_ISREG(attr->mode) && slot->nr_blocks == 0)
		return 0;
	ext4_runs_of_slot(&it, out->b, slot);
	return ext4_extent_build(out, &it, slot->at + slot->nr_blocks, ino, inode, err);
}

/* Attributes of the lost+found that no tree has. */
static void own_attr(const struct ext4_build *b, struct tree_attr *attr)
{
	*attr = (struct tree_attr){.mode = S_IFDIR | 0700, .mtime = b->opts->epoch};
}

static int build_inode(struct ext4_out *out, const struct ext4_slot *slot, uint32_t ino,
	struct whole_inode *w, struct error *err)
{
	struct ext4_build *b = out->b;
	struct ext2_inode_large *inode = &w->core;
	struct tree_attr attr;

	if (slot->node == TREE_NONE)
		own_attr(b, &attr);
	else
		tree_get(b->t, slot->node, &attr);
	inode->i_mode = (uint16_t)attr.mode;
	inode->i_uid = (uint16_t)attr.uid;
	inode->osd2.linux2.l_i_uid_high = (uint16_t)(attr.uid >> 16);
	inode->i_gid = (uint16_t)attr.gid;
	inode->osd2.linux2.l_i_gid_high = (uint16_t)(attr.gid >> 16);
	/* A directory with more links than there is room for says 1. */
	inode->i_links_count = (uint16_t)(slot->links > EXT4_LINKS_MAX ? 1 : slot->links);
	ext4_inode_times(inode, attr.mtime, attr.mtime_ns);
	if (S_ISDIR(attr.mode)) {
		attr.size = (uint64_t)slot->nr_blocks * b->block_size;
		if (ext4_dir_indexed(b, slot))
			inode->i_flags |= EXT2_INDEX_FL;
	}
	ext4_inode_size(inode, attr.size, ext4_slot_places(b, slot) * (b->block_size / 512));
	if (put_content(out, slot, ino, &attr, inode, err) < 0)
		return -1;
	return slot->node == TREE_NONE ? 0 : put_xattrs(out, slot, ino, w, err);
}

/* Any inode; what is not in use stays all zeros. */
static int build_any(struct ext4_out *out, uint32_t ino, struct whole_inode *w, struct error *err)
{
	struct ext4_build *b = out->b;
	int rc = 0;

	memset(w, 0, sizeof(*w));
	if (ino == EXT2_ROOT_INO || ino >= EXT2_GOOD_OLD_FIRST_INO)
		rc = build_inode(out, &b->slots[ext4_slot_of(ino)], ino, w, err);
	else if (ino == EXT2_RESIZE_INO)
		rc = ext4_resize_write(out, &w->core, err);
	else if (ino == EXT2_JOURNAL_INO && b->journal_blocks)
		rc = ext4_journal_write(out, &w->core, err);
	else
		return 0;
	if (rc == 0 && ext2fs_inode_csum_set(b->fs, ino, &w->core))
		return error_set(err, ERROR_BUG, 0, "cannot sum an inode");
	return rc;
}

/*
 * One group's table: inodes up to `last`, the rest of their last block as zeros, and zero blocks.
 */
static int write_table(struct ext4_out *out, struct ext4_out *table, uint32_t group, uint32_t last,
	struct error *err)
{
	ext2_filsys fs = out->b->fs;
	const uint32_t per = fs->super->s_inodes_per_group;
	const uint32_t per_block = out->b->block_size / EXT4_INODE_SIZE;
	const uint64_t start = ext2fs_inode_table_loc(fs, group);
	uint32_t used = last > group * per ? MIN(last - group * per, per) : 0;
	uint32_t full = (uint32_t)num_align(used, per_block);
	struct whole_inode w;

	for (uint32_t i = 0; i < full; i++) {
		if (i >= used)
			memset(&w, 0, sizeof(w));
		else if (build_any(out, group * per + i + 1, &w, err) < 0)
			return -1;
		if (ext4_out_bytes(table, start * out->b->block_size + (uint64_t)i * sizeof(w), &w,
			    sizeof(w), err) < 0)
			return -1;
	}
	return ext4_out_clear(out, start + full / per_block,
		fs->inode_blocks_per_group - full / per_block, EXTENT_ZERO, err);
}

int ext4_inodes_write(struct ext4_out *out, struct error *err)
{
	const uint32_t last = ext4_inodes_used(out->b);
	struct ext4_out table;
	int rc = 0;

	if (ext4_out_init(&table, out->dev, out->b, err) < 0)
		return -1;
	for (uint32_t g = 0; rc == 0 && g < out->b->fs->group_desc_count; g++)
		rc = write_table(out, &table, g, last, err);
	if (rc == 0)
		rc = ext4_out_flush(&table, err);
	ext4_out_release(&table);
	return rc;
}
