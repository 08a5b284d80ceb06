/* SPDX-License-Identifier: Apache-2.0 */
/* The writers that the table of fs.c lists. */
#ifndef AMIWRIGHT_FS_FS_TYPES_H
#define AMIWRIGHT_FS_FS_TYPES_H

#include "fs/fs.h"

extern const struct fs_ops fs_ext2_ops;
extern const struct fs_ops fs_ext3_ops;
extern const struct fs_ops fs_ext4_ops;
extern const struct fs_ops fs_vfat_ops;
extern const struct fs_ops fs_squashfs_ops;
extern const struct fs_ops fs_swap_ops;
extern const struct fs_ops fs_xfs_ops;
extern const struct fs_ops fs_btrfs_ops;

#endif
