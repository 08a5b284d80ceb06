/* SPDX-License-Identifier: Apache-2.0 */
/* See download_check.h. Reading and hashing run in a pool, in the order of the blocks. */
#include "uploader/download_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"
#include "base/pool.h"
#include "uploader/ebs.h"

enum { CHUNK = 4096, MAX_DEPTH = 34 };

struct item {
	uint64_t index;
	uint8_t expected[SHA256_SIZE];
	bool same;
	uint8_t *data; /* EBS_BLOCK_SIZE bytes; owned */
};

struct check {
	const struct download_target *target;
	struct download_journal *journal;
	bool strict;
	struct pool *pool;
	struct item items[MAX_DEPTH];
	struct item *spare[MAX_DEPTH];
	unsigned nr_spare;
	struct progress progress;
	uint64_t *kept, *dropped;
};

/* Runs in a worker. What cannot be read (a file that was cut) is as good as damaged. */
static int compare(void *arg, void *check, struct error *err)
{
	const struct check *c = check;
	struct item *item = arg;
	uint8_t digest[SHA256_SIZE];

	item->same = false;
	if (file_pread_all(c->target->fd, item->data, EBS_BLOCK_SIZE, item->index * EBS_BLOCK_SIZE,
		    c->target->name, NULL) < 0)
		return 0;
	if (sha256(item->data, EBS_BLOCK_SIZE, digest, err) < 0)
		return -1;
	item->same = memcmp(digest, item->expected, SHA256_SIZE) == 0;
	return 0;
}

static int take_one(struct check *c, struct error *err)
{
	static const uint8_t none[SHA256_SIZE];
	struct item *item;
	void *out;

	if (pool_next(c->pool, &out, err) < 0)
		return -1;
	item = out;
	c->spare[c->nr_spare++] = item;
	progress_add(&c->progress, EBS_BLOCK_SIZE);
	++*(item->same ? c->kept : c->dropped);
	if (item->same)
		return 0;
	if (c->strict)
		return error_set(err, ERROR_POLICY, 0, "block %" PRIu64 " is not what was written",
			item->index);
	return download_journal_write(c->journal, item->index, none, err);
}

static int give_one(struct check *c, uint64_t index, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct item *item;

	if (pool_full(c->pool) && take_one(c, err) < 0)
		return -1;
	item = c->spare[--c->nr_spare];
	if (!item->data)
		item->data = malloc(EBS_BLOCK_SIZE);
	if (!item->data)
		return error_nomem(err, "block buffers");
	item->index = index;
	memcpy(item->expected, digest, SHA256_SIZE);
	return pool_submit(c->pool, item, err);
}

static int run(struct check *c, bool (*cancelled)(void), struct error *err)
{
	CLEANUP_FREE uint8_t(*digests)[SHA256_SIZE] = calloc(CHUNK, SHA256_SIZE);

	if (!digests)
		return error_nomem(err, "digests");
	for (uint64_t at = 0; at < c->journal->nr_blocks; at += CHUNK) {
		size_t nr = (size_t)MIN((uint64_t)CHUNK, c->journal->nr_blocks - at);

		if (download_journal_read(c->journal, at, nr, digests, err) < 0)
			return -1;
		for (size_t i = 0; i < nr; i++) {
			if (download_journal_is_empty(digests[i]))
				continue;
			if (cancelled && cancelled())
				return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
			if (give_one(c, at + i, digests[i], err) < 0)
				return -1;
		}
	}
	while (pool_pending(c->pool) > 0) {
		if (take_one(c, err) < 0)
			return -1;
	}
	return 0;
}

int download_check(const struct download_target *t, struct download_journal *j, bool strict,
	unsigned workers, bool (*cancelled)(void), const struct progress_opts *progress,
	uint64_t *kept, uint64_t *dropped, struct error *err)
{
	struct check c = {.target = t, .journal = j, .strict = strict, .kept = kept,
		.dropped = dropped};
	unsigned depth = MIN(MAX(2 * workers, 2U), (unsigned)MAX_DEPTH);
	void *item;
	int ret;

	*kept = *dropped = 0;
	for (unsigned i = 0; i < MAX_DEPTH; i++)
		c.spare[c.nr_spare++] = &c.items[i];
	c.pool = pool_new(workers, depth, compare, &c, err);
	if (!c.pool)
		return -1;
	progress_begin(&c.progress, progress, "check what is there", 0);
	ret = run(&c, cancelled, err);
	progress_end(&c.progress, ret == 0);
	while (pool_pending(c.pool) > 0) {
		/* Only to have them back. */
		if (pool_next(c.pool, &item, NULL) < 0)
			continue;
	}
	pool_free(c.pool);
	for (unsigned i = 0; i < MAX_DEPTH; i++)
		free(c.items[i].data);
	return ret;
}
