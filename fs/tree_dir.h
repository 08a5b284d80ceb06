/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of the host as a layer of a tree: owners, times in nanoseconds, extended attributes,
 * ACLs, capabilities, hard links, holes (SEEK_HOLE), device nodes and FIFOs; contents by
 * reference. A socket or an unreadable file is an error naming it. A file whose size, mtime, ctime
 * or inode changed between scan and read is an error when it is read. The folder's own attributes
 * go to the root of the layer. A folder over a symbolic link that leads to a directory goes there.
 * The result does not depend on the order in which the folder is read, nor on inode numbers.
 */
#ifndef AMIWRIGHT_FS_TREE_DIR_H
#define AMIWRIGHT_FS_TREE_DIR_H

#include "fs/tree.h"

struct tree_dir_opts {
	bool root_owner; /* everything is owned by 0:0 (`owner: root`) */
};

/* Adds the folder at `path` to t below directory `at` (TREE_ROOT mostly). opts may be NULL. */
int tree_dir_add(struct tree *t, tree_node at, const char *path, const struct tree_dir_opts *opts,
	struct error *err) MUST_CHECK;

#endif
