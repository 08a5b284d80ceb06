/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of written blocks. Pages of 256 digests (8 KiB) hang off one array, so that any order of
 * writes costs the same, and walking in order needs no sorting.
 */
#include "uploader/region/blockmap.h"

#include <string.h>

#include "base/num.h"

enum { PAGE_BLOCKS = 256 };

struct blockmap_page {
	uint64_t present[PAGE_BLOCKS / 64];
	uint8_t digest[PAGE_BLOCKS][SHA256_SIZE];
};

int blockmap_init(struct blockmap *m, uint64_t nr_blocks, struct error *err)
{
	*m = (struct blockmap){.nr_blocks = nr_blocks};
	m->nr_pages = (size_t)num_div_up(nr_blocks, PAGE_BLOCKS);
	m->pages = calloc(m->nr_pages ? m->nr_pages : 1, sizeof(struct blockmap_page *));
	return m->pages ? 0 : error_nomem(err, "block map");
}

void blockmap_release(struct blockmap *m)
{
	for (size_t i = 0; m->pages && i < m->nr_pages; i++)
		free(m->pages[i]);
	free(m->pages);
	*m = (struct blockmap){.nr_blocks = 0};
}

static bool page_has(const struct blockmap_page *page, unsigned slot)
{
	return page && (page->present[slot / 64] >> (slot % 64) & 1);
}

const uint8_t *blockmap_digest(const struct blockmap *m, uint64_t index)
{
	const struct blockmap_page *page;

	if (index >= m->nr_blocks)
		return NULL;
	page = m->pages[index / PAGE_BLOCKS];
	return page_has(page, index % PAGE_BLOCKS) ? page->digest[index % PAGE_BLOCKS] : NULL;
}

int blockmap_put(struct blockmap *m, uint64_t index, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct blockmap_page **page;
	unsigned slot = index % PAGE_BLOCKS;

	if (index >= m->nr_blocks)
		return error_set(err, ERROR_INPUT, 0, "block %llu is past the volume's end",
			(unsigned long long)index);
	page = &m->pages[index / PAGE_BLOCKS];
	if (!*page) {
		*page = calloc(1, sizeof(**page));
		if (!*page)
			return error_nomem(err, "block map");
	}
	if (!page_has(*page, slot))
		m->nr_written++;
	(*page)->present[slot / 64] |= UINT64_C(1) << (slot % 64);
	memcpy((*page)->digest[slot], digest, SHA256_SIZE);
	return 0;
}

void blockmap_remove(struct blockmap *m, uint64_t index)
{
	unsigned slot = index % PAGE_BLOCKS;

	if (!blockmap_digest(m, index))
		return;
	m->pages[index / PAGE_BLOCKS]->present[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
	m->nr_written--;
}

uint64_t blockmap_next(const struct blockmap *m, uint64_t from)
{
	while (from < m->nr_blocks) {
		const struct blockmap_page *page = m->pages[from / PAGE_BLOCKS];
		unsigned slot = from % PAGE_BLOCKS;
		uint64_t word;

		if (!page) {
			from += PAGE_BLOCKS - slot;
			continue;
		}
		word = page->present[slot / 64] >> (slot % 64);
		if (word)
			return from + (unsigned)__builtin_ctzll(word);
		from += 64 - slot % 64;
	}
	return m->nr_blocks;
}

int blockmap_aggregate(const struct blockmap *m, uint8_t out[SHA256_SIZE], struct error *err)
{
	struct sha256 *hash = sha256_new(err);
	int ret = hash ? 0 : -1;

	for (uint64_t i = blockmap_next(m, 0); ret == 0 && i < m->nr_blocks;
		i = blockmap_next(m, i + 1))
		ret = sha256_update(hash, blockmap_digest(m, i), SHA256_SIZE, err);
	if (ret == 0)
		ret = sha256_final(hash, out, err);
	sha256_free(hash);
	return ret;
}

void blockmap_record(uint8_t record[BLOCKMAP_RECORD_SIZE], uint64_t index,
	const uint8_t digest[SHA256_SIZE])
{
	num_put_le64(record, index);
	memcpy(record + 8, digest, SHA256_SIZE);
}

int blockmap_replay(struct blockmap *m, const void *data, size_t len, struct error *err)
{
	const uint8_t *record = data;

	for (; len >= BLOCKMAP_RECORD_SIZE; len -= BLOCKMAP_RECORD_SIZE) {
		uint64_t index = num_get_le64(record);

		if (index & BLOCKMAP_VOID)
			blockmap_remove(m, index & ~BLOCKMAP_VOID);
		else if (blockmap_put(m, index, record + 8, err) < 0)
			return -1;
		record += BLOCKMAP_RECORD_SIZE;
	}
	return 0;
}

int blockmap_dump(const struct blockmap *m, struct buf *out, struct error *err)
{
	for (uint64_t i = blockmap_next(m, 0); i < m->nr_blocks; i = blockmap_next(m, i + 1)) {
		uint8_t *record = buf_extend(out, BLOCKMAP_RECORD_SIZE, err);

		if (!record)
			return -1;
		blockmap_record(record, i, blockmap_digest(m, i));
	}
	return 0;
}
