/* SPDX-License-Identifier: Apache-2.0 */
/* For fs/ext4*.c: a file system on a dev, opened by libext2fs read-only. */
#ifndef AMIWRIGHT_FS_EXT4_CHANNEL_H
#define AMIWRIGHT_FS_EXT4_CHANNEL_H

#include "base/dev.h"

struct struct_ext2_filsys;

/* What is read from; the first error of dev's is kept in err, for libext2fs only passes numbers. */
struct ext4_channel {
	struct dev *dev; /* borrowed */
	struct error err;
};

/*
 * An errcode_t, 0 when it is open; *fs may be set in any case and is freed by ext2fs_free(). c must
 * stay where it is until then. Backup superblocks are never looked at.
 */
long ext4_channel_open(struct ext4_channel *c, struct struct_ext2_filsys **fs) MUST_CHECK;

#endif
