/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What file system a device holds, by its content: for `inspect`, and for what may be left out of
 * an upload.
 */
#ifndef AMIWRIGHT_FS_PROBE_H
#define AMIWRIGHT_FS_PROBE_H

#include "base/dev.h"

struct probe {
	char type[24];   /* "ext4", "ext3", "ext2", "vfat", "xfs", "btrfs", "squashfs", "f2fs", "swap",
			  "LVM2_member", "DM_verity_hash" …, as blkid has them; "" unknown */
	char label[64];
	char uuid[40];   /* as the file system's tools print it */
	uint64_t size;   /* bytes of the file system, 0 unknown */
	uint64_t used;   /* bytes in use, 0 unknown */
	uint64_t block_size;
	bool usage_known; /* size and used are exact */
	bool doubtful;   /* there are signs of something else, too: what is in use cannot be told */
};

/* ERROR_IO when reading fails; an unknown content is no error. */
int probe_dev(struct dev *dev, struct probe *out, struct error *err) MUST_CHECK;

/*
 * A read-only device over dev that knows which blocks of its ext2/3/4 and vfat file systems (whole disk or
 * in partitions) and which gaps between partitions nobody reads: those are EXTENT_UNUSED.
 * Everything that is not understood stays as it is in dev. dev is borrowed.
 */
struct dev *probe_usage_dev(struct dev *dev, struct error *err) MUST_CHECK;

#endif
