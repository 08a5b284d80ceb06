/* SPDX-License-Identifier: Apache-2.0 */
/* Block digests out of a manifest that `build` wrote, for uploads that send what differs. */
#ifndef AMIWRIGHT_BUILDER_MANIFEST_READ_H
#define AMIWRIGHT_BUILDER_MANIFEST_READ_H

#include "uploader/snapshot_table.h"

/*
 * A new table of the blocks of the manifest's only disk with content. ERROR_INPUT when it is no
 * manifest, has several such disks, or does not agree with itself. Memory: the document, some 200
 * bytes a block.
 */
struct snapshot_table *manifest_read_blocks(const char *path, const char *spool_dir,
	struct error *err) MUST_CHECK;

#endif
