/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which blocks an upload looks at, in index order: those that the device wants in the snapshot, and
 * those that something else put there (the parent snapshot, an interrupted run) and the device does
 * not have: they become zeros, so that no stale bytes stay. Memory is constant.
 *
 * Of several machines that share one upload each takes runs of SNAPSHOT_SHARD_RUN blocks in turn:
 * contiguous parts would give one machine the full beginning of a disk and another its empty end, and
 * single blocks would break up the reading of the image.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_PLAN_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_PLAN_H

#include "base/walk.h"
#include "uploader/snapshot.h"

enum { SNAPSHOT_SHARD_RUN = 64, SNAPSHOT_SHARDS_MAX = 1000 };

struct snapshot_plan {
	/* Set by the caller; all borrowed. */
	struct dev *dev;
	enum snapshot_skip skip;
	uint64_t nr_blocks;                   /* of the volume */
	const struct snapshot_table *parent;  /* NULL: none */
	const struct snapshot_table *written; /* by an earlier run; NULL: none */
	unsigned shard, nr_shards;            /* shard counts from 1; nr_shards 0: all blocks */
	/* private */
	struct walk walk;
	uint64_t next_tail, next_parent, next_written;
	uint64_t source_index; /* what comes next from the device; UINT64_MAX: nothing more */
	enum extent_kind source_kind;
};

/* The fields above are set. */
int snapshot_plan_begin(struct snapshot_plan *p, struct error *err) MUST_CHECK;
void snapshot_plan_end(struct snapshot_plan *p);
/* 1 with the next block, 0 at the end. Kinds other than data are zeros. */
int snapshot_plan_next(struct snapshot_plan *p, uint64_t *index, enum extent_kind *kind,
	struct error *err) MUST_CHECK;
/* How many blocks snapshot_plan_next() would give; a plan that was not begun. Reads no content. */
int snapshot_plan_count(const struct snapshot_plan *p, uint64_t *count, struct error *err) MUST_CHECK;
/* Whether this block is one of shard number `shard`. */
bool snapshot_plan_is_mine(uint64_t index, unsigned shard, unsigned nr_shards);

#endif
