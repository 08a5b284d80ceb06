/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parent snapshot holds: which blocks, by ListSnapshotBlocks (the whole content of its
 * volume, also when it has a parent itself), and their digests from one of: a table that the caller
 * knows (from the manifest of the image that was uploaded), the image itself, or the blocks read
 * back. The first two are believed after SNAPSHOT_PARENT_SAMPLES blocks of the snapshot were read
 * and found the same.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_PARENT_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_PARENT_H

#include "uploader/snapshot.h"
#include "uploader/snapshot_table.h"

enum { SNAPSHOT_PARENT_SAMPLES = 12 };

/*
 * A new table for a volume of opts->size_gib (0: the parent's size, which *size_gib gets). Of a
 * shard only its own blocks are looked at. ERROR_POLICY when the parent does not hold what the
 * manifest or image says.
 */
struct snapshot_table *snapshot_parent_load(struct aws *a, const struct snapshot_upload_opts *opts,
	uint64_t least_gib, uint64_t *size_gib, struct error *err) MUST_CHECK;

#endif
