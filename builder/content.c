/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over a device by the worker pool; digests come out in order and go into one hash. */
#include "builder/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/pool.h"
#include "base/walk.h"

enum { BLOCK = 512 << 10 };

struct item {
	struct dev *dev;
	uint64_t index;
	enum extent_kind kind;
	uint8_t digest[SHA256_SIZE];
	uint8_t *bytes;
	struct item *next; /* in the list of idle ones */
};

struct pass {
	struct dev *dev;
	const struct content_opts *opts;
	struct pool *pool;
	struct item *items, *idle;
	unsigned nr_items;
	struct sha256 *hash;
	struct walk walk;
	struct progress progress;
};

/* Zeros and what is behind the device's end need no reading: their digest is never looked at. */
static int work(void *pitem, void *arg, struct error *err)
{
	struct item *item = pitem;
	uint64_t off = item->index * BLOCK;
	size_t len = (size_t)MIN((uint64_t)BLOCK, item->dev->size - off);

	(void)arg;
	memset(item->digest, 0, sizeof(item->digest));
	if (item->kind != EXTENT_DATA)
		return 0;
	if (dev_pread(item->dev, item->bytes, len, off, err) < 0)
		return -1;
	memset(item->bytes + len, 0, BLOCK - len);
	return sha256(item->bytes, BLOCK, item->digest, err);
}

static int pass_init(struct pass *p, struct error *err)
{
	static const char head[] = "amiwright content 1\n";
	uint8_t size[8];

	p->nr_items = p->opts->workers * 2 + 2;
	walk_init(&p->walk, p->dev, BLOCK);
	p->items = calloc(p->nr_items, sizeof(*p->items));
	p->hash = sha256_new(err);
	if (!p->hash)
		return -1;
	if (!p->items)
		return error_nomem(err, "hash buffers");
	for (unsigned i = 0; i < p->nr_items; i++) {
		struct item *item = &p->items[i];

		item->bytes = malloc(BLOCK);
		if (!item->bytes)
			return error_nomem(err, "hash buffers");
		item->dev = p->dev;
		item->next = p->idle;
		p->idle = item;
	}
	p->pool = pool_new(p->opts->workers, p->nr_items, work, NULL, err);
	if (!p->pool)
		return -1;
	progress_begin(&p->progress, p->opts->progress, "hash", p->dev->size);
	num_put_le64(size, p->dev->size);
	if (sha256_update(p->hash, head, sizeof(head) - 1, err) < 0)
		return -1;
	return sha256_update(p->hash, size, sizeof(size), err);
}

static void pass_release(struct pass *p)
{
	pool_free(p->pool);
	walk_release(&p->walk);
	for (unsigned i = 0; p->items && i < p->nr_items; i++)
		free(p->items[i].bytes);
	free(p->items);
	sha256_free(p->hash);
}

/* Takes the oldest block into the hash. */
static int take_one(struct pass *p, struct error *err)
{
	uint8_t record[8 + 1 + SHA256_SIZE];
	void *done = NULL;
	struct item *item;

	if (pool_next(p->pool, &done, err) < 0)
		return -1;
	item = done;
	num_put_le64(record, item->index);
	record[8] = (uint8_t)item->kind;
	memcpy(record + 9, item->digest, SHA256_SIZE);
	item->next = p->idle;
	p->idle = item;
	progress_add(&p->progress, BLOCK);
	return sha256_update(p->hash, record, sizeof(record), err);
}

static int run_pass(struct pass *p, struct error *err)
{
	enum extent_kind kind;
	uint64_t index;
	int ret;

	while ((ret = walk_next(&p->walk, EXTENT_ZERO, &index, &kind, err)) > 0) {
		struct item *item;

		if (p->opts->cancelled && p->opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted while hashing");
		if (!p->idle && take_one(p, err) < 0)
			return -1;
		item = p->idle;
		p->idle = item->next;
		item->index = index;
		item->kind = kind;
		if (pool_submit(p->pool, item, err) < 0)
			return -1;
	}
	while (!ret && pool_pending(p->pool))
		ret = take_one(p, err);
	return ret;
}

int content_digest(struct dev *dev, const struct content_opts *opts, char hex[SHA256_HEX_SIZE],
	struct error *err)
{
	struct pass p = {.dev = dev, .opts = opts};
	uint8_t digest[SHA256_SIZE];
	int ret = pass_init(&p, err);

	if (!ret)
		ret = run_pass(&p, err);
	progress_end(&p.progress, !ret);
	if (!ret)
		ret = sha256_final(p.hash, digest, err);
	if (!ret)
		hex_encode(hex, digest, sizeof(digest));
	pass_release(&p);
	return ret;
}
