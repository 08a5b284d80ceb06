/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of chunks: the owner fills the pool from the walk and empties it in the same order. Chunks
 * without data take no place in the pool; they are handed over when the walk is seen to have jumped.
 */
#include "formats/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/pool.h"
#include "base/walk.h"
#include "base/zero.h"

#define BLOCK (512 * KIB)

enum { BLOCKS_MAX = CHUNKS_MAX >> 19 };

struct item {
	struct chunk chunk;
	struct run *run;
	uint8_t *bytes;
	bool block_has[BLOCKS_MAX]; /* with block(): those that the device has as data */
	uint8_t digest[BLOCKS_MAX][SHA256_SIZE];
};

struct run {
	struct dev *dev;
	const struct chunks_opts *opts;
	struct pool *pool;
	struct walk walk;
	bool at_end;        /* of the walk */
	struct item *items;
	unsigned depth;
	uint64_t submitted; /* chunks */
	uint64_t next;      /* index of the chunk that is to be handed over next */
	struct extent_list extents; /* of one chunk */
};

static int hash_blocks(struct item *it, struct error *err)
{
	for (size_t off = 0, i = 0; off < it->chunk.len; off += BLOCK, i++)
		if (it->block_has[i] && sha256(it->bytes + off, BLOCK, it->digest[i], err) < 0)
			return -1;
	return 0;
}

static int work(void *item, void *arg, struct error *err)
{
	const struct chunks_opts *o = arg;
	struct item *it = item;
	struct chunk *c = &it->chunk;

	if (dev_pread(it->run->dev, it->bytes, c->len, c->off, err) < 0)
		return -1;
	memset(it->bytes + c->len, 0, (size_t)o->size - c->len);
	if (o->block && hash_blocks(it, err) < 0)
		return -1;
	c->data = zero_all(it->bytes, c->len) ? NULL : it->bytes;
	return c->data && o->work ? o->work(c, o->arg, err) : 0;
}

/* Which of the chunk's blocks have data: those are the ones whose digests a manifest has. */
static int find_blocks(struct run *r, struct item *it, struct error *err)
{
	memset(it->block_has, 0, sizeof(it->block_has));
	extent_list_clear(&r->extents);
	if (dev_extents(r->dev, it->chunk.off, it->chunk.len, &r->extents, err) < 0)
		return -1;
	for (size_t i = 0; i < r->extents.nr; i++) {
		const struct extent *e = &r->extents.items[i];
		uint64_t first = (e->off - it->chunk.off) / BLOCK;
		uint64_t last = (e->off + e->len - 1 - it->chunk.off) / BLOCK;

		for (uint64_t b = first; e->kind == EXTENT_DATA && b <= last; b++)
			it->block_has[b] = true;
	}
	return 0;
}

static int submit(struct run *r, struct error *err)
{
	while (!r->at_end && !pool_full(r->pool)) {
		struct item *it = &r->items[r->submitted % r->depth];
		enum extent_kind kind;
		uint64_t index;
		int found = walk_next(&r->walk, EXTENT_DATA, &index, &kind, err);

		if (found < 0)
			return -1;
		if (found == 0) {
			r->at_end = true;
			break;
		}
		it->chunk.off = index * r->opts->size;
		it->chunk.len = (size_t)MIN(r->opts->size, r->dev->size - it->chunk.off);
		buf_clear(&it->chunk.out);
		if ((r->opts->block && find_blocks(r, it, err) < 0) || pool_submit(r->pool, it, err) < 0)
			return -1;
		r->submitted++;
	}
	return 0;
}

/* Hands over the chunks without data before the one with that index. */
static int emit_gap(struct run *r, uint64_t index, struct error *err)
{
	const struct chunks_opts *o = r->opts;

	for (; o->all && o->emit && r->next < index; r->next++) {
		struct chunk c = {.off = r->next * o->size};

		c.len = (size_t)MIN(o->size, r->dev->size - c.off);
		if (o->emit(&c, o->arg, err) < 0)
			return -1;
	}
	r->next = index;
	return 0;
}

static int report_blocks(const struct run *r, const struct item *it, struct error *err)
{
	uint64_t first = it->chunk.off / BLOCK;

	for (size_t off = 0, i = 0; r->opts->block && off < it->chunk.len; off += BLOCK, i++)
		if (it->block_has[i] &&
			r->opts->block(r->opts->block_arg, first + i, it->digest[i], err) < 0)
			return -1;
	return 0;
}

static int emit(struct run *r, struct item *it, struct error *err)
{
	const struct chunks_opts *o = r->opts;
	uint64_t index = it->chunk.off / o->size;

	if (emit_gap(r, index, err) < 0 || report_blocks(r, it, err) < 0)
		return -1;
	r->next = index + 1;
	if (o->emit && (it->chunk.data || o->all) && o->emit(&it->chunk, o->arg, err) < 0)
		return -1;
	if (o->progress)
		progress_add(o->progress, it->chunk.len);
	return 0;
}

static int run_all(struct run *r, struct error *err)
{
	for (;;) {
		void *item;

		if (r->opts->cancelled && r->opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted while %s", r->opts->what);
		if (submit(r, err) < 0 || pool_next(r->pool, &item, err) < 0)
			return -1;
		if (!item)
			return emit_gap(r, num_div_up(r->dev->size, r->opts->size), err);
		if (emit(r, item, err) < 0)
			return -1;
	}
}

static int prepare(struct run *r, struct error *err)
{
	const struct chunks_opts *o = r->opts;

	r->depth = o->workers > 1 ? 2 * o->workers + 2 : 1;
	r->items = calloc(r->depth, sizeof(*r->items));
	if (!r->items)
		return error_nomem(err, "chunks");
	for (unsigned i = 0; i < r->depth; i++) {
		struct item *it = &r->items[i];

		it->run = r;
		buf_init(&it->chunk.out, 4 * CHUNKS_MAX);
		it->bytes = malloc((size_t)o->size);
		if (!it->bytes)
			return error_nomem(err, "chunks");
		if (!o->new_state)
			continue;
		it->chunk.state = o->new_state(o->arg, err);
		if (!it->chunk.state)
			return -1;
	}
	r->pool = pool_new(o->workers, r->depth, work, (void *)(uintptr_t)o, err);
	return r->pool ? 0 : -1;
}

static int announce(struct run *r, struct error *err)
{
	uint64_t count[3];

	if (!r->opts->progress)
		return 0;
	if (walk_count(r->dev, r->opts->size, count, err) < 0)
		return -1;
	progress_set_total(r->opts->progress, count[EXTENT_DATA] * r->opts->size);
	return 0;
}

static void release(struct run *r)
{
	pool_free(r->pool); /* first: workers use the items */
	walk_release(&r->walk);
	extent_list_release(&r->extents);
	for (unsigned i = 0; r->items && i < r->depth; i++) {
		if (r->opts->free_state && r->items[i].chunk.state)
			r->opts->free_state(r->items[i].chunk.state);
		buf_release(&r->items[i].chunk.out);
		free(r->items[i].bytes);
	}
	free(r->items);
}

int chunks_run(struct dev *dev, const struct chunks_opts *opts, struct error *err)
{
	struct run r = {.dev = dev, .opts = opts};
	int ret;

	if (opts->size > CHUNKS_MAX || (opts->block && opts->size % BLOCK))
		return error_set(err, ERROR_BUG, 0, "chunks of a wrong size");
	walk_init(&r.walk, dev, opts->size);
	ret = prepare(&r, err);
	if (ret == 0)
		ret = announce(&r, err);
	if (ret == 0)
		ret = run_all(&r, err);
	release(&r);
	return ret;
}
