/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: a pure function of slots and space. In this order of places:
 *
 *   journal │ directories, long symlinks │ big files at multiples of 512 KiB │ small files
 *                                               └ gaps between ◀── small files that fit there
 *
 * Small files keep the order of the inodes, in the gaps and behind the big files, and are never
 * split to fill a gap. When that does not fit, big files are packed without alignment; nothing is
 * denser than that, so the least size is the one at which it just fits. All is computed afresh for
 * each size that is asked about, because the number of extent-tree blocks depends on where
 * superblock copies cut a file.
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/num.h"

/*
 * Gaps below this many blocks are left alone: hunting for files that fit would only scatter them.
 */
enum { GAP_MIN_BLOCKS = 8 };

struct gaps {
	struct ext4_range *items; /* .block is a place; owned */
	size_t nr, alloc, next;
};

static int gaps_add(struct gaps *g, uint64_t at, uint64_t end, struct error *err)
{
	if (end - at < GAP_MIN_BLOCKS)
		return 0;
	if (ARRAY_GROW(g->items, g->nr + 1, g->alloc, "a list of gaps", err) < 0)
		return -1;
	g->items[g->nr++] = (struct ext4_range){at, end - at};
	return 0;
}

/* Puts a slot at b->end. */
static void append(struct ext4_build *b, struct ext4_slot *slot)
{
	uint64_t places;

	slot->at = b->end;
	places = ext4_slot_places(b, slot);
	b->end += places;
	b->used += places;
}

/*
 * Tries to put a small file into what is left of the current gap, or when it is tiny of a later
 * one.
 */
static bool fill_gap(struct ext4_build *b, struct gaps *g, struct ext4_slot *slot)
{
	for (; g->next < g->nr; g->next++) {
		struct ext4_range *gap = &g->items[g->next];
		uint64_t places;

		slot->at = gap->block;
		places = ext4_slot_places(b, slot);
		if (places <= gap->len) {
			gap->block += places;
			gap->len -= places;
			b->used += places;
			return true;
		}
		if (places > GAP_MIN_BLOCKS)
			return false;
	}
	return false;
}

/* Journal and the block of the resize inode come first. */
static void place_own(struct ext4_build *b)
{
	struct ext4_run_iter it;

	b->resize_at = 0;
	b->journal_at = 1;
	b->end = 1;
	if (b->journal_blocks) {
		ext4_runs_of_places(&it, b, b->journal_at, b->journal_blocks);
		b->end += b->journal_blocks + ext4_extent_blocks(b, &it);
	}
	b->used = b->end;
}

static int place_slots(struct ext4_build *b, uint64_t align, struct error *err)
{
	struct gaps gaps = {NULL, 0, 0, 0};
	int rc = 0;

	place_own(b);
	for (uint32_t i = 0; i < b->nr_slots; i++) {
		if (b->slots[i].kind == EXT4_CLASS_META)
			append(b, &b->slots[i]);
	}
	for (uint32_t i = 0; i < b->nr_slots && rc == 0; i++) {
		if (b->slots[i].kind == EXT4_CLASS_BIG) {
			uint64_t at = ext4_space_align(&b->space, b->end, align);

			rc = gaps_add(&gaps, b->end, at, err);
			b->end = at;
			append(b, &b->slots[i]);
		}
	}
	for (uint32_t i = 0; i < b->nr_slots && rc == 0; i++) {
		struct ext4_slot *slot = &b->slots[i];

		if (slot->kind == EXT4_CLASS_SMALL && !fill_gap(b, &gaps, slot))
			append(b, slot);
	}
	free(gaps.items);
	return rc;
}

static int try_journal(struct ext4_build *b, uint64_t nr_blocks, uint32_t journal_blocks,
	uint64_t *lacking, struct error *err)
{
	bool fits;

	if (ext4_geometry(b, nr_blocks, journal_blocks, &fits, lacking, err) < 0)
		return -1;
	if (!fits)
		return 0;
	*lacking = 0;
	if (place_slots(b, EXT4_ALIGN_BYTES / b->block_size, err) < 0)
		return -1;
	if (b->end <= b->space.total)
		return 0;
	if (place_slots(b, 1, err) < 0)
		return -1;
	if (b->end > b->space.total)
		*lacking = b->end - b->space.total;
	return 0;
}

/*
 * The journal one step smaller in mke2fs's ladder; 0 when there is none (1024 blocks are the
 * least).
 */
static uint32_t smaller_journal(uint32_t blocks)
{
	return blocks == 4096 ? 1024 : blocks > 4096 ? blocks / 2 : 0;
}

int ext4_place(struct ext4_build *b, uint64_t nr_blocks, uint64_t *lacking, struct error *err)
{
	bool none = b->opts->no_journal || b->opts->version == 2;
	int wanted = none ? -1 : ext2fs_default_journal_size(nr_blocks);
	uint32_t journal = wanted > 0 ? (uint32_t)wanted : 0;

	/* A smaller journal is better than a file system that does not fit. */
	for (;;) {
		if (try_journal(b, nr_blocks, journal, lacking, err) < 0)
			return -1;
		if (*lacking == 0 || smaller_journal(journal) == 0)
			return 0;
		journal = smaller_journal(journal);
	}
}

/* Surely fewer blocks than it takes: contents and the inodes in use alone. */
static uint64_t too_few(const struct ext4_build *b)
{
	uint64_t nr = ext4_inodes_used(b) / (b->block_size / EXT4_INODE_SIZE);

	for (uint32_t i = 0; i < b->nr_slots; i++)
		nr += b->slots[i].nr_blocks;
	return nr;
}

int ext4_place_least(
	struct ext4_build *b, uint64_t at_least, uint64_t *nr_blocks, struct error *err)
{
	uint64_t lo = MAX(too_few(b), at_least - (at_least > 0)), hi = lo + 1, lacking;

	/* Each block more gives at most one more place, so what is lacking never overshoots. */
	for (;;) {
		if (ext4_place(b, hi, &lacking, err) < 0)
			return -1;
		if (lacking == 0)
			break;
		lo = hi;
		if (num_add(hi, lacking, &hi) || hi > (UINT64_C(1) << 48))
			return error_set(err, ERROR_INPUT, 0,
				"file system '%s' does not fit in any size", b->opts->label);
	}
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (ext4_place(b, mid, &lacking, err) < 0)
			return -1;
		if (lacking)
			lo = mid;
		else
			hi = mid;
	}
	*nr_blocks = hi;
	return ext4_place(b, hi, &lacking, err);
}

static int compare_places(const void *a, const void *b, void *arg)
{
	const struct ext4_slot *slots = arg;
	uint64_t x = slots[*(const uint32_t *)a].at, y = slots[*(const uint32_t *)b].at;

	return (x > y) - (x < y);
}

int ext4_place_order(const struct ext4_build *b, uint32_t **order, uint32_t *nr, struct error *err)
{
	uint32_t *o = malloc((b->nr_slots + 1) * sizeof(*o));
	uint32_t n = 0;

	if (!o)
		return error_nomem(err, "the order of files");
	for (uint32_t i = 0; i < b->nr_slots; i++) {
		if (b->slots[i].nr_blocks || b->slots[i].xattr_block)
			o[n++] = i;
	}
	qsort_r(o, n, sizeof(*o), compare_places, b->slots);
	*order = o;
	*nr = n;
	return 0;
}

/* Places [at, end) as blocks. */
static int add_free(const struct ext4_build *b, uint64_t at, uint64_t end, struct ext4_ranges *r,
	struct error *err)
{
	while (at < end) {
		uint64_t run, block = ext4_space_block(&b->space, at, &run);

		run = MIN(run, end - at);
		if (ext4_ranges_add(r, block, run, err) < 0)
			return -1;
		at += run;
	}
	return 0;
}

int ext4_place_free(const struct ext4_build *b, const uint32_t *order, uint32_t nr,
	struct ext4_ranges *r, struct error *err)
{
	struct ext4_run_iter it;
	uint64_t at = b->journal_at;

	if (b->journal_blocks) {
		ext4_runs_of_places(&it, b, b->journal_at, b->journal_blocks);
		at += b->journal_blocks + ext4_extent_blocks(b, &it);
	}
	for (uint32_t i = 0; i < nr; i++) {
		const struct ext4_slot *slot = &b->slots[order[i]];

		if (add_free(b, at, slot->at, r, err) < 0)
			return -1;
		at = slot->at + ext4_slot_places(b, slot);
	}
	return add_free(b, at, b->space.total, r, err);
}
