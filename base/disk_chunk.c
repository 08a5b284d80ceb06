/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The written chunks of a disk: 32 KiB each, found through tables that exist only where something
 * was written. At most max_resident of them are in memory; then the oldest one moves to the spool
 * and stays there: file-system writers rarely come back to a place, and what they still change (a
 * bitmap, a counter) is a short write into the spool, not a chunk read back.
 *
 * Only storing moves chunks, so any number of threads may load while nobody stores.
 */
#include "base/disk_internal.h"

#include "base/array.h"
#include "base/num.h"
#include "base/spool.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_CHUNKS = 512 };
#define TABLE_BYTES ((uint64_t)TABLE_CHUNKS * DISK_CHUNK)

/*
 * place: 0 none; bit 0 clear: the address of DISK_CHUNK bytes; set: the offset in the spool above
 * it.
 */
static bool in_spool(const struct disk_chunk *chunk)
{
	return chunk->place & 1;
}

static uint64_t spool_off(const struct disk_chunk *chunk)
{
	return chunk->place >> 1;
}

static uint8_t *memory(const struct disk_chunk *chunk)
{
	return (uint8_t *)(uintptr_t)chunk->place;
}

int disk_chunks_init(struct disk_chunks *c, uint64_t size, uint64_t mem_limit,
	const char *spool_dir, struct error *err)
{
	*c = (struct disk_chunks){0};
	c->nr_tables = num_div_up(size, TABLE_BYTES);
	c->max_resident = MAX(mem_limit / DISK_CHUNK, 1);
	c->tables = calloc(c->nr_tables, sizeof(struct disk_chunk *));
	if (spool_dir)
		c->spool_dir = strdup(spool_dir);
	if (!c->tables || (spool_dir && !c->spool_dir)) {
		disk_chunks_release(c);
		return error_nomem(err, "the chunk tables of a disk");
	}
	return 0;
}

void disk_chunks_release(struct disk_chunks *c)
{
	for (size_t i = 0; i < c->nr_resident; i++)
		free(memory(c->resident[i]));
	for (size_t i = 0; c->tables && i < c->nr_tables; i++)
		free(c->tables[i]);
	free(c->resident);
	free(c->tables);
	free(c->spool_dir);
	spool_free(c->spool);
	*c = (struct disk_chunks){0};
}

struct disk_chunk *disk_chunks_get(const struct disk_chunks *c, uint64_t index)
{
	struct disk_chunk *table = c->tables[index / TABLE_CHUNKS];

	return table ? &table[index % TABLE_CHUNKS] : NULL;
}

/* Moves the oldest chunk out of memory; *bytes is its memory, free to use. */
static int evict(struct disk_chunks *c, uint8_t **bytes, struct error *err)
{
	struct disk_chunk *chunk = c->resident[c->oldest];
	uint64_t off = 0;

	if (chunk->valid) {
		if (!c->spool && !(c->spool = spool_new(c->spool_dir, err)))
			return -1;
		if (spool_append(c->spool, memory(chunk), DISK_CHUNK, &off, err) < 0)
			return -1;
	}
	*bytes = memory(chunk);
	chunk->place = chunk->valid ? off << 1 | 1 : 0;
	return 0;
}

static int give_memory(struct disk_chunks *c, struct disk_chunk *chunk, struct error *err)
{
	uint8_t *bytes;

	if (c->nr_resident == c->max_resident) {
		if (evict(c, &bytes, err) < 0)
			return -1;
		c->resident[c->oldest] = chunk;
		c->oldest = (c->oldest + 1) % c->max_resident;
	} else {
		/* It grows with use: a small disk with a large limit should not pay for the limit. */
		if (ARRAY_GROW(c->resident, c->nr_resident + 1, c->alloc_resident,
			    "the chunk tables of a disk", err) < 0)
			return -1;
		bytes = calloc(1, DISK_CHUNK);
		if (!bytes)
			return error_nomem(err, "written data of a disk");
		c->resident[c->nr_resident++] = chunk;
	}
	chunk->place = (uintptr_t)bytes;
	return 0;
}

struct disk_chunk *disk_chunks_make(struct disk_chunks *c, uint64_t index, struct error *err)
{
	struct disk_chunk **table = &c->tables[index / TABLE_CHUNKS];
	struct disk_chunk *chunk;

	if (!*table && !(*table = calloc(TABLE_CHUNKS, sizeof(**table)))) {
		error_nomem(err, "the chunk tables of a disk");
		return NULL;
	}
	chunk = &(*table)[index % TABLE_CHUNKS];
	if (chunk->place == 0 && give_memory(c, chunk, err) < 0)
		return NULL;
	return chunk;
}

/* The first run of set bits at or after sector `first`; false when there is none. */
static bool find_run(uint64_t valid, unsigned first, unsigned *start, unsigned *stop)
{
	uint64_t clear;

	valid &= UINT64_MAX << first;
	if (!valid)
		return false;
	*start = (unsigned)__builtin_ctzll(valid);
	clear = ~(valid | ((UINT64_C(1) << *start) - 1));
	*stop = clear ? (unsigned)__builtin_ctzll(clear) : 64;
	return true;
}

bool disk_chunks_next(const struct disk_chunks *c, uint64_t off, uint64_t end, struct disk_run *run)
{
	while (off < end) {
		uint64_t index = off / DISK_CHUNK;
		uint64_t base = index * DISK_CHUNK;
		unsigned start, stop;

		if (!c->tables[index / TABLE_CHUNKS]) {
			off = (off / TABLE_BYTES + 1) * TABLE_BYTES;
			continue;
		}
		run->chunk = disk_chunks_get(c, index);
		if (!find_run(run->chunk->valid, (unsigned)((off - base) / DISK_SECTOR), &start,
			    &stop)) {
			off = base + DISK_CHUNK;
			continue;
		}
		run->off = MAX(off, base + start * DISK_SECTOR);
		run->end = MIN(end, base + stop * DISK_SECTOR);
		return run->off < end;
	}
	return false;
}

int disk_chunks_load(const struct disk_chunks *c, const struct disk_chunk *chunk, void *buf,
	size_t len, size_t pos, struct error *err)
{
	if (in_spool(chunk))
		return spool_pread(c->spool, buf, len, spool_off(chunk) + pos, err);
	memcpy(buf, memory(chunk) + pos, len);
	return 0;
}

int disk_chunks_store(struct disk_chunks *c, struct disk_chunk *chunk, const void *buf, size_t len,
	size_t pos, struct error *err)
{
	if (in_spool(chunk))
		return spool_pwrite(c->spool, buf, len, spool_off(chunk) + pos, err);
	memcpy(memory(chunk) + pos, buf, len);
	return 0;
}
