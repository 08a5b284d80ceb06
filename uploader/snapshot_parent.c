/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the parent's list of blocks, and then the digests. The samples are taken evenly over
 * the whole list without knowing its length: when the store is full every second one goes and the
 * distance doubles.
 */
#include "uploader/snapshot_parent.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/pool.h"
#include "uploader/snapshot_internal.h"
#include "uploader/snapshot_plan.h"
#include "uploader/snapshot_read.h"

enum { SAMPLES_MAX = 2 * SNAPSHOT_PARENT_SAMPLES };

struct samples {
	struct ebs_block blocks[SAMPLES_MAX];
	unsigned nr;
	uint64_t seen, distance;
};

struct parent {
	struct aws *aws;
	const struct snapshot_upload_opts *opts;
	struct snapshot_table *table;
	struct progress progress;
	struct samples data, other; /* blocks whose digest the manifest has; others */
	uint8_t zero_digest[SHA256_SIZE];
};

static void sample(struct samples *s, const struct ebs_block *block)
{
	if (s->seen++ % MAX(s->distance, UINT64_C(1)) != 0)
		return;
	if (s->nr == SAMPLES_MAX) {
		for (unsigned i = 0; i < SAMPLES_MAX / 2; i++)
			s->blocks[i] = s->blocks[2 * i];
		s->nr = SAMPLES_MAX / 2;
		s->distance = MAX(s->distance, UINT64_C(1)) * 2;
	}
	s->blocks[s->nr++] = *block;
}

static bool is_read_back(const struct parent *p)
{
	return !p->opts->parent_image && !p->opts->parent_known;
}

static int take_read(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct parent *p = arg;

	(void)data;
	return snapshot_table_set(p->table, index, digest, err);
}

static int read_back(struct parent *p, const struct ebs_block *blocks, size_t nr, snapshot_block_fn fn,
	struct error *err)
{
	struct snapshot_read_opts opts = {.max_inflight = p->opts->max_inflight,
		.cancelled = p->opts->cancelled, .progress = &p->progress};

	return nr ? snapshot_read_blocks(p->aws, p->opts->parent, blocks, nr, &opts, fn, p, err) : 0;
}

/* Notes which blocks there are; reads them when there is no other way to their digests. */
static int take_page(struct parent *p, const struct ebs_block_list *page, struct error *err)
{
	CLEANUP_FREE struct ebs_block *mine = calloc(page->nr + 1, sizeof(*mine));
	size_t nr = 0;

	if (!mine)
		return error_nomem(err, "a page of blocks");
	for (size_t i = 0; i < page->nr; i++) {
		const struct ebs_block *b = &page->items[i];

		if (!snapshot_plan_is_mine(b->index, p->opts->shard, p->opts->nr_shards))
			continue;
		if (snapshot_table_set(p->table, b->index, NULL, err) < 0)
			return -1;
		mine[nr++] = *b;
		sample(snapshot_table_has(p->opts->parent_known, b->index) || p->opts->parent_image ?
				&p->data :
				&p->other, b);
	}
	return is_read_back(p) ? read_back(p, mine, nr, take_read, err) : 0;
}

static int set_size(struct parent *p, uint64_t parent_gib, uint64_t least_gib, uint64_t *size_gib,
	struct error *err)
{
	if (!p->opts->size_gib && !p->opts->snapshot)
		*size_gib = MAX(least_gib, parent_gib);
	if (*size_gib < parent_gib)
		return error_set(err, ERROR_USAGE, 0,
			"a volume of %" PRIu64 " GiB is smaller than its parent %s of %" PRIu64 " GiB",
			*size_gib, p->opts->parent, parent_gib);
	p->table = snapshot_table_new(*size_gib * (GIB / EBS_BLOCK_SIZE), p->opts->spool_dir, err);
	return p->table ? 0 : -1;
}

static int list(struct parent *p, uint64_t least_gib, uint64_t *size_gib, struct error *err)
{
	CLEANUP(snapshot_pages_cleanup) struct snapshot_pages *pages =
		snapshot_pages_open(p->aws, p->opts->parent, 0, err);
	const struct ebs_block_list *page;
	int ret;

	if (!pages)
		return -1;
	do {
		ret = snapshot_pages_next(pages, &page, err);
		if (ret < 0)
			return -1;
		if (!p->table && set_size(p, page->size_gib, least_gib, size_gib, err) < 0)
			return -1;
		if (ret > 0 && take_page(p, page, err) < 0)
			return -1;
	} while (ret > 0);
	return 0;
}

/*
 * The manifest has the blocks of data; what the snapshot has besides was sent as zeros. A block of
 * data that it lacks shows that they do not belong together.
 */
static int take_known(struct parent *p, struct error *err)
{
	const struct snapshot_table *known = p->opts->parent_known;
	uint8_t digest[SHA256_SIZE];
	uint64_t i;

	for (i = 0; (i = snapshot_table_next(p->table, i)) != UINT64_MAX; i++) {
		if (!snapshot_table_has(known, i))
			memcpy(digest, p->zero_digest, sizeof(digest));
		else if (snapshot_table_get(known, i, digest, err) < 0)
			return -1;
		if (snapshot_table_set(p->table, i, digest, err) < 0)
			return -1;
	}
	for (i = 0; (i = snapshot_table_next(known, i)) != UINT64_MAX; i++) {
		if (snapshot_table_has(p->table, i) ||
		    !snapshot_plan_is_mine(i, p->opts->shard, p->opts->nr_shards))
			continue;
		if (snapshot_table_get(known, i, digest, err) < 0)
			return -1;
		if (memcmp(digest, p->zero_digest, sizeof(digest)) != 0)
			return error_set(err, ERROR_POLICY, 0,
				"the manifest is not of %s: that lacks block %" PRIu64, p->opts->parent, i);
	}
	return 0;
}

struct hashed {
	uint64_t index;
	uint8_t digest[SHA256_SIZE];
	uint8_t *data;
	struct hashed *next;
};

/* Runs in a worker. */
static int hash_block(void *item, void *arg, struct error *err)
{
	struct hashed *h = item;
	struct dev *dev = arg;
	uint64_t off = h->index * EBS_BLOCK_SIZE;
	size_t len = off < dev->size ? (size_t)MIN((uint64_t)EBS_BLOCK_SIZE, dev->size - off) : 0;

	if (len && dev_pread(dev, h->data, len, off, err) < 0)
		return error_wrap(err, "block %" PRIu64 " of the parent's image", h->index);
	memset(h->data + len, 0, EBS_BLOCK_SIZE - len);
	return sha256(h->data, EBS_BLOCK_SIZE, h->digest, err);
}

static int take_hashed(struct parent *p, struct pool *pool, struct hashed **spare, struct error *err)
{
	struct hashed *h;
	void *item;

	if (pool_next(pool, &item, err) < 0)
		return -1;
	h = item;
	h->next = *spare;
	*spare = h;
	progress_add(&p->progress, EBS_BLOCK_SIZE);
	return snapshot_table_set(p->table, h->index, h->digest, err);
}

static int hash_all(struct parent *p, struct pool *pool, struct hashed *spare, struct error *err)
{
	for (uint64_t i = 0; (i = snapshot_table_next(p->table, i)) != UINT64_MAX; i++) {
		struct hashed *h;

		if (p->opts->cancelled && p->opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0,
				"interrupted while the parent's image was read");
		if (!spare && take_hashed(p, pool, &spare, err) < 0)
			return -1;
		h = spare;
		spare = h->next;
		h->index = i;
		if (pool_submit(pool, h, err) < 0)
			return -1;
	}
	while (pool_pending(pool) > 0) {
		if (take_hashed(p, pool, &spare, err) < 0)
			return -1;
	}
	return 0;
}

static int hash_image(struct parent *p, struct error *err)
{
	enum { MAX_DEPTH = 32 };
	unsigned depth = MIN(MAX(p->opts->workers, 1U) * 2 + 1, (unsigned)MAX_DEPTH);
	struct hashed items[MAX_DEPTH] = {{0}};
	struct pool *pool = pool_new(p->opts->workers, depth, hash_block, p->opts->parent_image, err);
	int ret = pool ? 0 : -1;

	for (unsigned i = 0; ret == 0 && i < depth; i++) {
		items[i].data = malloc(EBS_BLOCK_SIZE);
		items[i].next = i ? &items[i - 1] : NULL;
		if (!items[i].data)
			ret = error_nomem(err, "hash buffers");
	}
	if (ret == 0)
		ret = hash_all(p, pool, &items[depth - 1], err);
	while (pool && pool_pending(pool) > 0) {
		void *item;

		/* Only to have the items back. */
		if (pool_next(pool, &item, NULL) < 0)
			continue;
	}
	pool_free(pool);
	for (unsigned i = 0; i < depth; i++)
		free(items[i].data);
	return ret;
}

static int compare_read(void *arg, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	const struct parent *p = arg;
	uint8_t ours[SHA256_SIZE];

	(void)data;
	if (snapshot_table_get(p->table, index, ours, err) < 0)
		return -1;
	if (memcmp(ours, digest, SHA256_SIZE) == 0)
		return 0;
	return error_set(err, ERROR_POLICY, 0, "the parent's %s is not of %s: block %" PRIu64 " differs",
		p->opts->parent_image ? "image" : "manifest", p->opts->parent, index);
}

static int take_digests(struct parent *p, struct error *err)
{
	if (is_read_back(p))
		return 0;
	if ((p->opts->parent_image ? hash_image(p, err) : take_known(p, err)) < 0)
		return -1;
	if (read_back(p, p->data.blocks, p->data.nr, compare_read, err) < 0)
		return -1;
	return read_back(p, p->other.blocks, p->other.nr, compare_read, err);
}

struct snapshot_table *snapshot_parent_load(struct aws *a, const struct snapshot_upload_opts *opts,
	uint64_t least_gib, uint64_t *size_gib, struct error *err)
{
	CLEANUP_FREE struct parent *p = calloc(1, sizeof(*p));
	uint8_t *zeros = calloc(1, EBS_BLOCK_SIZE);
	int ret = -1;

	if (!p || !zeros) {
		error_nomem(err, "a parent");
	} else if (sha256(zeros, EBS_BLOCK_SIZE, p->zero_digest, err) == 0) {
		p->aws = a;
		p->opts = opts;
		progress_begin(&p->progress, opts->progress, "parent", 0);
		ret = list(p, least_gib, size_gib, err);
		if (ret == 0)
			ret = take_digests(p, err);
		progress_end(&p->progress, ret == 0);
	}
	free(zeros);
	if (ret == 0) {
		log_info("%s: %" PRIu64 " blocks to compare with", opts->parent,
			snapshot_table_count(p->table));
		return p->table;
	}
	if (p)
		snapshot_table_free(p->table);
	return NULL;
}
