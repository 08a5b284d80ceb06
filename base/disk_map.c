/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of references. A file-system writer appends in ascending order, often at several places
 * in turn (inode tables here, contents there), so the array is cut into leaves: each of those
 * streams fills leaves of its own, and a stray insertion moves 16 KiB at most, not the whole
 * array.
 *
 * Invariants: references do not overlap, are ordered by off, have len > 0; leaves are not empty.
 */
#include "base/disk_internal.h"

#include "base/array.h"

#include <stdlib.h>
#include <string.h>

enum { LEAF_MAX = 512 };

static uint64_t ref_end(const struct disk_ref *ref)
{
	return ref->off + ref->len;
}

void disk_map_release(struct disk_map *map)
{
	for (size_t i = 0; i < map->nr; i++)
		free(map->leaves[i].refs);
	free(map->leaves);
	*map = (struct disk_map){NULL, 0, 0};
}

/* The last leaf that begins at or before off, or the first one. */
static size_t find_leaf(const struct disk_map *map, uint64_t off)
{
	return ARRAY_LAST_UP_TO(map->leaves, map->nr, refs[0].off, off);
}

struct disk_cursor disk_map_find(const struct disk_map *map, uint64_t off)
{
	struct disk_cursor cur = {0, 0};
	const struct disk_leaf *leaf;
	size_t low = 0, high;

	if (map->nr == 0)
		return cur;
	cur.leaf = find_leaf(map, off);
	leaf = &map->leaves[cur.leaf];
	high = leaf->nr;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ref_end(&leaf->refs[mid]) <= off)
			low = mid + 1;
		else
			high = mid;
	}
	cur.pos = low;
	return cur;
}

/* As disk_map_at(), for those who change what they find. */
static struct disk_ref *ref_at(const struct disk_map *map, struct disk_cursor *cur)
{
	if (cur->leaf < map->nr && cur->pos == map->leaves[cur->leaf].nr) {
		cur->leaf++;
		cur->pos = 0;
	}
	return cur->leaf < map->nr ? &map->leaves[cur->leaf].refs[cur->pos] : NULL;
}

const struct disk_ref *disk_map_at(const struct disk_map *map, struct disk_cursor *cur)
{
	return ref_at(map, cur);
}

static int insert_leaf(struct disk_map *map, size_t at, struct error *err)
{
	struct disk_ref *refs;

	if (ARRAY_GROW(map->leaves, map->nr + 1, map->alloc, "the map of a disk", err) < 0)
		return -1;
	refs = malloc(LEAF_MAX * sizeof(*refs));
	if (!refs)
		return error_nomem(err, "the map of a disk");
	memmove(map->leaves + at + 1, map->leaves + at, (map->nr - at) * sizeof(*map->leaves));
	map->leaves[at] = (struct disk_leaf){.refs = refs, .nr = 0};
	map->nr++;
	return 0;
}

static void remove_leaf(struct disk_map *map, size_t at)
{
	free(map->leaves[at].refs);
	map->nr--;
	memmove(map->leaves + at, map->leaves + at + 1, (map->nr - at) * sizeof(*map->leaves));
}

/*
 * Moves the upper half of a full leaf into a new one behind it, and the cursor with its
 * reference.
 */
static int split_leaf(struct disk_map *map, struct disk_cursor *cur, struct error *err)
{
	size_t keep = LEAF_MAX / 2;
	struct disk_leaf *leaf;

	if (insert_leaf(map, cur->leaf + 1, err) < 0)
		return -1;
	leaf = &map->leaves[cur->leaf];
	memcpy(leaf[1].refs, leaf->refs + keep, (leaf->nr - keep) * sizeof(*leaf->refs));
	leaf[1].nr = leaf->nr - keep;
	leaf->nr = keep;
	if (cur->pos > keep) {
		cur->leaf++;
		cur->pos -= keep;
	}
	return 0;
}

/*
 * Finds or makes room for one reference at the cursor. Between two leaves the end of the first is
 * preferred, and when both are full a new leaf goes between them: so an ascending stream that
 * ends in the middle of the map packs its leaves like one at the end does.
 */
static int make_room(struct disk_map *map, struct disk_cursor *cur, struct error *err)
{
	bool at_start = cur->pos == 0;
	bool here_full = cur->leaf == map->nr || map->leaves[cur->leaf].nr == LEAF_MAX;

	if (at_start && cur->leaf > 0 && map->leaves[cur->leaf - 1].nr < LEAF_MAX) {
		cur->leaf--;
		cur->pos = map->leaves[cur->leaf].nr;
		return 0;
	}
	if (!here_full)
		return 0;
	if (at_start)
		return insert_leaf(map, cur->leaf, err);
	if (cur->pos < LEAF_MAX)
		return split_leaf(map, cur, err);
	cur->pos = 0;
	return insert_leaf(map, ++cur->leaf, err);
}

static int insert_ref(
	struct disk_map *map, struct disk_cursor cur, const struct disk_ref *ref, struct error *err)
{
	struct disk_leaf *leaf;

	if (make_room(map, &cur, err) < 0)
		return -1;
	leaf = &map->leaves[cur.leaf];
	memmove(leaf->refs + cur.pos + 1, leaf->refs + cur.pos,
		(leaf->nr - cur.pos) * sizeof(*leaf->refs));
	leaf->refs[cur.pos] = *ref;
	leaf->nr++;
	return 0;
}

/* Removes references from the cursor on that end at or before `end`, as far as its leaf goes. */
static void remove_whole(struct disk_map *map, struct disk_cursor cur, uint64_t end)
{
	struct disk_leaf *leaf = &map->leaves[cur.leaf];
	size_t stop = cur.pos;

	while (stop < leaf->nr && ref_end(&leaf->refs[stop]) <= end)
		stop++;
	memmove(leaf->refs + cur.pos, leaf->refs + stop, (leaf->nr - stop) * sizeof(*leaf->refs));
	leaf->nr -= stop - cur.pos;
	if (leaf->nr == 0)
		remove_leaf(map, cur.leaf);
}

static void cut_front(struct disk_ref *ref, uint64_t bytes)
{
	ref->off += bytes;
	ref->src_off += bytes;
	ref->len -= bytes;
}

int disk_map_erase(struct disk_map *map, uint64_t off, uint64_t len, struct error *err)
{
	uint64_t end = off + len;
	struct disk_cursor cur = disk_map_find(map, off);
	struct disk_ref *ref;

	while ((ref = ref_at(map, &cur)) && ref->off < end) {
		if (ref->off < off) {
			struct disk_ref right = *ref;

			ref->len = off - ref->off;
			cur.pos++;
			if (ref_end(&right) <= end)
				continue;
			cut_front(&right, end - right.off);
			return insert_ref(map, cur, &right, err);
		}
		if (ref_end(ref) > end) {
			cut_front(ref, end - ref->off);
			return 0;
		}
		remove_whole(map, cur, end);
	}
	return 0;
}

/* The reference that ends before the cursor, NULL at the start. */
static struct disk_ref *ref_before(struct disk_map *map, struct disk_cursor cur)
{
	if (cur.pos > 0)
		return &map->leaves[cur.leaf].refs[cur.pos - 1];
	if (cur.leaf == 0)
		return NULL;
	return &map->leaves[cur.leaf - 1].refs[map->leaves[cur.leaf - 1].nr - 1];
}

static bool continues(const struct disk_ref *first, const struct disk_ref *ref)
{
	if (!first || ref_end(first) != ref->off || first->src != ref->src)
		return false;
	return ref->src == DISK_REF_ZERO ||
	       (first->id == ref->id && first->src_off + first->len == ref->src_off);
}

/* Where an append goes, without a search: the common case is behind everything. */
static bool is_append(const struct disk_map *map, uint64_t off, struct disk_cursor *cur)
{
	const struct disk_leaf *last;

	if (map->nr == 0)
		return false;
	last = &map->leaves[map->nr - 1];
	*cur = (struct disk_cursor){map->nr - 1, last->nr};
	return ref_end(&last->refs[last->nr - 1]) <= off;
}

int disk_map_set(struct disk_map *map, const struct disk_ref *ref, struct error *err)
{
	struct disk_cursor cur;
	struct disk_ref *before;

	if (!is_append(map, ref->off, &cur)) {
		if (disk_map_erase(map, ref->off, ref->len, err) < 0)
			return -1;
		cur = disk_map_find(map, ref->off);
	}
	before = ref_before(map, cur);
	if (continues(before, ref)) {
		before->len += ref->len;
		return 0;
	}
	return insert_ref(map, cur, ref, err);
}
