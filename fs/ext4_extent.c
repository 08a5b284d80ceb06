/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which blocks a file has: its stretches without holes, laid over the spans of the space, give
 * runs; runs are the extents. Up to four of them live in the inode; more in a tree of blocks:
 *
 *   inode: header, 4 × index ─▶ block: header, n × index ─▶ block: header, n × extent, checksum
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext3_extents.h>

#include "base/num.h"

/*
 * Takes the next stretch of blocks that the pieces cover. A block belongs to it when any piece
 * touches it.
 */
static bool next_stretch(struct ext4_run_iter *it)
{
	const uint32_t bs = it->b->block_size;
	struct tree_piece p;
	uint64_t end = 0;
	bool any = false;

	for (; it->piece < it->nr_pieces; it->piece++) {
		tree_piece(it->b->t, it->node, it->piece, &p);
		if (p.len == 0)
			continue;
		if (any && p.off / bs > end)
			break;
		if (!any)
			it->lblk = p.off / bs;
		end = MAX(end, (p.off + p.len - 1) / bs + 1);
		any = true;
	}
	it->left = any ? end - it->lblk : 0;
	return any;
}

void ext4_runs_of_places(
	struct ext4_run_iter *it, const struct ext4_build *b, uint64_t at, uint64_t nr_blocks)
{
	*it = (struct ext4_run_iter){.b = b, .node = TREE_NONE, .left = nr_blocks, .at = at};
}

void ext4_runs_of_slot(
	struct ext4_run_iter *it, const struct ext4_build *b, const struct ext4_slot *slot)
{
	ext4_runs_of_places(it, b, slot->at, slot->nr_blocks);
	if (slot->kind == EXT4_CLASS_META)
		return;
	it->left = 0;
	it->node = slot->node;
	it->nr_pieces = tree_nr_pieces(b->t, slot->node);
}

bool ext4_runs_next(struct ext4_run_iter *it, struct ext4_run *run)
{
	uint64_t room;

	if (it->left == 0 && !next_stretch(it))
		return false;
	run->lblk = it->lblk;
	run->block = ext4_space_block(&it->b->space, it->at, &room);
	run->len = MIN(MIN(it->left, room), (uint64_t)EXT_INIT_MAX_LEN);
	it->lblk += run->len;
	it->at += run->len;
	it->left -= run->len;
	return true;
}

uint64_t ext4_content_blocks(const struct ext4_build *b, tree_node node)
{
	struct ext4_run_iter it = {.b = b, .node = node, .nr_pieces = tree_nr_pieces(b->t, node)};
	uint64_t nr = 0;

	while (next_stretch(&it))
		nr += it.left;
	return nr;
}

static uint32_t entries_per_block(uint32_t block_size)
{
	return (block_size - (uint32_t)sizeof(struct ext3_extent_header) -
		       (uint32_t)sizeof(struct ext3_extent_tail)) /
	       (uint32_t)sizeof(struct ext3_extent);
}

uint64_t ext4_extent_blocks(const struct ext4_build *b, const struct ext4_run_iter *from)
{
	const uint32_t per = entries_per_block(b->block_size);
	struct ext4_run_iter it = *from;
	struct ext4_run run;
	uint64_t nr = 0, blocks = 0;

	if (b->classic)
		return ext4_indirect_blocks(b, from);
	while (ext4_runs_next(&it, &run))
		nr++;
	while (nr > EXT4_INLINE_EXTENTS) {
		nr = num_div_up(nr, per);
		blocks += nr;
	}
	return blocks;
}

uint64_t ext4_slot_extent_blocks(const struct ext4_build *b, const struct ext4_slot *slot)
{
	struct ext4_run_iter it;
	uint64_t room;

	if (slot->nr_blocks == 0)
		return 0;
	/* Nearly all: no holes, no gap below. */
	ext4_space_block(&b->space, slot->at, &room);
	if (!b->classic && slot->nr_blocks <= room && slot->nr_blocks <= EXT_INIT_MAX_LEN &&
		(slot->kind == EXT4_CLASS_META ||
			tree_nr_pieces(b->t, slot->node) <= EXT4_INLINE_EXTENTS))
		return 0;
	ext4_runs_of_slot(&it, b, slot);
	return ext4_extent_blocks(b, &it);
}

uint64_t ext4_slot_places(const struct ext4_build *b, const struct ext4_slot *slot)
{
	return slot->nr_blocks + ext4_slot_extent_blocks(b, slot) + slot->xattr_block;
}

static void put_header(void *node, uint32_t entries, uint32_t max, uint32_t depth)
{
	struct ext3_extent_header *h = node;

	h->eh_magic = EXT3_EXT_MAGIC;
	h->eh_entries = (uint16_t)entries;
	h->eh_max = (uint16_t)max;
	h->eh_depth = (uint16_t)depth;
	h->eh_generation = 0;
}

static void put_extent(void *node, uint32_t index, const struct ext4_run *run)
{
	struct ext3_extent *e = EXT_FIRST_EXTENT(node) + index;

	e->ee_block = (uint32_t)run->lblk;
	e->ee_len = (uint16_t)run->len;
	e->ee_start = (uint32_t)run->block;
	e->ee_start_hi = (uint16_t)(run->block >> 32);
}

static void put_index(void *node, uint32_t index, uint32_t lblk, uint64_t block)
{
	struct ext3_extent_idx *e = EXT_FIRST_INDEX(node) + index;

	e->ei_block = lblk;
	e->ei_leaf = (uint32_t)block;
	e->ei_leaf_hi = (uint16_t)(block >> 32);
	e->ei_unused = 0;
}

/* One level of the tree on its way out: blocks that are filled one after another. */
struct level {
	struct ext4_out *out;
	uint32_t ino;
	uint32_t depth;
	uint64_t at;      /* place of the block that is being filled */
	uint32_t entries; /* in it */
	uint32_t *first;  /* first file block of each block so far; owned */
	uint64_t nr;
};

static int level_flush(struct level *l, struct error *err)
{
	const uint32_t per = entries_per_block(l->out->b->block_size);
	uint8_t *block = l->out->block;
	struct ext3_extent_tail *tail;
	uint64_t room;

	if (l->entries == 0)
		return 0;
	put_header(block, l->entries, per, l->depth);
	tail = (struct ext3_extent_tail *)(EXT_FIRST_EXTENT(block) + per);
	tail->et_checksum = ext2fs_crc32c_le(
		ext4_inode_crc(l->out->b, l->ino), block, (size_t)((uint8_t *)tail - block));
	if (ext4_out_block(l->out, ext4_space_block(&l->out->b->space, l->at, &room), block, err) <
		0)
		return -1;
	l->at++;
	l->entries = 0;
	return 0;
}

/* Room for one more entry that begins at file block lblk. */
static int level_entry(struct level *l, uint32_t lblk, struct error *err)
{
	if (l->entries == entries_per_block(l->out->b->block_size) && level_flush(l, err) < 0)
		return -1;
	if (l->entries == 0) {
		memset(l->out->block, 0, l->out->b->block_size);
		l->first[l->nr++] = lblk;
	}
	l->entries++;
	return 0;
}

static int write_leaves(struct level *l, struct ext4_run_iter it, struct error *err)
{
	struct ext4_run run;

	while (ext4_runs_next(&it, &run)) {
		if (level_entry(l, (uint32_t)run.lblk, err) < 0)
			return -1;
		put_extent(l->out->block, l->entries - 1, &run);
	}
	return level_flush(l, err);
}

/* The level above l: l->first shrinks to the first blocks of the new level. */
static int write_indexes(struct level *l, struct error *err)
{
	const uint64_t below = l->nr, below_at = l->at - l->nr;
	uint64_t room;

	l->nr = 0;
	l->depth++;
	for (uint64_t i = 0; i < below; i++) {
		/* first[] is overwritten from its start, never ahead of i. */
		uint32_t lblk = l->first[i];

		if (level_entry(l, lblk, err) < 0)
			return -1;
		put_index(l->out->block, l->entries - 1, lblk,
			ext4_space_block(&l->out->b->space, below_at + i, &room));
	}
	return level_flush(l, err);
}

static int build_tree(struct ext4_out *out, const struct ext4_run_iter *it, struct level *l,
	void *root, struct error *err)
{
	uint64_t room;

	if (write_leaves(l, *it, err) < 0)
		return -1;
	while (l->nr > EXT4_INLINE_EXTENTS) {
		if (write_indexes(l, err) < 0)
			return -1;
	}
	put_header(root, (uint32_t)l->nr, EXT4_INLINE_EXTENTS, l->depth + 1);
	for (uint32_t i = 0; i < l->nr; i++)
		put_index(root, i, l->first[i],
			ext4_space_block(&out->b->space, l->at - l->nr + i, &room));
	return 0;
}

int ext4_extent_build(struct ext4_out *out, const struct ext4_run_iter *from, uint64_t tree_at,
	uint32_t ino, struct ext2_inode_large *inode, struct error *err)
{
	uint64_t blocks = ext4_extent_blocks(out->b, from);
	struct ext4_run_iter it = *from;
	struct ext4_run run;
	uint32_t nr = 0;
	int rc;

	if (out->b->classic)
		return ext4_indirect_build(out, from, tree_at, inode, err);
	inode->i_flags |= EXT4_EXTENTS_FL;
	if (blocks) {
		struct level l = {.out = out,
			.ino = ino,
			.at = tree_at,
			.first = calloc(blocks, sizeof(uint32_t))};

		if (!l.first)
			return error_nomem(err, "an extent tree");
		rc = build_tree(out, from, &l, inode->i_block, err);
		free(l.first);
		return rc;
	}
	while (ext4_runs_next(&it, &run))
		put_extent(inode->i_block, nr++, &run);
	put_header(inode->i_block, nr, EXT4_INLINE_EXTENTS, 0);
	return 0;
}
