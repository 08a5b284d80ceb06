/* SPDX-License-Identifier: Apache-2.0 */
/* Block digests out of a manifest that `build` wrote, for uploads that send what differs and for `verify`. */
#ifndef AMIWRIGHT_BUILDER_MANIFEST_READ_H
#define AMIWRIGHT_BUILDER_MANIFEST_READ_H

#include "uploader/snapshot_table.h"

/*
 * A new table of the blocks of one disk of a manifest: that of the device, or the only one with
 * content when device is NULL. *size: the disk's, in bytes. ERROR_INPUT when it is no manifest, has
 * several such disks or not this one, or does not agree with itself. Memory: the document, some 200
 * bytes a block.
 */
struct snapshot_table *manifest_read_blocks(const char *path, const char *device,
	const char *spool_dir, uint64_t *size, struct error *err) MUST_CHECK;

#endif
