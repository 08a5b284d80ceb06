/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a download: the SHA-256 of every block that was written, at a place that follows
 * from its index, so that it can be written in any order and read in order.
 *
 *   0    512                         512 + 32 × blocks
 *   ├────┼──────┬──────┬──────┬─ ─ ─┤
 *   │text│ 0    │ 1    │ 2    │     │   sparse; 32 zero bytes: not written yet
 *
 * The text names the snapshot, the region and the size. A record is only a claim: who resumes
 * compares it with the content, so a torn record or a lost write is noticed.
 */
#ifndef AMIWRIGHT_UPLOADER_DOWNLOAD_JOURNAL_H
#define AMIWRIGHT_UPLOADER_DOWNLOAD_JOURNAL_H

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct download_journal {
	int fd;             /* -1: not open */
	char *path;         /* owned */
	uint64_t nr_blocks;
};

#define DOWNLOAD_JOURNAL_INIT {.fd = -1}

/*
 * Opens or makes it. *found: it was there and is of this snapshot; one of another snapshot is made
 * empty.
 */
int download_journal_open(struct download_journal *j, const char *path, const char *snapshot,
	const char *region, uint64_t size_gib, bool *found, struct error *err) MUST_CHECK;
/* Makes it empty. */
int download_journal_reset(struct download_journal *j, struct error *err) MUST_CHECK;
/* The records of nr blocks from index on; zeros where nothing was written. */
int download_journal_read(const struct download_journal *j, uint64_t index, size_t nr,
	uint8_t (*digests)[SHA256_SIZE], struct error *err) MUST_CHECK;
int download_journal_write(struct download_journal *j, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;
/* SHA-256 over all records in index order. */
int download_journal_aggregate(const struct download_journal *j, uint8_t out[SHA256_SIZE],
	struct error *err) MUST_CHECK;
/* Fine on one that is not open. */
void download_journal_close(struct download_journal *j, bool remove);

/* Whether a record says that the block was not written. */
bool download_journal_is_empty(const uint8_t digest[SHA256_SIZE]);

#endif
