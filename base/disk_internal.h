/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two stores below a disk, private to base/disk*.c:
 *
 *   chunks   what was written, with one validity bit for each 512-byte sector
 *   map      ranges by reference and zero ranges, exact to the byte
 *
 * A valid sector hides the map; what neither of them holds is unused.
 */
#ifndef AMIWRIGHT_BASE_DISK_INTERNAL_H
#define AMIWRIGHT_BASE_DISK_INTERNAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- map: base/disk_map.c --- */

/* A range of the disk. src is an index into the disk's table of sources; 0: a zero range. */
struct disk_ref {
	uint64_t off;
	uint64_t len : 48;
	uint64_t src : 16;
	uint64_t id;
	uint64_t src_off;
};

enum { DISK_REF_ZERO = 0, DISK_SOURCES_MAX = UINT16_MAX };

/* Disks are smaller than this, so that a length fits its bits. */
#define DISK_SIZE_MAX (UINT64_C(1) << 47)

/*
 * Ordered references in leaves of bounded size: an insertion anywhere moves at most one leaf, and
 * ascending ones fill each leaf to the brim. No leaf is empty.
 */
struct disk_leaf {
	struct disk_ref *refs;
	size_t nr;
};

struct disk_map {
	struct disk_leaf *leaves;
	size_t nr, alloc;
};

/* A place in the map; good until the map changes. */
struct disk_cursor {
	size_t leaf, pos;
};

void disk_map_release(struct disk_map *map);
/* The first reference that ends after off. O(log n). */
struct disk_cursor disk_map_find(const struct disk_map *map, uint64_t off);
/*
 * The reference at a cursor, NULL behind the last one; moves the cursor to the next leaf when
 * needed.
 */
const struct disk_ref *disk_map_at(const struct disk_map *map, struct disk_cursor *cur);
/* Takes [off, off+len) out of all references, cutting and splitting them. */
int disk_map_erase(struct disk_map *map, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;
/* Puts one in, over whatever was in its range; joins it to the one before when it continues it. */
int disk_map_set(struct disk_map *map, const struct disk_ref *ref, struct error *err) MUST_CHECK;

/* --- chunks: base/disk_chunk.c --- */

/* 64 sectors, because 64 bits are one word. */
enum { DISK_SECTOR = 512, DISK_CHUNK = 64 * DISK_SECTOR };

struct disk_chunk {
	uint64_t valid; /* bit n: sector n holds written data */
	uint64_t place; /* private: 0, an address, or an offset in the spool */
};

struct spool;

struct disk_chunks {
	struct disk_chunk *
		*tables; /* each for DISK_CHUNK * 512 bytes of the disk, NULL until written */
	size_t nr_tables;
	struct disk_chunk **resident; /* ring of the chunks in memory, oldest at `oldest` */
	size_t nr_resident, alloc_resident, max_resident, oldest;
	struct spool *spool; /* NULL until memory is full */
	char *spool_dir;     /* NULL: the spool's default */
};

/* mem_limit in bytes, at least one chunk is kept. */
int disk_chunks_init(struct disk_chunks *c, uint64_t size, uint64_t mem_limit,
	const char *spool_dir, struct error *err) MUST_CHECK;
void disk_chunks_release(struct disk_chunks *c);

/* The chunk number `index`, with a place to store to. */
struct disk_chunk *disk_chunks_make(
	struct disk_chunks *c, uint64_t index, struct error *err) MUST_CHECK;
/* The same when it exists, else NULL. */
struct disk_chunk *disk_chunks_get(const struct disk_chunks *c, uint64_t index);

/* A run of valid sectors of one chunk; bytes of the disk. */
struct disk_run {
	struct disk_chunk *chunk;
	uint64_t off, end;
};
/*
 * The first run that begins or goes on in [off, end), cut to that range; false when there is
 * none. Costs one step for each existing chunk and one for each 16 MiB in which nothing was ever
 * written.
 */
bool disk_chunks_next(
	const struct disk_chunks *c, uint64_t off, uint64_t end, struct disk_run *run);

/* Bytes of a chunk from pos on; validity bits are the caller's business. */
int disk_chunks_load(const struct disk_chunks *c, const struct disk_chunk *chunk, void *buf,
	size_t len, size_t pos, struct error *err) MUST_CHECK;
int disk_chunks_store(struct disk_chunks *c, struct disk_chunk *chunk, const void *buf, size_t len,
	size_t pos, struct error *err) MUST_CHECK;

#endif
