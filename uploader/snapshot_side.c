/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot_side.h. */
#include "uploader/snapshot_side.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/pool.h"

enum { MAX_DEPTH = 34 };

int snapshot_zero_digest(uint8_t digest[SHA256_SIZE], struct error *err)
{
	CLEANUP_FREE uint8_t *zeros = calloc(1, EBS_BLOCK_SIZE);

	return zeros ? sha256(zeros, EBS_BLOCK_SIZE, digest, err) : error_nomem(err, "zeros");
}

static int init(struct snapshot_side *s, struct error *err)
{
	memset(s, 0, sizeof(*s));
	return snapshot_zero_digest(s->zero, err);
}

int snapshot_side_of_snapshot(struct snapshot_side *s, struct aws *a, const char *snapshot,
	struct error *err)
{
	if (init(s, err) < 0)
		return -1;
	s->aws = a;
	s->snapshot = strdup(snapshot);
	s->blocks = calloc(SNAPSHOT_WINDOW, sizeof(*s->blocks));
	if (!s->snapshot || !s->blocks)
		return error_nomem(err, "a list of blocks");
	s->pages = snapshot_pages_open(a, snapshot, 0, err);
	if (!s->pages || snapshot_pages_next(s->pages, &s->page, err) < 0)
		return -1;
	s->size = s->page->size_gib * GIB;
	return 0;
}

int snapshot_side_of_dev(struct snapshot_side *s, struct dev *dev, struct error *err)
{
	if (init(s, err) < 0)
		return -1;
	s->dev = dev;
	s->size = dev->size;
	walk_init(&s->walk, dev, EBS_BLOCK_SIZE);
	return 0;
}

int snapshot_side_of_table(struct snapshot_side *s, const struct snapshot_table *table, uint64_t size,
	struct error *err)
{
	if (init(s, err) < 0)
		return -1;
	s->table = table;
	s->size = size;
	return 0;
}

void snapshot_side_release(struct snapshot_side *s)
{
	snapshot_pages_close(s->pages);
	if (s->dev)
		walk_release(&s->walk);
	free(s->blocks);
	free(s->snapshot);
	memset(s, 0, sizeof(*s));
}

static int kinds_of_snapshot(struct snapshot_side *s, struct snapshot_window *w, struct error *err)
{
	s->nr_blocks = 0;
	for (;;) {
		const struct ebs_block *b;

		if (s->next == s->page->nr) {
			if (s->page->nr == 0)
				return 0;
			s->next = 0;
			if (snapshot_pages_next(s->pages, &s->page, err) < 0)
				return -1;
			continue;
		}
		b = &s->page->items[s->next];
		if (b->index >= w->first + w->nr)
			return 0;
		w->kind[b->index - w->first] = EXTENT_DATA;
		s->blocks[s->nr_blocks++] = *b;
		s->next++;
	}
}

static int kinds_of_dev(struct snapshot_side *s, struct snapshot_window *w, struct error *err)
{
	enum extent_kind kind;
	uint64_t index;
	int ret;

	while ((ret = walk_next(&s->walk, EXTENT_ZERO, &index, &kind, err)) > 0) {
		if (index >= w->first + w->nr) {
			s->walk.next = index; /* of the next window */
			return 0;
		}
		w->kind[index - w->first] = (uint8_t)kind;
	}
	return ret;
}

int snapshot_side_kinds(struct snapshot_side *s, struct snapshot_window *w, uint64_t first, size_t nr,
	struct error *err)
{
	w->first = first;
	w->nr = nr;
	memset(w->kind, EXTENT_UNUSED, nr);
	if (s->snapshot)
		return kinds_of_snapshot(s, w, err);
	if (s->dev)
		return kinds_of_dev(s, w, err);
	for (uint64_t i = snapshot_table_next(s->table, first); i < first + nr;
		i = snapshot_table_next(s->table, i + 1))
		w->kind[i - first] = EXTENT_DATA;
	return 0;
}

static int take_digest(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct snapshot_window *w = arg;

	(void)data;
	(void)err;
	memcpy(w->digest[index - w->first], digest, SHA256_SIZE);
	return 0;
}

static int digests_of_snapshot(struct snapshot_side *s, struct snapshot_window *w,
	const struct snapshot_side_opts *opts, struct error *err)
{
	struct snapshot_read_opts read = {.max_inflight = opts->max_inflight,
		.cancelled = opts->cancelled, .progress = opts->progress};
	size_t nr = 0;

	for (size_t i = 0; i < s->nr_blocks; i++) {
		if (w->want[s->blocks[i].index - w->first])
			s->blocks[nr++] = s->blocks[i];
	}
	s->nr_blocks = 0;
	return snapshot_read_blocks(s->aws, s->snapshot, s->blocks, nr, &read, take_digest, w, err);
}

/* Blocks of an image, hashed in a pool. */
struct item {
	size_t pos; /* in the window */
	uint8_t *data; /* EBS_BLOCK_SIZE bytes; owned */
	uint8_t digest[SHA256_SIZE];
};

struct hashing {
	struct snapshot_side *side;
	struct snapshot_window *window;
	const struct snapshot_side_opts *opts;
	struct pool *pool;
	struct item items[MAX_DEPTH];
	struct item *spare[MAX_DEPTH];
	unsigned nr_spare;
};

/* Runs in a worker. */
static int read_and_hash(void *arg, void *hashing, struct error *err)
{
	const struct hashing *h = hashing;
	struct dev *dev = h->side->dev;
	struct item *item = arg;
	uint64_t off = (h->window->first + item->pos) * EBS_BLOCK_SIZE;
	size_t len = (size_t)MIN((uint64_t)EBS_BLOCK_SIZE, dev->size - off);

	if (dev_pread(dev, item->data, len, off, err) < 0)
		return -1;
	memset(item->data + len, 0, EBS_BLOCK_SIZE - len);
	return sha256(item->data, EBS_BLOCK_SIZE, item->digest, err);
}

static int take_item(struct hashing *h, struct error *err)
{
	struct item *item;
	void *out;

	if (pool_next(h->pool, &out, err) < 0)
		return -1;
	item = out;
	h->spare[h->nr_spare++] = item;
	memcpy(h->window->digest[item->pos], item->digest, SHA256_SIZE);
	if (memcmp(item->digest, h->side->zero, SHA256_SIZE) == 0)
		h->window->kind[item->pos] = EXTENT_ZERO;
	if (h->opts->progress)
		progress_add(h->opts->progress, EBS_BLOCK_SIZE);
	if (h->opts->cancelled && h->opts->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	return 0;
}

static int give_item(struct hashing *h, size_t pos, struct error *err)
{
	struct item *item;

	if (pool_full(h->pool) && take_item(h, err) < 0)
		return -1;
	item = h->spare[--h->nr_spare];
	if (!item->data)
		item->data = malloc(EBS_BLOCK_SIZE);
	if (!item->data)
		return error_nomem(err, "block buffers");
	item->pos = pos;
	return pool_submit(h->pool, item, err);
}

static int hash_all(struct hashing *h, struct error *err)
{
	for (size_t i = 0; i < h->window->nr; i++) {
		if (h->window->kind[i] == EXTENT_DATA && h->window->want[i] &&
		    give_item(h, i, err) < 0)
			return -1;
	}
	while (pool_pending(h->pool) > 0) {
		if (take_item(h, err) < 0)
			return -1;
	}
	return 0;
}

static int digests_of_dev(struct snapshot_side *s, struct snapshot_window *w,
	const struct snapshot_side_opts *opts, struct error *err)
{
	struct hashing h = {.side = s, .window = w, .opts = opts};
	unsigned depth = MIN(MAX(2 * opts->workers, 2U), (unsigned)MAX_DEPTH);
	void *item;
	int ret;

	for (unsigned i = 0; i < MAX_DEPTH; i++)
		h.spare[h.nr_spare++] = &h.items[i];
	h.pool = pool_new(opts->workers, depth, read_and_hash, &h, err);
	if (!h.pool)
		return -1;
	ret = hash_all(&h, err);
	while (pool_pending(h.pool) > 0) {
		/* Only to have them back. */
		if (pool_next(h.pool, &item, NULL) < 0)
			continue;
	}
	pool_free(h.pool);
	for (unsigned i = 0; i < MAX_DEPTH; i++)
		free(h.items[i].data);
	return ret;
}

static bool wants_data(const struct snapshot_window *w)
{
	for (size_t i = 0; i < w->nr; i++) {
		if (w->want[i] && w->kind[i] == EXTENT_DATA)
			return true;
	}
	return false;
}

int snapshot_side_digests(struct snapshot_side *s, struct snapshot_window *w,
	const struct snapshot_side_opts *opts, struct error *err)
{
	for (size_t i = 0; i < w->nr; i++)
		memcpy(w->digest[i], s->zero, SHA256_SIZE);
	if (!wants_data(w))
		return 0;
	if (s->snapshot)
		return digests_of_snapshot(s, w, opts, err);
	if (s->dev)
		return digests_of_dev(s, w, opts, err);
	for (size_t i = 0; i < w->nr; i++) {
		if (w->want[i] && w->kind[i] == EXTENT_DATA &&
		    snapshot_table_get(s->table, w->first + i, w->digest[i], err) < 0)
			return -1;
	}
	return 0;
}
