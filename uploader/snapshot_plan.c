/* SPDX-License-Identifier: Apache-2.0 */
/* A merge of ordered streams: the device's blocks, the parent's, and those of an earlier run. */
#include "uploader/snapshot_plan.h"

#include "base/num.h"
#include "uploader/snapshot_table.h"

static enum extent_kind least_kind(const struct snapshot_plan *p)
{
	switch (p->skip) {
	case SNAPSHOT_SKIP_NEVER:
		return EXTENT_UNUSED;
	case SNAPSHOT_SKIP_ZEROS:
		return EXTENT_DATA;
	default:
		return EXTENT_ZERO;
	}
}

bool snapshot_plan_is_mine(uint64_t index, unsigned shard, unsigned nr_shards)
{
	return nr_shards == 0 || index / SNAPSHOT_SHARD_RUN % nr_shards == shard - 1;
}

static int next_source(struct snapshot_plan *p, struct error *err)
{
	int ret = walk_next(&p->walk, least_kind(p), &p->source_index, &p->source_kind, err);

	if (ret != 0)
		return ret < 0 ? -1 : 0;
	p->source_index = UINT64_MAX;
	/* Without any skipping the volume's end behind the device is sent as zeros. */
	if (p->skip == SNAPSHOT_SKIP_NEVER && p->next_tail < p->nr_blocks) {
		p->source_index = p->next_tail++;
		p->source_kind = EXTENT_UNUSED;
	}
	return 0;
}

int snapshot_plan_begin(struct snapshot_plan *p, struct error *err)
{
	walk_init(&p->walk, p->dev, EBS_BLOCK_SIZE);
	p->next_tail = num_div_up(p->dev->size, EBS_BLOCK_SIZE);
	p->next_parent = snapshot_table_next(p->parent, 0);
	p->next_written = snapshot_table_next(p->written, 0);
	return next_source(p, err);
}

void snapshot_plan_end(struct snapshot_plan *p)
{
	walk_release(&p->walk);
}

int snapshot_plan_next(struct snapshot_plan *p, uint64_t *index, enum extent_kind *kind,
	struct error *err)
{
	do {
		*index = MIN(p->source_index, MIN(p->next_parent, p->next_written));
		if (*index == UINT64_MAX)
			return 0;
		*kind = EXTENT_UNUSED;
		if (*index == p->next_parent)
			p->next_parent = snapshot_table_next(p->parent, *index + 1);
		if (*index == p->next_written)
			p->next_written = snapshot_table_next(p->written, *index + 1);
		if (*index == p->source_index) {
			*kind = p->source_kind;
			if (next_source(p, err) < 0)
				return -1;
		}
	} while (!snapshot_plan_is_mine(*index, p->shard, p->nr_shards));
	return 1;
}

int snapshot_plan_count(const struct snapshot_plan *p, uint64_t *count, struct error *err)
{
	struct snapshot_plan copy = *p;
	enum extent_kind kind;
	uint64_t index;
	int ret = snapshot_plan_begin(&copy, err);

	*count = 0;
	while (ret == 0 && (ret = snapshot_plan_next(&copy, &index, &kind, err)) > 0) {
		++*count;
		ret = 0;
	}
	snapshot_plan_end(&copy);
	return ret;
}
