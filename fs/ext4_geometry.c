/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Geometry: how a number of blocks is divided. libext2fs decides groups, inodes per group and
 * reserved descriptor blocks, as mke2fs would; the places of bitmaps and inode tables are ours:
 * those of 16 groups (a flex group; in ext2 and ext3 of 1) lie together behind the first group's
 * descriptors:
 *
 *   | super | descriptors | reserved | 16 block maps | 16 inode maps | 16 inode tables | space
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

enum {
	LOG_FLEX = 4, /* ext2 and ext3: 0 */
	BYTES_PER_INODE = 16384,
	FEWEST_INODES = 16, /* the reserved ones and room for a few */
	COMPAT = EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_DIR_INDEX |
		 EXT2_FEATURE_COMPAT_EXT_ATTR,
	INCOMPAT = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
		   EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG,
	RO_COMPAT = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
		    EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
		    EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM,
	CLASSIC_INCOMPAT = EXT2_FEATURE_INCOMPAT_FILETYPE,
	CLASSIC_RO_COMPAT = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE,
};

/*
 * A channel without a device: libext2fs wants one to keep a file system on, but is used here for
 * arithmetic and checksums alone. All that is written goes through ext4_out. So I/O here is a bug
 * of ours.
 */
static errcode_t channel_open(const char *name, int flags, io_channel *channel);

static errcode_t channel_close(io_channel channel)
{
	if (--channel->refcount == 0)
		free(channel);
	return 0;
}

static errcode_t channel_set_blksize(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

static errcode_t channel_read(io_channel channel, unsigned long block, int count, void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_OP_NOT_SUPPORTED;
}

static errcode_t channel_write(io_channel channel, unsigned long block, int count, const void *data)
{
	(void)channel, (void)block, (void)count, (void)data;
	return EXT2_ET_OP_NOT_SUPPORTED;
}

static errcode_t channel_flush(io_channel channel)
{
	(void)channel;
	return 0;
}

static struct struct_io_manager channel_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "amiwright",
	.open = channel_open,
	.close = channel_close,
	.set_blksize = channel_set_blksize,
	.read_blk = channel_read,
	.write_blk = channel_write,
	.flush = channel_flush,
};

static errcode_t channel_open(const char *name, int flags, io_channel *channel)
{
	io_channel c = calloc(1, sizeof(*c));

	(void)name, (void)flags;
	if (!c)
		return EXT2_ET_NO_MEMORY;
	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->manager = &channel_manager;
	c->block_size = 1024;
	c->refcount = 1;
	*channel = c;
	return 0;
}

int ext4_ranges_add(struct ext4_ranges *r, uint64_t block, uint64_t len, struct error *err)
{
	struct ext4_range *last = r->nr ? &r->items[r->nr - 1] : NULL;

	if (len == 0)
		return 0;
	if (last && last->block + last->len == block) {
		last->len += len;
		return 0;
	}
	if (ARRAY_GROW(r->items, r->nr + 1, r->alloc, "a list of blocks", err) < 0)
		return -1;
	r->items[r->nr++] = (struct ext4_range){block, len};
	return 0;
}

static int add_span(struct ext4_space *s, uint64_t block, uint64_t len, struct error *err)
{
	if (len == 0)
		return 0;
	if (ARRAY_GROW(s->spans, s->nr + 1, s->alloc, "a list of blocks", err) < 0)
		return -1;
	s->spans[s->nr++] = (struct ext4_span){block, len, s->total};
	s->total += len;
	return 0;
}

/* The last span that begins at or before the place; there is at least one. */
static const struct ext4_span *find_span(const struct ext4_space *s, uint64_t at)
{
	return &s->spans[ARRAY_LAST_UP_TO(s->spans, s->nr, at, at)];
}

uint64_t ext4_space_block(const struct ext4_space *s, uint64_t at, uint64_t *run)
{
	const struct ext4_span *span = find_span(s, at);

	/* Beyond the end it goes on for ever, so that what is lacking can be counted. */
	*run = at >= s->total ? UINT32_MAX : span->at + span->len - at;
	return span->block + (at - span->at);
}

uint64_t ext4_space_align(const struct ext4_space *s, uint64_t at, uint64_t align)
{
	if (at >= s->total || align <= 1)
		return at;
	for (const struct ext4_span *span = find_span(s, at); span < s->spans + s->nr; span++) {
		uint64_t from = MAX(at, span->at);
		uint64_t block = num_align(span->block + (from - span->at), align);

		if (block < span->block + span->len)
			return span->at + (block - span->block);
	}
	return at;
}

/*
 * Descriptor blocks to keep in reserve so that online resize reaches resize_max bytes; 0:
 * libext2fs's rule.
 */
static uint32_t reserved_gdt(const struct ext4_build *b, uint64_t nr_blocks)
{
	const uint32_t per_group = b->block_size * 8, apb = b->block_size / 4;
	const uint32_t per_block =
		b->block_size / (b->classic ? EXT2_MIN_DESC_SIZE : EXT2_MIN_DESC_SIZE_64BIT);
	uint64_t max = MIN(b->opts->resize_max / b->block_size, (uint64_t)UINT32_MAX);
	uint64_t have, want;

	if (b->opts->resize_max == 0)
		return 0;
	have = num_div_up(num_div_up(nr_blocks, per_group), per_block);
	want = num_div_up(num_div_up(max, per_group), per_block);
	return (uint32_t)(want <= have ? 1 : MIN(want - have, (uint64_t)apb));
}

static uint32_t wanted_inodes(const struct ext4_build *b, uint64_t nr_blocks)
{
	uint64_t need = ext4_inodes_used(b) + ext4_inodes_used(b) / 10;
	uint64_t want = b->opts->inodes ? b->opts->inodes
					: MAX(nr_blocks * b->block_size / BYTES_PER_INODE, need);

	return (uint32_t)MIN(want, (uint64_t)UINT32_MAX);
}

static void fill_params(const struct ext4_build *b, uint64_t nr_blocks, bool journal,
	uint32_t inodes, struct ext2_super_block *p)
{
	memset(p, 0, sizeof(*p));
	p->s_rev_level = EXT2_DYNAMIC_REV;
	p->s_log_block_size = (uint32_t)__builtin_ctz(b->block_size) - 10;
	p->s_inode_size = EXT4_INODE_SIZE;
	p->s_feature_compat = COMPAT | (journal ? EXT3_FEATURE_COMPAT_HAS_JOURNAL : 0);
	p->s_feature_incompat = (b->classic ? CLASSIC_INCOMPAT : INCOMPAT) |
				(b->large_dir ? EXT4_FEATURE_INCOMPAT_LARGEDIR : 0);
	p->s_feature_ro_compat = b->classic ? CLASSIC_RO_COMPAT : RO_COMPAT;
	p->s_log_groups_per_flex = b->classic ? 0 : LOG_FLEX;
	p->s_errors = EXT2_ERRORS_CONTINUE;
	p->s_inodes_count = inodes;
	p->s_reserved_gdt_blocks = (uint16_t)reserved_gdt(b, nr_blocks);
	ext2fs_blocks_count_set(p, nr_blocks);
	ext2fs_r_blocks_count_set(p, nr_blocks * b->opts->reserved_percent / 100);
}

/* Blocks that a copy of superblock and descriptors takes at the start of a group that has one. */
static uint64_t head_len(ext2_filsys fs, dgrp_t group)
{
	if (!ext2fs_bg_has_super(fs, group))
		return 0;
	return 1 + fs->desc_blocks + fs->super->s_reserved_gdt_blocks;
}

/* Takes len consecutive blocks at or after *block, stepping over copies of the superblock. */
static bool take(ext2_filsys fs, uint64_t *block, uint64_t len, uint64_t *taken)
{
	const uint64_t first = fs->super->s_first_data_block;
	const uint64_t per = fs->super->s_blocks_per_group;

	for (uint64_t g = (*block - first) / per; g < fs->group_desc_count; g++) {
		uint64_t start = first + g * per, head = head_len(fs, (dgrp_t)g);

		if (start >= *block + len)
			break;
		if (head && *block < start + head)
			*block = start + head;
	}
	if (*block + len > ext2fs_blocks_count(fs->super))
		return false;
	*taken = *block;
	*block += len;
	return true;
}

/* Bitmaps and tables of the flex group of `len` groups that begins with `group`. */
static bool place_flex(ext2_filsys fs, dgrp_t group, dgrp_t len, uint64_t *block)
{
	const dgrp_t end = MIN(group + len, fs->group_desc_count);
	uint64_t at;

	*block = MAX(*block, ext2fs_group_first_block2(fs, group));
	for (dgrp_t g = group; g < end; g++) {
		if (!take(fs, block, 1, &at))
			return false;
		ext2fs_block_bitmap_loc_set(fs, g, at);
	}
	for (dgrp_t g = group; g < end; g++) {
		if (!take(fs, block, 1, &at))
			return false;
		ext2fs_inode_bitmap_loc_set(fs, g, at);
	}
	for (dgrp_t g = group; g < end; g++) {
		if (!take(fs, block, fs->inode_blocks_per_group, &at))
			return false;
		ext2fs_inode_table_loc_set(fs, g, at);
	}
	return true;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct ext4_range *x = a, *y = b;

	return (x->block > y->block) - (x->block < y->block);
}

static int list_fixed(struct ext4_build *b, struct error *err)
{
	ext2_filsys fs = b->fs;
	struct ext4_ranges *r = &b->fixed;

	for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
		const struct ext4_range parts[] = {
			{ext2fs_group_first_block2(fs, g), head_len(fs, g)},
			{ext2fs_block_bitmap_loc(fs, g), 1},
			{ext2fs_inode_bitmap_loc(fs, g), 1},
			{ext2fs_inode_table_loc(fs, g), fs->inode_blocks_per_group},
		};

		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			if (ext4_ranges_add(r, parts[i].block, parts[i].len, err) < 0)
				return -1;
		}
	}
	qsort(r->items, r->nr, sizeof(*r->items), compare_ranges);
	return 0;
}

static int list_space(struct ext4_build *b, struct error *err)
{
	uint64_t block = b->fs->super->s_first_data_block;

	for (size_t i = 0; i < b->fixed.nr; i++) {
		if (add_span(&b->space, block, b->fixed.items[i].block - block, err) < 0)
			return -1;
		block = b->fixed.items[i].block + b->fixed.items[i].len;
	}
	return add_span(&b->space, block, ext2fs_blocks_count(b->fs->super) - block, err);
}

void ext4_geometry_release(struct ext4_build *b)
{
	if (b->fs)
		ext2fs_free(b->fs);
	b->fs = NULL;
	free(b->space.spans);
	free(b->fixed.items);
	b->space = (struct ext4_space){NULL, 0, 0, 0};
	b->fixed = (struct ext4_ranges){NULL, 0, 0};
}

/* What libext2fs says of the parameters, sorted into: too small, impossible, broken. */
static int refused(struct ext4_build *b, errcode_t code, uint64_t nr_blocks, uint64_t *lacking,
	struct error *err)
{
	b->fs = NULL;
	switch (code) {
	case EXT2_ET_TOOSMALL:
	case EXT2_ET_INVALID_ARGUMENT:
		*lacking = 64;
		return 0;
	case EXT2_ET_TOO_MANY_INODES:
		*lacking = nr_blocks / 8 + 64;
		return 0;
	case EXT2_ET_NO_MEMORY:
		return error_nomem(err, "a file system");
	default:
		return error_set(err, ERROR_BUG, 0,
			"cannot lay out a file system of %llu blocks: %s",
			(unsigned long long)nr_blocks, error_message(code));
	}
}

/* Groups, inodes per group and so on by libext2fs; b->fs stays NULL when it is refused. */
static int initialize(struct ext4_build *b, uint64_t nr_blocks, bool journal, uint64_t *lacking,
	struct error *err)
{
	struct ext2_super_block params;
	uint32_t inodes = wanted_inodes(b, nr_blocks);
	errcode_t code;

	/* It rounds inodes per group down to a multiple of 8, which can leave too few. */
	for (;;) {
		fill_params(b, nr_blocks, journal, inodes, &params);
		code = ext2fs_initialize(
			"image", EXT2_FLAG_64BITS, &params, &channel_manager, &b->fs);
		if (code)
			return refused(b, code, nr_blocks, lacking, err);
		if (b->fs->super->s_inodes_count >=
			MAX(ext4_inodes_used(b), (uint32_t)FEWEST_INODES))
			return 0;
		inodes += 8 * b->fs->group_desc_count;
		ext2fs_free(b->fs);
	}
}

int ext4_geometry(struct ext4_build *b, uint64_t nr_blocks, uint32_t journal_blocks, bool *fits,
	uint64_t *lacking, struct error *err)
{
	const dgrp_t flex = b->classic ? 1 : 1u << LOG_FLEX;
	uint64_t block = 0;

	ext4_geometry_release(b);
	*fits = false;
	*lacking = 64;
	if (b->classic && nr_blocks > UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"file system '%s' of %llu blocks is too large: ext%u has at most 2^32 - 1",
			b->opts->label, (unsigned long long)nr_blocks, b->opts->version);
	if (initialize(b, nr_blocks, journal_blocks != 0, lacking, err) < 0)
		return -1;
	if (!b->fs)
		return 0;
	if (ext2fs_has_feature_meta_bg(b->fs->super))
		return error_set(err, ERROR_INPUT, 0,
			"file system '%s' of %llu blocks is too large for blocks of %u bytes",
			b->opts->label, (unsigned long long)nr_blocks, b->block_size);
	for (dgrp_t g = 0; g < b->fs->group_desc_count; g += flex) {
		if (!place_flex(b->fs, g, flex, &block))
			return 0;
	}
	if (list_fixed(b, err) < 0 || list_space(b, err) < 0)
		return -1;
	b->journal_blocks = journal_blocks;
	*fits = b->space.nr > 0;
	return 0;
}
