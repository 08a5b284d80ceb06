/* SPDX-License-Identifier: Apache-2.0 */
/* The ext2, ext3 and ext4 writer from outside: plan, size, write. The steps are listed in fs/ext4_internal.h. */
#include "fs/ext4.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fs/ext4_internal.h"

int ext4_build_init(struct ext4_build *b, const struct tree *t, tree_node root,
	const struct ext4_opts *opts, struct error *err)
{
	*b = (struct ext4_build){.t = t, .root = root, .opts = opts};
	b->block_size = opts->block_size ? opts->block_size : 4096;
	b->classic = opts->version == 2 || opts->version == 3;
	if (b->block_size != 1024 && b->block_size != 2048 && b->block_size != 4096)
		return error_set(err, ERROR_INPUT, 0,
			"file system '%s' cannot have blocks of %u bytes: 1024, 2048 or "
			"4096 are possible",
			opts->label, b->block_size);
	if (opts->reserved_percent > 50)
		return error_set(err, ERROR_INPUT, 0,
			"file system '%s' cannot reserve %u %% of its blocks: 50 is the most",
			opts->label, opts->reserved_percent);
	memcpy(b->hash_seed, opts->hash_seed, sizeof(b->hash_seed));
	if (ext4_scan(b, err) < 0)
		return -1;
	if (opts->inodes && opts->inodes < ext4_inodes_used(b))
		return error_set(err, ERROR_INPUT, 0,
			"file system '%s' needs %u inodes and was given %llu", opts->label,
			ext4_inodes_used(b), (unsigned long long)opts->inodes);
	return 0;
}

void ext4_build_release(struct ext4_build *b)
{
	ext4_geometry_release(b);
	free(b->slots);
	free(b->ino_of);
	free(b->dirents);
	*b = (struct ext4_build){.slots = NULL};
}

/* Lays out opts->size or size bytes. ERROR_INPUT says what would be enough. */
static int place(struct ext4_build *b, uint64_t size, struct error *err)
{
	char need_text[NUM_SIZE_TEXT], have_text[NUM_SIZE_TEXT];
	uint64_t lacking, nr_blocks;

	if (ext4_place(b, size / b->block_size, &lacking, err) < 0)
		return -1;
	if (lacking == 0)
		return 0;
	if (ext4_place_least(b, size / b->block_size, &nr_blocks, err) < 0)
		return -1;
	return error_set(err, ERROR_INPUT, 0,
		"file system '%s' needs %s (%llu bytes) and has %s (%llu bytes)", b->opts->label,
		num_format_size(need_text, nr_blocks * b->block_size),
		(unsigned long long)(nr_blocks * b->block_size), num_format_size(have_text, size),
		(unsigned long long)size);
}

static void fill_plan(const struct ext4_build *b, struct ext4_plan *out)
{
	const struct ext2_super_block *s = b->fs->super;

	out->size = ext2fs_blocks_count(b->fs->super) * b->block_size;
	out->free = (b->space.total - b->used) * b->block_size;
	out->used = out->size - out->free;
	out->inodes = s->s_inodes_count;
	out->free_inodes = s->s_inodes_count - ext4_inodes_used(b);
	out->journal = (uint64_t)b->journal_blocks * b->block_size;
}

static int plan_both(struct ext4_build *b, const struct ext4_opts *opts, struct ext4_plan *out,
	struct error *err)
{
	uint64_t nr_blocks;

	if (ext4_place_least(b, 0, &nr_blocks, err) < 0)
		return -1;
	out->min_size = nr_blocks * b->block_size;
	if (opts->size && place(b, opts->size, err) < 0)
		return -1;
	fill_plan(b, out);
	return 0;
}

int ext4_plan(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct ext4_plan *out, struct error *err)
{
	struct ext4_build b;
	int rc = ext4_build_init(&b, t, root, opts, err);

	memset(out, 0, sizeof(*out));
	if (rc == 0)
		rc = plan_both(&b, opts, out, err);
	ext4_build_release(&b);
	return rc;
}

static int grow_to_headroom(
	struct ext4_build *b, uint64_t headroom, uint64_t *size, struct error *err)
{
	struct ext4_plan plan;
	uint64_t nr_blocks, lacking, want;

	if (ext4_place_least(b, 0, &nr_blocks, err) < 0)
		return -1;
	*size = nr_blocks * b->block_size;
	want = headroom ? headroom : MAX(*size / 10, 64 * MIB);
	/*
	 * Journal and tables grow with the size, so adding the headroom once may leave less than
	 * it; and a size at which a journal begins to be wanted may not even hold what a smaller
	 * one did.
	 */
	for (;;) {
		*size = num_align(*size, MIB);
		if (ext4_place(b, *size / b->block_size, &lacking, err) < 0)
			return -1;
		if (lacking) {
			*size += lacking * b->block_size;
			continue;
		}
		fill_plan(b, &plan);
		if (plan.free >= want)
			return 0;
		*size += want - plan.free;
	}
}

int ext4_auto_size(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	uint64_t headroom, uint64_t *size, struct error *err)
{
	struct ext4_build b;
	int rc = ext4_build_init(&b, t, root, opts, err);

	if (rc == 0)
		rc = grow_to_headroom(&b, headroom, size, err);
	ext4_build_release(&b);
	return rc;
}

/* Everything between the layout and the end. */
static int write_parts(struct ext4_out *out, const uint32_t *order, uint32_t nr,
	const struct ext4_ranges *free_ranges, struct error *err)
{
	for (size_t i = 0; i < free_ranges->nr; i++) {
		if (ext4_out_clear(out, free_ranges->items[i].block, free_ranges->items[i].len,
			    EXTENT_UNUSED, err) < 0)
			return -1;
	}
	if (ext4_inodes_write(out, err) < 0 || ext4_data_write(out, order, nr, err) < 0)
		return -1;
	return ext4_super_write(out, free_ranges, err);
}

static int write_placed(struct ext4_build *b, struct dev *dev, struct error *err)
{
	struct ext4_ranges free_ranges = {NULL, 0, 0};
	struct ext4_out out = {.buf = NULL};
	CLEANUP_FREE uint32_t *order = NULL;
	uint32_t nr;
	int rc;

	memcpy(b->fs->super->s_uuid, b->opts->uuid, sizeof(b->opts->uuid));
	if (!b->classic)
		b->fs->super->s_checksum_type = EXT2_CRC32C_CHKSUM;
	ext2fs_init_csum_seed(b->fs);
	rc = ext4_out_init(&out, dev, b, err);
	if (rc == 0)
		rc = ext4_place_order(b, &order, &nr, err);
	if (rc == 0)
		rc = ext4_place_free(b, order, nr, &free_ranges, err);
	if (rc == 0)
		rc = write_parts(&out, order, nr, &free_ranges, err);
	free(free_ranges.items);
	ext4_out_release(&out);
	return rc;
}

int ext4_write(struct dev *dev, const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct error *err)
{
	uint64_t size = opts->size ? opts->size : dev->size;
	struct ext4_build b;
	int rc;

	if (size > dev->size)
		return error_set(err, ERROR_BUG, 0, "file system is larger than its device");
	rc = ext4_build_init(&b, t, root, opts, err);
	if (rc == 0)
		rc = place(&b, size, err);
	if (rc == 0)
		rc = write_placed(&b, dev, err);
	ext4_build_release(&b);
	return rc;
}
