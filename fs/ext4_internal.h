/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the ext4 writer share. The steps, each in a file of its own:
 *
 *   ext4_scan      tree → slots: one for each inode in the order of their numbers, links counted
 *   ext4_geometry  number of blocks → groups, tables, and the space left (numbers by libext2fs)
 *   ext4_place     slots → places in that space; the sizes that fit
 *   ext4_extent    which blocks a slot has, and its extent tree
 *   ext4_indirect  its block map instead, in ext2 and ext3
 *   ext4_dir, ext4_xattr, ext4_inode, ext4_data, ext4_super   what is written
 *
 * Space is counted in *places*: the blocks that fixed metadata (superblocks, descriptors, bitmaps,
 * inode tables) leaves over, numbered from 0 in ascending order. Whatever a slot owns is one
 * interval of places:
 *
 *   at ─▶ | content, nr_blocks | extent-tree or map blocks | xattr block |
 *
 * so two numbers say all about where an inode lies, and the sorted intervals are the allocation
 * map.
 */
#ifndef AMIWRIGHT_FS_EXT4_INTERNAL_H
#define AMIWRIGHT_FS_EXT4_INTERNAL_H

#include "fs/ext4.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

enum {
	EXT4_INODE_SIZE = 256,
	EXT4_EXTRA_ISIZE = 32,
	EXT4_LINKS_MAX = 65000,
	EXT2_LINKS_MAX = 32000,
	EXT4_ALIGN_BYTES = 512 * 1024, /* files from this size on begin at a multiple of it */
	EXT4_LOST_FOUND_BYTES = 16 * 1024,
	EXT4_INLINE_EXTENTS = 4,
	EXT4_SYMLINK_INLINE = 60, /* targets shorter than this live in the inode */
};

/* Placement classes. */
enum ext4_class { EXT4_CLASS_NONE, EXT4_CLASS_META, EXT4_CLASS_BIG, EXT4_CLASS_SMALL };

/* One inode. Slot 0 is the root (inode 2), slot i > 0 is inode 10 + i. */
struct ext4_slot {
	tree_node node; /* its first name in walk order; TREE_NONE: the lost+found that we add */
	uint32_t links;
	uint32_t nr_blocks; /* of content */
	uint8_t kind;       /* enum ext4_class */
	bool xattr_block;   /* owns a block for extended attributes */
	uint64_t at;        /* first place */
};

/* A run of blocks that are consecutive on disk and as places. */
struct ext4_span {
	uint64_t block, len, at;
};

struct ext4_space {
	struct ext4_span *spans; /* owned */
	size_t nr, alloc;
	uint64_t total; /* places */
};

/* A run of blocks of the file system. */
struct ext4_range {
	uint64_t block, len;
};

struct ext4_ranges {
	struct ext4_range *items; /* owned */
	size_t nr, alloc;
};

/* An entry of a directory that is being sorted; the array is reused by all directories. */
struct ext4_dirent {
	uint32_t hash, minor;
	tree_node node; /* TREE_NONE: lost+found */
};

struct ext4_build {
	const struct tree *t; /* borrowed */
	tree_node root;
	const struct ext4_opts *opts; /* borrowed */
	uint32_t block_size;
	bool classic; /* ext2 or ext3: block maps, no checksums, all tables written */
	uint32_t hash_seed[4];

	/* ext4_scan */
	struct ext4_slot *slots; /* owned */
	uint32_t nr_slots;
	uint32_t *ino_of; /* owned; by number of the tree's inode; 0: not in this file system */
	bool own_lost_found;
	bool large_dir;              /* some directory needs an index of three levels */
	struct ext4_dirent *dirents; /* owned */
	size_t dirents_alloc;

	/* ext4_geometry */
	ext2_filsys fs; /* owned; NULL before */
	struct ext4_space space;
	struct ext4_ranges fixed; /* superblocks, descriptors, bitmaps, inode tables; ascending */
	uint32_t journal_blocks;

	/* ext4_place: places */
	uint64_t resize_at; /* double indirect block of the resize inode */
	uint64_t journal_at;
	uint64_t end;  /* first place that nothing was put at or behind; may lie beyond the space */
	uint64_t used; /* places in use */
};

static inline uint32_t ext4_ino(uint32_t slot)
{
	return slot == 0 ? EXT2_ROOT_INO : EXT2_GOOD_OLD_FIRST_INO - 1 + slot;
}

static inline uint32_t ext4_slot_of(uint32_t ino)
{
	return ino == EXT2_ROOT_INO ? 0 : ino - (EXT2_GOOD_OLD_FIRST_INO - 1);
}

/* Inodes in use, the reserved ones too. */
static inline uint32_t ext4_inodes_used(const struct ext4_build *b)
{
	return EXT2_GOOD_OLD_FIRST_INO - 1 + b->nr_slots - 1;
}

/* Sets up b and releases what it owns (not b itself). */
int ext4_build_init(struct ext4_build *b, const struct tree *t, tree_node root,
	const struct ext4_opts *opts, struct error *err) MUST_CHECK;
void ext4_build_release(struct ext4_build *b);

/* "ext4", "ext3" or "ext2". */
const char *ext4_name(const struct ext4_build *b);

/* ERROR_INPUT with "'/path' …" before the text. */
int ext4_path_error(const struct ext4_build *b, tree_node node, struct error *err, const char *fmt,
	...) PRINTF_LIKE(4, 5);

/* ---- ext4_scan ---- */

/* Fills slots and ino_of. Knows all sizes but those that depend on the placement. */
int ext4_scan(struct ext4_build *b, struct error *err) MUST_CHECK;
/* Children of a directory as this file system sees them: none below mount points. */
tree_node ext4_first_child(const struct ext4_build *b, tree_node dir);

/* ---- ext4_geometry ---- */

/*
 * Lays out a file system of nr_blocks: b->fs, b->space, b->fixed. *fits is false, and *lacking a
 * guess of how many blocks more it needs, when not even the metadata fits.
 */
int ext4_geometry(struct ext4_build *b, uint64_t nr_blocks, uint32_t journal_blocks, bool *fits,
	uint64_t *lacking, struct error *err) MUST_CHECK;
void ext4_geometry_release(struct ext4_build *b);
int ext4_ranges_add(
	struct ext4_ranges *r, uint64_t block, uint64_t len, struct error *err) MUST_CHECK;

/* The block at a place, and in *run how many places follow on consecutive blocks (it included). */
uint64_t ext4_space_block(const struct ext4_space *s, uint64_t at, uint64_t *run);
/*
 * The first place at or after `at` whose block is a multiple of align; `at` itself when there is
 * none.
 */
uint64_t ext4_space_align(const struct ext4_space *s, uint64_t at, uint64_t align);

/* ---- ext4_place ---- */

/*
 * Lays out nr_blocks and places all slots; *lacking = 0 when they fit, else blocks that are
 * missing.
 */
int ext4_place(
	struct ext4_build *b, uint64_t nr_blocks, uint64_t *lacking, struct error *err) MUST_CHECK;
/* The least number of blocks ≥ at_least that fits. b keeps that layout. */
int ext4_place_least(
	struct ext4_build *b, uint64_t at_least, uint64_t *nr_blocks, struct error *err) MUST_CHECK;
/* Slots that own blocks, by ascending place. *order is the caller's to free. */
int ext4_place_order(
	const struct ext4_build *b, uint32_t **order, uint32_t *nr, struct error *err) MUST_CHECK;
/* The blocks that stay free, ascending. order as from ext4_place_order(). */
int ext4_place_free(const struct ext4_build *b, const uint32_t *order, uint32_t nr,
	struct ext4_ranges *free_ranges, struct error *err) MUST_CHECK;

/* ---- ext4_extent ---- */

/* A piece of a file that is consecutive in the file and on disk. */
struct ext4_run {
	uint64_t lblk, len, block;
};

struct ext4_run_iter {
	const struct ext4_build *b;
	tree_node node; /* TREE_NONE: one stretch of blocks, no pieces */
	uint32_t piece, nr_pieces;
	uint64_t lblk, left; /* of the stretch that is being handed out */
	uint64_t at;
};

/* Runs of a slot, in ascending order in the file; at most 32768 blocks each. */
void ext4_runs_of_slot(
	struct ext4_run_iter *it, const struct ext4_build *b, const struct ext4_slot *slot);
/* Runs of nr_blocks blocks without holes from a place on. */
void ext4_runs_of_places(
	struct ext4_run_iter *it, const struct ext4_build *b, uint64_t at, uint64_t nr_blocks);
bool ext4_runs_next(struct ext4_run_iter *it, struct ext4_run *run);

/* Blocks of a regular file's content: those that any piece touches. */
uint64_t ext4_content_blocks(const struct ext4_build *b, tree_node node);
/* Blocks of the extent tree or the block map beside the inode for what `it` yields (a copy is iterated). */
uint64_t ext4_extent_blocks(const struct ext4_build *b, const struct ext4_run_iter *it);
uint64_t ext4_slot_extent_blocks(const struct ext4_build *b, const struct ext4_slot *slot);
/* All places of a slot. */
uint64_t ext4_slot_places(const struct ext4_build *b, const struct ext4_slot *slot);

struct ext4_out;

/* ---- ext4_indirect: what ext4_extent calls for ext2 and ext3 ---- */

/*
 * As ext4_extent_blocks() and ext4_extent_build(); the map's blocks are the places from map_at on.
 */
uint64_t ext4_indirect_blocks(const struct ext4_build *b, const struct ext4_run_iter *it);
int ext4_indirect_build(struct ext4_out *out, const struct ext4_run_iter *it, uint64_t map_at,
	struct ext2_inode_large *inode, struct error *err) MUST_CHECK;
/* Bytes of the largest file. */
uint64_t ext4_indirect_max(uint32_t block_size);

/*
 * Fills i_block with the extent tree's root or the block map; writes the tree's blocks, which are the places from
 * tree_at on.
 */
int ext4_extent_build(struct ext4_out *out, const struct ext4_run_iter *it, uint64_t tree_at,
	uint32_t ino, struct ext2_inode_large *inode, struct error *err) MUST_CHECK;

/* ---- ext4_out: metadata on its way to the device, neighbouring writes put together ---- */

enum { EXT4_OUT_SIZE = 256 * 1024 };

struct ext4_out {
	struct dev *dev;      /* borrowed */
	struct ext4_build *b; /* borrowed */
	uint8_t *buf;         /* owned, EXT4_OUT_SIZE */
	uint64_t off;         /* bytes; where buf goes */
	size_t len;
	uint8_t *block; /* owned, one block of scratch for whoever builds one */
};

/* Release in any case; what was not flushed is lost then. */
int ext4_out_init(
	struct ext4_out *out, struct dev *dev, struct ext4_build *b, struct error *err) MUST_CHECK;
void ext4_out_release(struct ext4_out *out);
/*
 * len bytes to `off` of the device; a block, by its number. Errors may be those of earlier writes.
 */
int ext4_out_bytes(struct ext4_out *out, uint64_t off, const void *data, size_t len,
	struct error *err) MUST_CHECK;
int ext4_out_block(
	struct ext4_out *out, uint64_t block, const void *data, struct error *err) MUST_CHECK;
/* Blocks that read as zeros, or that nobody reads. */
int ext4_out_clear(struct ext4_out *out, uint64_t block, uint64_t len, enum extent_kind kind,
	struct error *err) MUST_CHECK;
int ext4_out_flush(struct ext4_out *out, struct error *err) MUST_CHECK;

/*
 * CRC-32C of what begins with inode number and generation 0, as directory and extent blocks have
 * it.
 */
uint32_t ext4_inode_crc(const struct ext4_build *b, uint32_t ino);

/* ---- ext4_dir ---- */

/* Blocks that the directory will take; notes b->large_dir. */
int ext4_dir_blocks(
	struct ext4_build *b, tree_node dir, uint32_t *nr_blocks, struct error *err) MUST_CHECK;
/* Writes the directory of a slot. */
int ext4_dir_write(struct ext4_out *out, uint32_t slot, struct error *err) MUST_CHECK;
/* True when it has an index. */
bool ext4_dir_indexed(const struct ext4_build *b, const struct ext4_slot *slot);

/* ---- ext4_xattr ---- */

/*
 * Finds out whether the node's attributes need a block of their own; ERROR_INPUT when not even that
 * holds them.
 */
int ext4_xattr_plan(const struct ext4_build *b, tree_node node, bool *needs_block,
	struct error *err) MUST_CHECK;
/*
 * Fills the inode's tail (ibody, EXT4_INODE_SIZE - 160 bytes, zeroed) and the block of attributes
 * (zeroed; NULL when the slot has none).
 */
int ext4_xattr_put(const struct ext4_build *b, tree_node node, uint8_t *ibody, uint8_t *block,
	struct error *err) MUST_CHECK;

/* ---- the rest of what is written ---- */

/* The tables of inodes; contents and directories of the nr slots in `order`. */
int ext4_inodes_write(struct ext4_out *out, struct error *err) MUST_CHECK;
int ext4_data_write(
	struct ext4_out *out, const uint32_t *order, uint32_t nr, struct error *err) MUST_CHECK;
/* Times as an inode holds them. */
void ext4_inode_times(struct ext2_inode_large *inode, int64_t sec, uint32_t ns);
void ext4_inode_size(struct ext2_inode_large *inode, uint64_t size, uint64_t sectors);
/* Journal and resize inode: contents written, inodes filled. */
int ext4_journal_write(
	struct ext4_out *out, struct ext2_inode_large *inode, struct error *err) MUST_CHECK;
int ext4_resize_write(
	struct ext4_out *out, struct ext2_inode_large *inode, struct error *err) MUST_CHECK;
/* Bitmaps, descriptors, superblocks; last of all. */
int ext4_super_write(
	struct ext4_out *out, const struct ext4_ranges *free_ranges, struct error *err) MUST_CHECK;

#endif
