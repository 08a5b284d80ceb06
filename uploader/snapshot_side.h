/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a comparison: a snapshot, an image, or a table of digests, seen as blocks of
 * EBS_BLOCK_SIZE bytes with a kind and a SHA-256 each. Comparisons go through volumes in windows, so
 * memory does not grow with them.
 *
 * Kinds are those of extents. EXTENT_UNUSED: a snapshot lacks the block, no file system uses it, or
 * the table does not have it. What is behind a side's end is unused.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_SIDE_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_SIDE_H

#include "base/progress.h"
#include "base/walk.h"
#include "uploader/snapshot_read.h"
#include "uploader/snapshot_table.h"

enum { SNAPSHOT_WINDOW = 16384 }; /* blocks: 8 GiB */

struct snapshot_side_opts {
	unsigned workers;        /* threads that read and hash an image */
	unsigned max_inflight;   /* 0: 64 */
	bool (*cancelled)(void); /* may be NULL */
	struct progress *progress; /* gets the bytes that were read and hashed; may be NULL */
};

struct snapshot_side {
	uint64_t size;           /* bytes */
	/* private */
	struct aws *aws;
	char *snapshot;
	struct snapshot_pages *pages;
	const struct ebs_block_list *page;
	size_t next;             /* in the page */
	struct ebs_block *blocks; /* those of the current window */
	size_t nr_blocks;
	struct dev *dev;
	struct walk walk;
	const struct snapshot_table *table;
	uint8_t zero[SHA256_SIZE];
};

/* Each is to be released, also after a failure. Device and table are borrowed. */
int snapshot_side_of_snapshot(struct snapshot_side *s, struct aws *a, const char *snapshot,
	struct error *err) MUST_CHECK;
int snapshot_side_of_dev(struct snapshot_side *s, struct dev *dev, struct error *err) MUST_CHECK;
int snapshot_side_of_table(struct snapshot_side *s, const struct snapshot_table *table, uint64_t size,
	struct error *err) MUST_CHECK;
void snapshot_side_release(struct snapshot_side *s);

struct snapshot_window {
	uint64_t first;
	size_t nr;                          /* at most SNAPSHOT_WINDOW */
	uint8_t kind[SNAPSHOT_WINDOW];      /* enum extent_kind */
	bool want[SNAPSHOT_WINDOW];         /* set by the caller: whose digest is needed */
	uint8_t digest[SNAPSHOT_WINDOW][SHA256_SIZE];
};

/* Fills the kinds of the window [first, first + nr); windows come in ascending order. */
int snapshot_side_kinds(struct snapshot_side *s, struct snapshot_window *w, uint64_t first, size_t nr,
	struct error *err) MUST_CHECK;
/*
 * The digests of all that is wanted; what is not data gets that of zeros. kind becomes EXTENT_ZERO
 * for data of an image that was found to be zeros.
 */
int snapshot_side_digests(struct snapshot_side *s, struct snapshot_window *w,
	const struct snapshot_side_opts *opts, struct error *err) MUST_CHECK;
/* SHA-256 of EBS_BLOCK_SIZE zeros. */
int snapshot_zero_digest(uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;

#endif
