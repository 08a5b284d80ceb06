/* SPDX-License-Identifier: Apache-2.0 */
/* A bitmap for what is asked all the time, a sparse disk for what is read once a block. */
#include "uploader/snapshot_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "base/num.h"

enum { BITS = 64 };

#define MEM_LIMIT (4 * MIB)

struct snapshot_table {
	uint64_t nr_blocks, nr_words, count;
	uint64_t *bits;
	struct dev *digests;
};

struct snapshot_table *snapshot_table_new(uint64_t nr_blocks, const char *spool_dir,
	struct error *err)
{
	CLEANUP(snapshot_table_cleanup) struct snapshot_table *t = calloc(1, sizeof(*t));
	struct disk_opts opts = {.mem_limit = MEM_LIMIT, .spool_dir = spool_dir};

	if (!t)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a table of blocks");
	t->nr_blocks = nr_blocks;
	t->nr_words = num_div_up(nr_blocks, BITS);
	t->bits = calloc(t->nr_words, sizeof(*t->bits));
	if (!t->bits)
		return error_null(err, ERROR_NOMEM, 0,
			"out of memory for a table of %" PRIu64 " blocks", nr_blocks);
	t->digests = disk_new(nr_blocks * SHA256_SIZE, &opts, err);
	return t->digests ? steal_ptr(&t) : NULL;
}

void snapshot_table_free(struct snapshot_table *t)
{
	if (!t)
		return;
	dev_close(t->digests, NULL);
	free(t->bits);
	free(t);
}

bool snapshot_table_has(const struct snapshot_table *t, uint64_t index)
{
	return t && index < t->nr_blocks && (t->bits[index / BITS] >> index % BITS & 1);
}

uint64_t snapshot_table_count(const struct snapshot_table *t)
{
	return t->count;
}

uint64_t snapshot_table_next(const struct snapshot_table *t, uint64_t from)
{
	uint64_t word, n;

	if (!t || from >= t->nr_blocks)
		return UINT64_MAX;
	n = from / BITS;
	word = t->bits[n] & UINT64_MAX << from % BITS;
	while (word == 0) {
		if (++n == t->nr_words)
			return UINT64_MAX;
		word = t->bits[n];
	}
	return n * BITS + (unsigned)__builtin_ctzll(word);
}

int snapshot_table_set(struct snapshot_table *t, uint64_t index, const uint8_t *digest,
	struct error *err)
{
	static const uint8_t unknown[SHA256_SIZE];

	if (index >= t->nr_blocks)
		return error_set(err, ERROR_INPUT, 0,
			"block %" PRIu64 " lies behind a volume of %" PRIu64 " blocks", index,
			t->nr_blocks);
	if (!snapshot_table_has(t, index)) {
		t->count++;
		t->bits[index / BITS] |= UINT64_C(1) << index % BITS;
		if (!digest)
			return 0;
	}
	return dev_pwrite(t->digests, digest ? digest : unknown, SHA256_SIZE, index * SHA256_SIZE,
		err);
}

int snapshot_table_get(const struct snapshot_table *t, uint64_t index, uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	memset(digest, 0, SHA256_SIZE);
	if (!snapshot_table_has(t, index))
		return 0;
	return dev_pread(t->digests, digest, SHA256_SIZE, index * SHA256_SIZE, err);
}
