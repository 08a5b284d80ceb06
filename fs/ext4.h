/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4 from a tree, over libext2fs for the structures and with block placement, directories and
 * inode tables of our own: metadata is written to the device once, file contents are referred to.
 *
 * Two steps, so that sizes are known before anything is written: ext4_plan() computes the layout,
 * which is a pure function of tree and options; ext4_write() writes it.
 */
#ifndef AMIWRIGHT_FS_EXT4_H
#define AMIWRIGHT_FS_EXT4_H

#include "base/dev.h"
#include "fs/tree.h"

struct ext4_opts {
	uint64_t size;        /* bytes of the file system; 0: smallest that holds the tree (ext4_min_size) */
	uint32_t block_size;  /* 4096 when 0; 1024, 2048, 4096 */
	uint8_t uuid[16];
	uint8_t hash_seed[16];
	char label[17];       /* up to 16 bytes */
	int64_t epoch;        /* all times of the superblock; inode ctime/atime are the inode's mtime, crtime too */
	bool no_journal;      /* else a journal sized by mke2fs's rules */
	uint32_t reserved_percent; /* blocks for root; mke2fs's default is 5, ours 0 unless set */
	uint64_t inodes;      /* 0: mke2fs's ratio (one per 16 KiB), at least what the tree needs + 10 % */
	uint64_t resize_max;  /* bytes up to which online resize is prepared; 0: 1024 × size as mke2fs */
	/* Last mounted directory ("/"), shown by dumpe2fs; may be NULL. */
	const char *last_mounted;
};

/* What a file system will look like; all sizes in bytes. */
struct ext4_plan {
	uint64_t size;      /* of the file system */
	uint64_t min_size;  /* the least that holds the tree with these options */
	uint64_t used;      /* data and metadata */
	uint64_t free;      /* for files */
	uint64_t inodes, free_inodes;
	uint64_t journal;
};

/*
 * root: the directory that becomes the file system's root; children below mount points are left
 * out. The tree is finished (tree_finish). ERROR_INPUT when opts->size is too small: names what it
 * needs and what it has. ERROR_INPUT for what ext4 cannot hold (file over 16 TiB, extended
 * attributes over a block), naming the path.
 */
int ext4_plan(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct ext4_plan *out, struct error *err) MUST_CHECK;

/*
 * The size for `size: auto`: minimum plus headroom (the larger of 10 % and 64 MiB unless headroom
 * is given), rounded up to 1 MiB.
 */
int ext4_auto_size(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	uint64_t headroom, uint64_t *size, struct error *err) MUST_CHECK;

/*
 * Writes the file system over all of opts->size (0: dev->size) bytes of dev, from its start. Free
 * blocks become EXTENT_UNUSED; allocated blocks without content (inode tables, journal)
 * EXTENT_ZERO.
 */
int ext4_write(struct dev *dev, const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct error *err) MUST_CHECK;

#endif
