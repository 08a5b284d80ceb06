/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw images block for block: workers read, hash and write blocks of 512 KiB, the owner reports
 * their digests in order. Blocks in which nothing is data are not looked at.
 */
#include "formats/raw_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/pool.h"
#include "base/walk.h"

#define BLOCK (512 * KIB)

struct block {
	uint64_t index;
	uint8_t digest[SHA256_SIZE];
	uint8_t *bytes; /* BLOCK of them */
};

struct blocks {
	struct raw_writer *w;
	struct pool *pool;
	struct walk walk;
	bool at_end; /* of the walk */
	struct block *items;
	uint8_t *memory; /* the bytes of all items */
	unsigned depth;
	uint64_t submitted;
};

static int work_block(void *item, void *arg, struct error *err)
{
	const struct raw_writer *w = arg;
	struct block *b = item;
	uint64_t off = b->index * BLOCK;
	size_t len = MIN(BLOCK, w->dev->size - off);

	if (dev_pread(w->dev, b->bytes, len, off, err) < 0)
		return -1;
	memset(b->bytes + len, 0, BLOCK - len);
	if (sha256(b->bytes, BLOCK, b->digest, err) < 0)
		return -1;
	return raw_write_pages(w, b->bytes, len, off, err);
}

static int submit_blocks(struct blocks *s, struct error *err)
{
	enum extent_kind kind;

	while (!s->at_end && !pool_full(s->pool)) {
		struct block *b = &s->items[s->submitted % s->depth];
		int found = walk_next(&s->walk, EXTENT_DATA, &b->index, &kind, err);

		if (found < 0)
			return -1;
		if (found == 0)
			s->at_end = true;
		else if (pool_submit(s->pool, b, err) < 0)
			return -1;
		else
			s->submitted++;
	}
	return 0;
}

static int run_blocks(struct blocks *s, struct error *err)
{
	const struct raw_opts *opts = s->w->opts;

	for (;;) {
		const struct block *b;
		void *item;

		if (raw_check_cancelled(s->w, err) < 0 || submit_blocks(s, err) < 0 ||
			pool_next(s->pool, &item, err) < 0)
			return -1;
		if (!item)
			return 0;
		b = item;
		if (opts->block(opts->block_arg, b->index, b->digest, err) < 0)
			return -1;
		if (opts->progress)
			progress_add(opts->progress, BLOCK);
	}
}

static int prepare(struct blocks *s, struct error *err)
{
	unsigned workers = s->w->opts->workers;

	s->depth = workers > 1 ? 2 * workers + 2 : 1;
	s->items = calloc(s->depth, sizeof(*s->items));
	s->memory = malloc(s->depth * BLOCK);
	if (!s->items || !s->memory)
		return error_nomem(err, "block buffers");
	for (unsigned i = 0; i < s->depth; i++)
		s->items[i].bytes = s->memory + i * BLOCK;
	s->pool = pool_new(workers, s->depth, work_block, s->w, err);
	return s->pool ? 0 : -1;
}

static int announce(struct raw_writer *w, struct error *err)
{
	uint64_t count[3];

	if (!w->opts->progress)
		return 0;
	if (walk_count(w->dev, BLOCK, count, err) < 0)
		return -1;
	progress_set_total(w->opts->progress, count[EXTENT_DATA] * BLOCK);
	return 0;
}

int raw_copy_blocks(struct raw_writer *w, struct error *err)
{
	struct blocks s = {.w = w};
	int ret;

	walk_init(&s.walk, w->dev, BLOCK);
	ret = prepare(&s, err);
	if (ret == 0)
		ret = announce(w, err);
	if (ret == 0)
		ret = run_blocks(&s, err);
	pool_free(s.pool); /* first: workers use the items */
	walk_release(&s.walk);
	free(s.items);
	free(s.memory);
	return ret;
}
