/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests by block index, for volumes of any size: a bit a block in memory (16 MiB for 64 TiB), the
 * digests in an unlinked temporary file beyond a few MiB. A block may be known to exist while its
 * digest is not: then it has all zero bytes, which no content has.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_TABLE_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_TABLE_H

#include "base/cleanup.h"
#include "base/hash.h"

struct snapshot_table;

/* For blocks 0 to nr_blocks - 1, nr_blocks > 0. spool_dir: for the file; NULL: /var/tmp. */
struct snapshot_table *snapshot_table_new(uint64_t nr_blocks, const char *spool_dir,
	struct error *err) MUST_CHECK;
void snapshot_table_free(struct snapshot_table *t);
DEFINE_CLEANUP(snapshot_table, struct snapshot_table, snapshot_table_free)

/* False also for NULL and for an index behind the end. */
bool snapshot_table_has(const struct snapshot_table *t, uint64_t index);
uint64_t snapshot_table_count(const struct snapshot_table *t);
/* The first block at or behind `from`; UINT64_MAX when there is none, or t is NULL. */
uint64_t snapshot_table_next(const struct snapshot_table *t, uint64_t from);
/* digest NULL: not known. ERROR_INPUT for an index behind the end. */
int snapshot_table_set(struct snapshot_table *t, uint64_t index, const uint8_t *digest,
	struct error *err) MUST_CHECK;
/* Zero bytes for a block that is not there or whose digest is not known. */
int snapshot_table_get(const struct snapshot_table *t, uint64_t index, uint8_t digest[SHA256_SIZE],
	struct error *err) MUST_CHECK;

#endif
