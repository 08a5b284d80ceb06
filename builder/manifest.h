/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: what an image was made from and what it holds, as JSON that is itself reproducible
 * (no paths of outputs, no times, no machine). Format 1:
 *
 *   {"amiwright_manifest": 1, "name", "version", "architecture", "epoch", "boot_mode" (when known),
 *    "salt" (with --unique),
 *    "inputs": [{"layer", "path" as in the spec's folder, "sha256"} …],
 *    "disks": [report_disk_json() + "blocks": {"size": 524288, "count", "sha256", "digests": {"INDEX": hex}}],
 *    "packages": [{"name", "version", "architecture"}], "tools": {"amiwright": version}}
 *
 * Digests are of the aligned 512 KiB blocks that hold data; blocks.sha256 is SHA-256 over the raw
 * digests in index order, which is what EBS calls the LINEAR aggregate when exactly these blocks
 * are written. The digest of a directory's contents is not taken: its files are in the image's
 * blocks.
 */
#ifndef AMIWRIGHT_BUILDER_MANIFEST_H
#define AMIWRIGHT_BUILDER_MANIFEST_H

#include "base/hash.h"
#include "base/json.h"
#include "builder/build.h"

/* The digests of one disk's blocks, in index order. Zeroed is empty. */
struct manifest_blocks {
	struct manifest_block {
		uint64_t index;
		uint8_t digest[SHA256_SIZE];
	} *items; /* owned */
	size_t nr, alloc;
};

void manifest_blocks_release(struct manifest_blocks *b);
/* For raw_opts.block and its like; arg is the struct manifest_blocks. */
int manifest_add_block(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE],
	struct error *err) MUST_CHECK;
/* SHA-256 over the raw digests in index order. */
int manifest_aggregate(const struct manifest_blocks *b, uint8_t out[SHA256_SIZE], struct error *err)
	MUST_CHECK;

/* blocks: one for each of the plan's disks; those without content are not looked at. */
struct json *manifest_make(const struct build *b, const struct manifest_blocks *blocks,
	struct error *err) MUST_CHECK;

/*
 * Installed packages by the tree's /var/lib/dpkg/status, in its order; an empty array without one.
 */
struct json *manifest_packages(const struct tree *t, struct error *err) MUST_CHECK;
/* The same from the text of such a file. */
struct json *manifest_parse_packages(const char *text, struct error *err) MUST_CHECK;

#endif
