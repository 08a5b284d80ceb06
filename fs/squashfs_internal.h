/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the squashfs writer share:
 *
 *   squashfs         the entry in the table of file systems
 *   squashfs_image   the order of what is written: super block, contents, tables
 *   squashfs_node    inodes and directories
 *   squashfs_file    the file that libsquashfs writes to, and its errors as ours
 */
#ifndef AMIWRIGHT_FS_SQUASHFS_INTERNAL_H
#define AMIWRIGHT_FS_SQUASHFS_INTERNAL_H

#include "fs/fs.h"

#include <sqfs/dir_writer.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/predef.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>

enum { SQUASHFS_BLOCK = 128 * 1024, SQUASHFS_PAD = 4096 };

/* One image in the making. Arrays go by the tree's number of an inode. */
struct squashfs_build {
	const struct fs *fs;
	tree_node *dirs;     /* owned; depth-first, parents before children */
	uint32_t nr_dirs;
	uint32_t *number;    /* owned; of the inode in the image, from 1; 0: not in it */
	uint32_t *links;     /* owned; names of it, for a directory its links */
	tree_node *nodes;    /* owned; its first name; by number - 1 */
	uint32_t nr_inodes;
	sqfs_inode_generic_t **files; /* owned; of regular files, made by the block processor */
	uint64_t *refs;      /* owned; where the inode lies, once written (never 0 + written) */
	bool *written;       /* owned */

	sqfs_super_t super;
	sqfs_file_t *file;
	sqfs_compressor_t *cmp;
	sqfs_id_table_t *ids;
	sqfs_xattr_writer_t *xattrs;
	sqfs_meta_writer_t *inode_table, *dir_table;
	sqfs_dir_writer_t *dirs_writer;
};

/*
 * libsquashfs's interface over fd (borrowed); NULL without memory. sqfs_destroy() frees it. The errno
 * of the last failure stays in it.
 */
sqfs_file_t *squashfs_file_new(int fd);
/* Sets the error for a code of libsquashfs; what is "cannot …". */
int squashfs_error(const sqfs_file_t *file, int code, const char *what, struct error *err);

/* ERROR_INPUT with "'/path' …" before the text. */
int squashfs_path_error(const struct squashfs_build *b, tree_node node, struct error *err,
	const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Numbers all inodes and counts links; what squashfs cannot hold is ERROR_INPUT. */
int squashfs_number(struct squashfs_build *b, struct error *err) MUST_CHECK;
/* Writes all inodes and directories, the root last; sets the root in the super block. */
int squashfs_nodes_write(struct squashfs_build *b, struct error *err) MUST_CHECK;

/* Writes the image to fd (borrowed, empty); *bytes is its length, padded to whole pages. */
int squashfs_image_write(const struct fs *fs, int fd, uint64_t *bytes, uint32_t *inodes,
	struct error *err) MUST_CHECK;

#endif
