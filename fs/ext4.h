/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4, ext3 and ext2 from a tree, over libext2fs for the structures and with block placement, directories and
 * inode tables of our own: metadata is written to the device once, file contents are referred to.
 *
 * Two steps, so that sizes are known before anything is written: ext4_plan() computes the layout,
 * which is a pure function of tree and options; ext4_write() writes it. Neither reads any content.
 * Cost: n log n in the entries of a directory; 32 bytes of memory an inode while they run.
 */
#ifndef AMIWRIGHT_FS_EXT4_H
#define AMIWRIGHT_FS_EXT4_H

#include "base/dev.h"
#include "fs/tree.h"

struct ext4_opts {
	/*
	 * 2 or 3: ext2 or ext3, with the features that mke2fs gives them (block maps, no checksums,
	 * at most 32000 links); 0: ext4.
	 */
	uint32_t version;
	/* Bytes; 0: the least that holds the tree (ext4_plan), all of the device (ext4_write). */
	uint64_t size;
	uint32_t block_size; /* 1024, 2048 or 4096; 0: 4096 */
	uint8_t uuid[16];
	uint8_t hash_seed[16];
	char label[17]; /* up to 16 bytes */
	/* All times of the superblock. An inode's atime, ctime and crtime are its mtime. */
	int64_t epoch;
	/*
	 * Else a journal as large as mke2fs's rules make it (none below 2048 blocks), or a step of
	 * these rules smaller where only that fits.
	 */
	bool no_journal;
	/* Percent of the blocks for root, up to 50; mke2fs's default is 5, ours 0 unless set. */
	uint32_t reserved_percent;
	/* 0: mke2fs's ratio (one per 16 KiB), and at least what the tree needs + 10 %. */
	uint64_t inodes;
	/* Bytes up to which online resize is prepared; 0: 1024 times the size, as mke2fs. */
	uint64_t resize_max;
	/* Last mounted directory ("/"), shown by dumpe2fs; may be NULL. */
	const char *last_mounted;
};

/* What a file system will look like; all sizes in bytes. */
struct ext4_plan {
	/*
	 * Of the file system. Up to one short last group less than what was asked for: ext4 cannot
	 * use a group that would hold little more than its own tables.
	 */
	uint64_t size;
	uint64_t min_size; /* the least that holds the tree with these options */
	uint64_t used;     /* data and metadata */
	uint64_t free;     /* for files */
	uint64_t inodes, free_inodes;
	uint64_t journal;
};

/*
 * root: the directory that becomes the file system's root; children below mount points are left
 * out. The tree is finished (tree_finish). ERROR_INPUT when opts->size is too small: names what it
 * needs and what it has. ERROR_INPUT for what ext4 cannot hold (files over 2^32 blocks, extended
 * attributes over a block or of a namespace that the kernel lacks, more than 65000 hard links),
 * naming the path. Times before 1901-12-13 and after 2446-05-10 become those.
 */
int ext4_plan(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct ext4_plan *out, struct error *err) MUST_CHECK;

/*
 * The size for `size: auto`: so much that `headroom` bytes stay free (0: the larger of 64 MiB and
 * 10 % of the least size), rounded up to 1 MiB.
 */
int ext4_auto_size(const struct tree *t, tree_node root, const struct ext4_opts *opts,
	uint64_t headroom, uint64_t *size, struct error *err) MUST_CHECK;

/*
 * Writes the file system over all of opts->size (0: dev->size) bytes of dev, from its start. Free
 * blocks become EXTENT_UNUSED; allocated blocks without content (inode tables, journal) and what
 * the last block of a file has behind its end EXTENT_ZERO.
 */
int ext4_write(struct dev *dev, const struct tree *t, tree_node root, const struct ext4_opts *opts,
	struct error *err) MUST_CHECK;

#endif
