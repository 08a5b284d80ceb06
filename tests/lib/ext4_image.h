/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the ext4 writer: contents out of nothing, images in files, and what e2fsck and
 * libext2fs say of them. Whatever is not as it should be ends the program with a message.
 */
#ifndef AMIWRIGHT_TESTS_EXT4_IMAGE_H
#define AMIWRIGHT_TESTS_EXT4_IMAGE_H

#include "base/dev.h"
#include "fs/ext4.h"
#include "fs/tree.h"

/* A source in which byte `off` of content `id` is pattern_byte(id, off). */
struct source *pattern_source_new(void);
uint8_t pattern_byte(uint64_t id, uint64_t off);

/* A tree and its pattern source. */
struct test_tree {
	struct tree *t;
	struct source *src;
	uint64_t next_id;
};

void test_tree_init(struct test_tree *tt);
void test_tree_release(struct test_tree *tt);
/* Adds a node below dir with mode (type and permissions), owner 0:0, a time made from its name. */
tree_node test_tree_add(struct test_tree *tt, tree_node dir, const char *name, uint32_t mode);
/* A regular file of len bytes, all pattern. */
tree_node test_tree_file(struct test_tree *tt, tree_node dir, const char *name, uint64_t len);
tree_node test_tree_symlink(
	struct test_tree *tt, tree_node dir, const char *name, const char *target);
/* A file of size bytes with nr pieces of len bytes, one each `step` bytes from `first` on. */
tree_node test_tree_sparse(struct test_tree *tt, tree_node dir, const char *name, uint64_t size,
	uint32_t nr, uint64_t first, uint64_t len, uint64_t step);
void test_tree_xattr(
	struct test_tree *tt, tree_node node, const char *name, const void *value, size_t len);
void test_tree_finish(struct test_tree *tt);

/* Options with fixed ids. */
struct ext4_opts test_ext4_opts(uint64_t size);

/* Writes the file system to a new disk of opts->size bytes; the caller closes it. */
struct dev *test_ext4_write(
	const struct test_tree *tt, tree_node root, const struct ext4_opts *opts);

/* Writes what is data in dev to a sparse file. */
void image_dump(struct dev *dev, const char *path);
/* e2fsck -fn finds nothing at all. */
void image_fsck(const char *path);
/* Every attribute and content of the tree below root is in the image, and nothing else is. */
void image_compare(const char *path, const struct test_tree *tt, tree_node root);
/* Names in all directories. */
unsigned int image_count_names(const char *path);
/* Blocks in use are data or zero, free ones unused. */
void image_check_kinds(const char *path, struct dev *dev);

#endif
