/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What describes the file system: journal, resize inode, bitmaps, group descriptors, superblock and
 * the copies of the last two. Every field is a function of the options; libext2fs is not asked to
 * write them, because it would put the time of day in.
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

static uint64_t block_at(const struct ext4_build *b, uint64_t at)
{
	uint64_t room;

	return ext4_space_block(&b->space, at, &room);
}

/* ---- journal ---- */

static int write_journal_blocks(struct ext4_out *out, struct error *err)
{
	struct ext4_build *b = out->b;
	struct ext4_run_iter it;
	struct ext4_run run;
	char *jsb = NULL;
	int rc;

	ext4_runs_of_places(&it, b, b->journal_at, b->journal_blocks);
	while (ext4_runs_next(&it, &run)) {
		if (ext4_out_clear(out, run.block, run.len, EXTENT_ZERO, err) < 0)
			return -1;
	}
	if (ext2fs_create_journal_superblock(b->fs, b->journal_blocks, 0, &jsb))
		return error_nomem(err, "the journal's superblock");
	rc = ext4_out_block(out, block_at(b, b->journal_at), jsb, err);
	ext2fs_free_mem(&jsb);
	return rc;
}

int ext4_journal_write(struct ext4_out *out, struct ext2_inode_large *inode, struct error *err)
{
	struct ext4_build *b = out->b;
	struct ext2_super_block *super = b->fs->super;
	const uint64_t tree_at = b->journal_at + b->journal_blocks;
	struct ext4_run_iter it;
	uint64_t blocks;

	if (write_journal_blocks(out, err) < 0)
		return -1;
	ext4_runs_of_places(&it, b, b->journal_at, b->journal_blocks);
	blocks = b->journal_blocks + ext4_extent_blocks(b, &it);
	inode->i_mode = S_IFREG | 0600;
	inode->i_links_count = 1;
	ext4_inode_times(inode, b->opts->epoch, 0);
	ext4_inode_size(
		inode, (uint64_t)b->journal_blocks * b->block_size, blocks * (b->block_size / 512));
	if (ext4_extent_build(out, &it, tree_at, EXT2_JOURNAL_INO, inode, err) < 0)
		return -1;
	super->s_journal_inum = EXT2_JOURNAL_INO;
	super->s_jnl_backup_type = EXT3_JNL_BACKUP_BLOCKS;
	memcpy(super->s_jnl_blocks, inode->i_block, sizeof(inode->i_block));
	super->s_jnl_blocks[15] = inode->i_size_high;
	super->s_jnl_blocks[16] = inode->i_size;
	return 0;
}

/* ---- resize inode ---- */

/*
 * Reserved descriptor blocks are a file with double indirection: its one double indirect block
 * points to the reserved blocks of group 0, each of which lists its copies in the groups that have
 * a superblock.
 */
int ext4_resize_write(struct ext4_out *out, struct ext2_inode_large *inode, struct error *err)
{
	struct ext4_build *b = out->b;
	const struct ext2_super_block *super = b->fs->super;
	const uint32_t apb = b->block_size / 4, desc = b->fs->desc_blocks;
	uint8_t *list = out->block;
	uint32_t copies = 0;

	memset(list, 0, b->block_size);
	for (uint32_t i = 0; i < super->s_reserved_gdt_blocks; i++)
		num_put_le32(
			list + 4 * ((desc + i) % apb), super->s_first_data_block + 1 + desc + i);
	if (ext4_out_block(out, block_at(b, b->resize_at), list, err) < 0)
		return -1;
	for (uint32_t i = 0; i < super->s_reserved_gdt_blocks; i++) {
		const uint32_t block = super->s_first_data_block + 1 + desc + i;

		memset(list, 0, b->block_size);
		copies = 0;
		for (uint32_t g = 1; g < b->fs->group_desc_count && copies < apb; g++) {
			if (ext2fs_bg_has_super(b->fs, g))
				num_put_le32(
					list + 4 * copies++, block + g * super->s_blocks_per_group);
		}
		if (ext4_out_block(out, block, list, err) < 0)
			return -1;
	}
	inode->i_mode = S_IFREG | 0600;
	inode->i_links_count = 1;
	inode->i_block[EXT2_DIND_BLOCK] = (uint32_t)block_at(b, b->resize_at);
	ext4_inode_times(inode, b->opts->epoch, 0);
	ext4_inode_size(inode, ((uint64_t)apb * apb + apb + EXT2_NDIR_BLOCKS) * b->block_size,
		(1 + (uint64_t)super->s_reserved_gdt_blocks * (1 + copies)) *
			(b->block_size / 512));
	return 0;
}

/* ---- bitmaps and descriptors ---- */

/* Clears bits [from, to). */
static void clear_bits(uint8_t *map, uint32_t from, uint32_t to)
{
	for (; from < to && from % 8; from++)
		map[from / 8] &= (uint8_t) ~(1u << from % 8);
	memset(map + from / 8, 0, from < to ? (to - from) / 8 : 0);
	for (from = MAX(from, to & ~7u); from < to; from++)
		map[from / 8] &= (uint8_t) ~(1u << from % 8);
}

/*
 * The group's block bitmap into `map`; returns the number of free blocks. *next: first range to
 * look at.
 */
static uint32_t block_map(const struct ext4_build *b, uint32_t group, const struct ext4_ranges *r,
	size_t *next, uint8_t *map)
{
	const uint64_t first = ext2fs_group_first_block2(b->fs, group);
	const uint64_t end = ext2fs_group_last_block2(b->fs, group) + 1;
	uint32_t nr_free = 0;

	memset(map, 0xff, b->block_size);
	for (; *next < r->nr; (*next)++) {
		const struct ext4_range *range = &r->items[*next];
		uint64_t from = MAX(range->block, first), to = MIN(range->block + range->len, end);

		if (from < to) {
			clear_bits(map, (uint32_t)(from - first), (uint32_t)(to - first));
			nr_free += (uint32_t)(to - from);
		}
		if (range->block + range->len > end)
			break;
	}
	return nr_free;
}

/*
 * Writes the block bitmap unless the kernel can work it out: nothing in the group but superblock
 * and descriptors.
 */
static int finish_blocks(struct ext4_out *out, uint32_t group, uint32_t nr_free, struct error *err)
{
	struct ext4_build *b = out->b;
	ext2_filsys fs = b->fs;
	uint32_t size = (uint32_t)(ext2fs_group_last_block2(fs, group) -
				   ext2fs_group_first_block2(fs, group) + 1);
	uint32_t head = ext2fs_bg_has_super(fs, group)
				? 1 + fs->desc_blocks + fs->super->s_reserved_gdt_blocks
				: 0;
	uint64_t loc = ext2fs_block_bitmap_loc(fs, group);

	ext2fs_bg_free_blocks_count_set(fs, group, nr_free);
	if (!b->classic && nr_free + head == size && group + 1 < fs->group_desc_count) {
		ext2fs_bg_flags_set(fs, group, EXT2_BG_BLOCK_UNINIT);
		return ext4_out_clear(out, loc, 1, EXTENT_ZERO, err);
	}
	if (!b->classic)
		ext2fs_bg_flags_clear(fs, group, EXT2_BG_BLOCK_UNINIT);
	if (ext2fs_block_bitmap_csum_set(
		    fs, group, (char *)out->block, (int)fs->super->s_clusters_per_group / 8))
		return error_set(err, ERROR_BUG, 0, "cannot sum a bitmap");
	return ext4_out_block(out, loc, out->block, err);
}

/* Directories among the inodes of a group. */
static uint32_t count_dirs(const struct ext4_build *b, uint32_t first_ino, uint32_t used)
{
	struct tree_attr attr;
	uint32_t nr = 0;

	for (uint32_t ino = first_ino; ino < first_ino + used; ino++) {
		const struct ext4_slot *slot;

		if (ino != EXT2_ROOT_INO && ino < EXT2_GOOD_OLD_FIRST_INO)
			continue;
		slot = &b->slots[ext4_slot_of(ino)];
		if (slot->node != TREE_NONE)
			tree_get(b->t, slot->node, &attr);
		nr += slot->node == TREE_NONE || S_ISDIR(attr.mode);
	}
	return nr;
}

static int finish_inodes(struct ext4_out *out, uint32_t group, struct error *err)
{
	struct ext4_build *b = out->b;
	ext2_filsys fs = b->fs;
	const uint32_t per = fs->super->s_inodes_per_group, last = ext4_inodes_used(b);
	uint32_t used = last > group * per ? MIN(last - group * per, per) : 0;
	uint64_t loc = ext2fs_inode_bitmap_loc(fs, group);

	ext2fs_bg_free_inodes_count_set(fs, group, per - used);
	ext2fs_bg_used_dirs_count_set(fs, group, count_dirs(b, group * per + 1, used));
	if (!b->classic) {
		ext2fs_bg_itable_unused_set(fs, group, per - used);
		ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
	}
	if (used == 0 && !b->classic) {
		ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_UNINIT);
		return ext4_out_clear(out, loc, 1, EXTENT_ZERO, err);
	}
	if (!b->classic)
		ext2fs_bg_flags_clear(fs, group, EXT2_BG_INODE_UNINIT);
	memset(out->block, 0xff, b->block_size);
	clear_bits(out->block, used, per);
	if (ext2fs_inode_bitmap_csum_set(fs, group, (char *)out->block, (int)per / 8))
		return error_set(err, ERROR_BUG, 0, "cannot sum a bitmap");
	return ext4_out_block(out, loc, out->block, err);
}

static int write_bitmaps(
	struct ext4_out *out, const struct ext4_ranges *free_ranges, struct error *err)
{
	struct ext4_build *b = out->b;
	uint64_t total = 0;
	size_t next = 0;

	for (uint32_t g = 0; g < b->fs->group_desc_count; g++) {
		uint32_t nr = block_map(b, g, free_ranges, &next, out->block);

		total += nr;
		if (finish_blocks(out, g, nr, err) < 0)
			return -1;
	}
	for (uint32_t g = 0; g < b->fs->group_desc_count; g++) {
		if (finish_inodes(out, g, err) < 0)
			return -1;
		ext2fs_group_desc_csum_set(b->fs, g);
	}
	ext2fs_free_blocks_count_set(b->fs->super, total);
	b->fs->super->s_free_inodes_count = b->fs->super->s_inodes_count - ext4_inodes_used(b);
	return 0;
}

/* ---- superblock ---- */

static void fill_super(struct ext4_build *b)
{
	const struct ext4_opts *o = b->opts;
	struct ext2_super_block *s = b->fs->super;
	const uint32_t lo = (uint32_t)o->epoch;
	const uint8_t hi = (uint8_t)(o->epoch >> 32);

	s->s_wtime = s->s_mkfs_time = s->s_lastcheck = lo;
	s->s_wtime_hi = s->s_mkfs_time_hi = s->s_lastcheck_hi = hi;
	s->s_max_mnt_count = -1;
	s->s_creator_os = EXT2_OS_LINUX;
	s->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	s->s_def_hash_version = EXT2_HASH_HALF_MD4;
	s->s_flags = (s->s_flags & ~(uint32_t)EXT2_FLAGS_UNSIGNED_HASH) | EXT2_FLAGS_SIGNED_HASH;
	memcpy(s->s_hash_seed, o->hash_seed, sizeof(s->s_hash_seed));
	memcpy(s->s_volume_name, o->label, MIN(strlen(o->label), sizeof(s->s_volume_name)));
	if (o->last_mounted)
		memcpy(s->s_last_mounted, o->last_mounted,
			MIN(strlen(o->last_mounted), sizeof(s->s_last_mounted) - 1));
}

/*
 * Superblock, descriptors and reserved blocks of one group. Group 0's reserved ones are the resize
 * inode's.
 */
static int write_copy(struct ext4_out *out, uint32_t group, struct error *err)
{
	struct ext4_build *b = out->b;
	ext2_filsys fs = b->fs;
	struct ext2_super_block super = *fs->super;
	uint64_t first = ext2fs_group_first_block2(fs, group);
	uint64_t off = group == 0 ? SUPERBLOCK_OFFSET : first * b->block_size;

	super.s_block_group_nr = (uint16_t)group;
	if (group)
		super.s_state &= (uint16_t)~EXT2_VALID_FS;
	ext2fs_superblock_csum_set(fs, &super);
	/* The rest of the superblock's block belongs to it and is read with it. */
	if (ext4_out_flush(out, err) < 0 || ext4_out_clear(out, first, 1, EXTENT_ZERO, err) < 0 ||
		ext4_out_bytes(out, off, &super, sizeof(super), err) < 0)
		return -1;
	if (ext4_out_bytes(out, (first + 1) * b->block_size, fs->group_desc,
		    (size_t)fs->desc_blocks * b->block_size, err) < 0)
		return -1;
	if (group == 0)
		return 0;
	return ext4_out_clear(
		out, first + 1 + fs->desc_blocks, super.s_reserved_gdt_blocks, EXTENT_ZERO, err);
}

int ext4_super_write(struct ext4_out *out, const struct ext4_ranges *free_ranges, struct error *err)
{
	struct ext4_build *b = out->b;

	fill_super(b);
	if (write_bitmaps(out, free_ranges, err) < 0)
		return -1;
	for (uint32_t g = 0; g < b->fs->group_desc_count; g++) {
		if (ext2fs_bg_has_super(b->fs, g) && write_copy(out, g, err) < 0)
			return -1;
	}
	return ext4_out_flush(out, err);
}
