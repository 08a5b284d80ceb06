/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two volumes, in blocks of EBS_BLOCK_SIZE bytes: by AWS's list of changed
 * blocks, or by content. What a side lacks counts as zeros.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_DIFF_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_DIFF_H

#include "uploader/snapshot_side.h"

struct snapshot_diff_opts {
	struct snapshot_side_opts side; /* its progress is begun by the caller */
	/* Called for each run of blocks that differ, in ascending order. */
	int (*range)(void *arg, uint64_t first, uint64_t nr, struct error *err);
	void *arg;
};

struct snapshot_diff_result {
	uint64_t changed;  /* blocks */
	uint64_t ranges;
	uint64_t compared; /* blocks whose content was compared */
	uint64_t size[2];  /* bytes of the two */
};

/* By content. Any two sides. */
int snapshot_diff(struct snapshot_side *a, struct snapshot_side *b,
	const struct snapshot_diff_opts *opts, struct snapshot_diff_result *out, struct error *err)
	MUST_CHECK;

/*
 * By AWS's list of what changed from one to the other. by_content: what it lists is read, and left
 * out when it is equal. 1: the two have no common origin, nothing was done.
 */
int snapshot_diff_listed(struct aws *aws, const char *first, const char *second, bool by_content,
	const struct snapshot_diff_opts *opts, struct snapshot_diff_result *out, struct error *err)
	MUST_CHECK;

#endif
