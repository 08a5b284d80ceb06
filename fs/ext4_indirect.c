/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block maps of ext2 and ext3: an inode has the numbers of its first 12 blocks, then of a block of
 * numbers, of a block of such blocks, and one level more. With p numbers in a block:
 *
 *   inode: 12 × block │ single ─▶ p × block
 *                     │ double ─▶ p × single
 *                     │ triple ─▶ p × double
 *
 * Singles are counted through from the first one on, whatever they hang from, and doubles too. Files
 * are mapped in ascending order, so one block of each level is open at a time. A block of numbers of
 * which nothing is mapped is not there at all.
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Singles below the one of the inode hang from a double; the same again for doubles. */
static uint64_t double_of(uint64_t single, uint64_t per)
{
	return (single - 1) / per;
}

uint64_t ext4_indirect_blocks(const struct ext4_build *b, const struct ext4_run_iter *from)
{
	const uint64_t per = b->block_size / sizeof(uint32_t);
	struct ext4_run_iter it = *from;
	struct ext4_run run;
	uint64_t singles = 0, doubles = 0, next_single = 0, next_double = 0, nr = 0;

	while (ext4_runs_next(&it, &run)) {
		uint64_t last = run.lblk + run.len - 1, lo, hi;

		if (last < EXT2_NDIR_BLOCKS)
			continue;
		lo = MAX(run.lblk, (uint64_t)EXT2_NDIR_BLOCKS) - EXT2_NDIR_BLOCKS;
		lo = MAX(lo / per, next_single);
		hi = (last - EXT2_NDIR_BLOCKS) / per + 1;
		if (lo >= hi)
			continue;
		singles += hi - lo;
		next_single = hi;
		if (hi == 1)
			continue;
		lo = MAX(double_of(MAX(lo, UINT64_C(1)), per), next_double);
		hi = double_of(hi - 1, per) + 1;
		doubles += lo < hi ? hi - lo : 0;
		next_double = MAX(hi, next_double);
	}
	nr = singles + doubles;
	return nr + (next_double > 1);
}

uint64_t ext4_indirect_max(uint32_t block_size)
{
	const uint64_t per = block_size / sizeof(uint32_t);
	/* i_blocks counts sectors in 32 bits; the blocks of a whole map are among them. */
	const uint64_t counted = UINT32_MAX / (block_size / 512);
	const uint64_t map = 1 + (1 + per) + (1 + per + per * per);
	uint64_t mapped = EXT2_NDIR_BLOCKS + per + per * per + per * per * per;

	return MIN(mapped, counted - MIN(counted, map)) * block_size;
}

/* A block of numbers that is being filled. */
struct open_block {
	uint8_t *data;
	uint64_t block; /* on disk; 0: none is open */
	uint64_t index; /* among those of its level */
};

enum { SINGLE, DOUBLE, TRIPLE, LEVELS };

struct map {
	struct ext4_out *out;
	struct ext2_inode_large *inode;
	uint64_t at; /* place of the next block of numbers */
	struct open_block open[LEVELS];
};

static int close_block(struct map *m, struct open_block *o, struct error *err)
{
	if (o->block && ext4_out_block(m->out, o->block, o->data, err) < 0)
		return -1;
	o->block = 0;
	return 0;
}

/* Makes block number `index` of a level the open one; *is_new when its number must be put somewhere. */
static int open_block(struct map *m, unsigned level, uint64_t index, bool *is_new, struct error *err)
{
	struct open_block *o = &m->open[level];
	uint64_t room;

	*is_new = !o->block || o->index != index;
	if (!*is_new)
		return 0;
	if (close_block(m, o, err) < 0)
		return -1;
	memset(o->data, 0, m->out->b->block_size);
	o->block = ext4_space_block(&m->out->b->space, m->at++, &room);
	o->index = index;
	return 0;
}

static void put_number(struct open_block *o, uint64_t slot, uint64_t block)
{
	num_put_le32(o->data + slot * sizeof(uint32_t), (uint32_t)block);
}

/* Hangs the open double where it belongs. */
static int hang_double(struct map *m, uint64_t index, struct error *err)
{
	bool is_new;

	if (index == 0) {
		m->inode->i_block[EXT2_DIND_BLOCK] = (uint32_t)m->open[DOUBLE].block;
		return 0;
	}
	if (open_block(m, TRIPLE, 0, &is_new, err) < 0)
		return -1;
	m->inode->i_block[EXT2_TIND_BLOCK] = (uint32_t)m->open[TRIPLE].block;
	put_number(&m->open[TRIPLE], index - 1, m->open[DOUBLE].block);
	return 0;
}

static int hang_single(struct map *m, uint64_t index, struct error *err)
{
	const uint64_t per = m->out->b->block_size / sizeof(uint32_t);
	bool is_new;

	if (index == 0) {
		m->inode->i_block[EXT2_IND_BLOCK] = (uint32_t)m->open[SINGLE].block;
		return 0;
	}
	if (open_block(m, DOUBLE, double_of(index, per), &is_new, err) < 0 ||
		(is_new && hang_double(m, double_of(index, per), err) < 0))
		return -1;
	put_number(&m->open[DOUBLE], (index - 1) % per, m->open[SINGLE].block);
	return 0;
}

static int put_block(struct map *m, uint64_t lblk, uint64_t block, struct error *err)
{
	const uint64_t per = m->out->b->block_size / sizeof(uint32_t);
	bool is_new;

	if (lblk < EXT2_NDIR_BLOCKS) {
		m->inode->i_block[lblk] = (uint32_t)block;
		return 0;
	}
	lblk -= EXT2_NDIR_BLOCKS;
	if (open_block(m, SINGLE, lblk / per, &is_new, err) < 0 ||
		(is_new && hang_single(m, lblk / per, err) < 0))
		return -1;
	put_number(&m->open[SINGLE], lblk % per, block);
	return 0;
}

int ext4_indirect_build(struct ext4_out *out, const struct ext4_run_iter *from, uint64_t map_at,
	struct ext2_inode_large *inode, struct error *err)
{
	CLEANUP_FREE uint8_t *data = malloc((size_t)LEVELS * out->b->block_size);
	struct map m = {.out = out, .inode = inode, .at = map_at};
	struct ext4_run_iter it = *from;
	struct ext4_run run;

	if (!data)
		return error_nomem(err, "a block map");
	for (unsigned i = 0; i < LEVELS; i++)
		m.open[i].data = data + (size_t)i * out->b->block_size;
	while (ext4_runs_next(&it, &run))
		for (uint64_t i = 0; i < run.len; i++)
			if (put_block(&m, run.lblk + i, run.block + i, err) < 0)
				return -1;
	for (unsigned i = 0; i < LEVELS; i++)
		if (close_block(&m, &m.open[i], err) < 0)
			return -1;
	return 0;
}
