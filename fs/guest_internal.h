/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of xfs and btrfs share: sizes, and the image that the appliance works on. */
#ifndef AMIWRIGHT_FS_GUEST_INTERNAL_H
#define AMIWRIGHT_FS_GUEST_INTERNAL_H

#include "base/dev.h"
#include "fs/fs.h"

/* What a tree needs, in bytes but for the number of inodes. */
struct guest_needs {
	uint64_t nr_inodes;
	uint64_t data;       /* contents in whole blocks of 4 KiB, holes left out */
	uint64_t xfs_other;  /* xfs: directories, long links, attributes outside of inodes */
	uint64_t btrfs_meta; /* btrfs: items of its trees, one copy, as if nodes were full */
	uint64_t btrfs_small; /* btrfs: of `data`, what is kept in the trees instead */
};

/*
 * Adds up what fs->tree needs below fs->root. ERROR_INPUT naming path and reason for what the file
 * system cannot hold, or tar not carry.
 */
int guest_measure(const struct fs *fs, struct guest_needs *out, struct error *err) MUST_CHECK;
/* The least size for it, a multiple of 1 MiB; and what of it is in use then. */
uint64_t guest_xfs_least(const struct guest_needs *needs, uint64_t *used);
uint64_t guest_btrfs_least(const struct guest_needs *needs, uint64_t *used);

/* A raw image in a temporary file, as a source: content id 0 is the file. */
struct guest_image;

/* A sparse file of len bytes in a temporary folder below spool_dir (NULL: /var/tmp). */
struct guest_image *guest_image_new(const char *spool_dir, uint64_t len, struct error *err) MUST_CHECK;
/* Its path, until guest_image_unlink(). */
const char *guest_image_path(const struct guest_image *img);
/* Takes name and folder away; the content stays until guest_image_free(). */
void guest_image_unlink(struct guest_image *img);
/*
 * Makes dev (of the image's size) refer to it, which lives until the image is freed. What was
 * never written or was discarded is EXTENT_UNUSED, what is allocated but reads as zeros EXTENT_ZERO.
 */
int guest_image_refer(struct guest_image *img, struct dev *dev, struct error *err) MUST_CHECK;
/* NULL is fine. */
void guest_image_free(struct guest_image *img);

#endif
