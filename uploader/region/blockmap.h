/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which blocks of a snapshot were written, and the SHA-256 of each: an array by index in pages that
 * exist where blocks do. And its file form: records of 40 bytes, appended; the last one of an index
 * wins, so a torn end costs the block that was never acknowledged and nothing else.
 *
 *   0   8   block index, little endian; the top bit says: not written any more
 *   8  32   SHA-256
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_BLOCKMAP_H
#define AMIWRIGHT_UPLOADER_REGION_BLOCKMAP_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum { BLOCKMAP_RECORD_SIZE = 8 + SHA256_SIZE };
#define BLOCKMAP_VOID (UINT64_C(1) << 63)

struct blockmap {
	uint64_t nr_blocks;  /* of the volume: indices are below it */
	uint64_t nr_written;
	struct blockmap_page **pages; /* owned */
	size_t nr_pages;
};

/* Empty, for indices below nr_blocks. Release in any case. */
int blockmap_init(struct blockmap *m, uint64_t nr_blocks, struct error *err) MUST_CHECK;
void blockmap_release(struct blockmap *m);

/* The digest (borrowed), or NULL when the block was not written. */
const uint8_t *blockmap_digest(const struct blockmap *m, uint64_t index);
int blockmap_put(struct blockmap *m, uint64_t index, const uint8_t digest[SHA256_SIZE],
	struct error *err) MUST_CHECK;
void blockmap_remove(struct blockmap *m, uint64_t index);
/* First written index at or after `from`; nr_blocks when there is none. */
uint64_t blockmap_next(const struct blockmap *m, uint64_t from);

/* LINEAR: SHA-256 over the digests in ascending order. */
int blockmap_aggregate(const struct blockmap *m, uint8_t out[SHA256_SIZE], struct error *err)
	MUST_CHECK;

/* A record of the .map: the index (with BLOCKMAP_VOID: what it says is void), and the digest. */
void blockmap_record(uint8_t record[BLOCKMAP_RECORD_SIZE], uint64_t index,
	const uint8_t digest[SHA256_SIZE]);
/*
 * Applies the records of a file's content; a part of a record at the end is left out. ERROR_INPUT
 * past the end.
 */
int blockmap_replay(struct blockmap *m, const void *data, size_t len, struct error *err) MUST_CHECK;
/* Appends a record for each written block, ascending. */
int blockmap_dump(const struct blockmap *m, struct buf *out, struct error *err) MUST_CHECK;

#endif
