/* SPDX-License-Identifier: Apache-2.0 */
/* For fs/probe*.c: which blocks of an ext2/3/4 file system are free, by libext2fs. */
#ifndef AMIWRIGHT_FS_EXT4_PROBE_H
#define AMIWRIGHT_FS_EXT4_PROBE_H

#include "base/dev.h"

/* Called with free ranges in bytes, ascending, neighbours merged. */
typedef int (*ext4_free_fn)(void *arg, uint64_t off, uint64_t len, struct error *err);

struct ext4_usage {
	bool known; /* false: everything must be taken as used */
	uint64_t size, used, block_size; /* bytes, when known */
};

/*
 * Walks the free blocks of the file system on dev; each may be NULL. Not known, and no range is
 * called for, when it was not unmounted cleanly (a journal waits to be replayed), has errors or
 * features that libext2fs does not know, or its bitmaps are damaged or do not agree with its
 * counts. -1: reading failed.
 */
int ext4_probe_usage(struct dev *dev, ext4_free_fn each, void *arg, struct ext4_usage *out,
	struct error *err) MUST_CHECK;

#endif
