/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a tree by path, for those who only want to read one: links are followed inside the tree,
 * and what is not there or is no regular file is no error.
 */
#ifndef AMIWRIGHT_FS_TREE_FILE_H
#define AMIWRIGHT_FS_TREE_FILE_H

#include "base/buf.h"
#include "fs/tree.h"

/* The regular file at path; *node = TREE_NONE when there is none. size in bytes. */
int tree_find_file(const struct tree *t, const char *path, tree_node *node, uint64_t *size,
	struct error *err) MUST_CHECK;
/*
 * Appends the content of the regular file at path to out; *found says whether there is one.
 * ERROR_INPUT, naming the path, when it has more than max bytes.
 */
int tree_read_file(const struct tree *t, const char *path, uint64_t max, struct buf *out,
	bool *found, struct error *err) MUST_CHECK;

#endif
