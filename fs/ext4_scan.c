/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree to slots: every inode of the file system in the order of its number, with links
 * counted and content measured. Directories are visited in depth-first order, and all children of
 * one directory get consecutive numbers: what is listed together lies together in the inode table.
 * The order depends on names alone.
 */
#include "fs/ext4_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"

int ext4_path_error(
	const struct ext4_build *b, tree_node node, struct error *err, const char *fmt, ...)
{
	CLEANUP_BUF struct buf path = BUF_INIT(TREE_PATH_MAX * 4);
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, ERROR_INPUT, 0, fmt, ap);
	va_end(ap);
	if (tree_path(b->t, node, &path, NULL) < 0)
		return -1;
	return error_wrap(err, "'%s'", buf_str(&path));
}

const char *ext4_name(const struct ext4_build *b)
{
	return !b->classic ? "ext4" : b->opts->version == 3 ? "ext3" : "ext2";
}

tree_node ext4_first_child(const struct ext4_build *b, tree_node dir)
{
	struct tree_attr attr;

	if (dir == TREE_NONE)
		return TREE_NONE;
	if (dir != b->root) {
		tree_get(b->t, dir, &attr);
		if (attr.mount_point)
			return TREE_NONE;
	}
	return tree_first_child(b->t, dir);
}

static bool is_dir(const struct ext4_build *b, tree_node node)
{
	struct tree_attr attr;

	tree_get(b->t, node, &attr);
	return S_ISDIR(attr.mode);
}

/* node itself or the first of its later siblings that is a directory. */
static tree_node dir_among(const struct ext4_build *b, tree_node node)
{
	while (node != TREE_NONE && !is_dir(b, node))
		node = tree_next_sibling(b->t, node);
	return node;
}

/* The directory after `dir` in depth-first order; TREE_NONE at the end. */
static tree_node next_dir(const struct ext4_build *b, tree_node dir)
{
	tree_node node = dir_among(b, ext4_first_child(b, dir));

	while (node == TREE_NONE && dir != b->root) {
		node = dir_among(b, tree_next_sibling(b->t, dir));
		dir = tree_parent(b->t, dir);
	}
	return node;
}

/* A further name of an inode that has a number already. */
static int count_link(struct ext4_build *b, tree_node node, uint32_t ino, struct error *err)
{
	struct ext4_slot *slot = &b->slots[ext4_slot_of(ino)];

	const uint32_t max = b->classic ? EXT2_LINKS_MAX : EXT4_LINKS_MAX;

	if (++slot->links > max)
		return ext4_path_error(b, node, err, "%s holds at most %u hard links to a file",
			ext4_name(b), max);
	return 0;
}

static int number_children(struct ext4_build *b, tree_node dir, struct error *err)
{
	struct tree_attr attr;
	uint32_t parent;

	tree_get(b->t, dir, &attr);
	parent = ext4_slot_of(b->ino_of[attr.inode]);
	for (tree_node n = ext4_first_child(b, dir); n != TREE_NONE;
		n = tree_next_sibling(b->t, n)) {
		tree_get(b->t, n, &attr);
		if (b->ino_of[attr.inode]) {
			if (count_link(b, n, b->ino_of[attr.inode], err) < 0)
				return -1;
			continue;
		}
		b->slots[b->nr_slots].node = n;
		b->slots[b->nr_slots].links = S_ISDIR(attr.mode) ? 2 : 1;
		if (S_ISDIR(attr.mode) && ++b->slots[parent].links > EXT2_LINKS_MAX && b->classic)
			return ext4_path_error(b, dir, err, "%s holds at most %d folders in one",
				ext4_name(b), EXT2_LINKS_MAX - 2);
		b->ino_of[attr.inode] = ext4_ino(b->nr_slots++);
	}
	return 0;
}

static int number_all(struct ext4_build *b, struct error *err)
{
	struct tree_attr attr;

	tree_get(b->t, b->root, &attr);
	b->slots[0] = (struct ext4_slot){.node = b->root, .links = 2};
	b->ino_of[attr.inode] = EXT2_ROOT_INO;
	b->nr_slots = 1;
	if (b->own_lost_found) {
		b->slots[0].links++;
		b->slots[b->nr_slots++] = (struct ext4_slot){.node = TREE_NONE, .links = 2};
	}
	for (tree_node dir = b->root; dir != TREE_NONE; dir = next_dir(b, dir)) {
		if (number_children(b, dir, err) < 0)
			return -1;
	}
	return 0;
}

static int measure_file(struct ext4_build *b, struct ext4_slot *slot, const struct tree_attr *attr,
	struct error *err)
{
	uint64_t max = b->classic ? ext4_indirect_max(b->block_size)
				  : (uint64_t)UINT32_MAX * b->block_size;

	if (attr->size > max)
		return ext4_path_error(b, slot->node, err,
			"has %llu bytes, and a file of %s holds at most %llu "
			"with blocks of %u bytes",
			(unsigned long long)attr->size, ext4_name(b), (unsigned long long)max, b->block_size);
	slot->nr_blocks = (uint32_t)ext4_content_blocks(b, slot->node);
	slot->kind = (uint64_t)slot->nr_blocks * b->block_size >= EXT4_ALIGN_BYTES
			     ? EXT4_CLASS_BIG
			     : EXT4_CLASS_SMALL;
	return 0;
}

static int measure_symlink(struct ext4_build *b, struct ext4_slot *slot,
	const struct tree_attr *attr, struct error *err)
{
	slot->kind = EXT4_CLASS_META;
	if (attr->size < EXT4_SYMLINK_INLINE)
		return 0;
	if (attr->size >= b->block_size)
		return ext4_path_error(b, slot->node, err,
			"target of the symbolic link has %llu bytes, and ext4 holds "
			"fewer than %u",
			(unsigned long long)attr->size, b->block_size);
	slot->nr_blocks = 1;
	return 0;
}

static int measure_device(struct ext4_build *b, struct ext4_slot *slot,
	const struct tree_attr *attr, struct error *err)
{
	slot->kind = EXT4_CLASS_META;
	if (attr->rdev_major >= 1u << 12 || attr->rdev_minor >= 1u << 20)
		return ext4_path_error(b, slot->node, err,
			"device number %u:%u does not fit in 12 and 20 bits", attr->rdev_major,
			attr->rdev_minor);
	return 0;
}

static int measure(struct ext4_build *b, struct ext4_slot *slot, struct error *err)
{
	struct tree_attr attr;
	int rc = 0;

	slot->kind = EXT4_CLASS_META;
	if (slot->node == TREE_NONE) {
		slot->nr_blocks = EXT4_LOST_FOUND_BYTES / b->block_size;
		return 0;
	}
	tree_get(b->t, slot->node, &attr);
	if (S_ISREG(attr.mode))
		rc = measure_file(b, slot, &attr, err);
	else if (S_ISLNK(attr.mode))
		rc = measure_symlink(b, slot, &attr, err);
	else if (S_ISDIR(attr.mode))
		rc = ext4_dir_blocks(b, slot->node, &slot->nr_blocks, err);
	else if (S_ISCHR(attr.mode) || S_ISBLK(attr.mode))
		rc = measure_device(b, slot, &attr, err);
	if (rc == 0 && b->large_dir && b->classic)
		rc = ext4_path_error(b, slot->node, err, "has more entries than a folder of %s holds",
			ext4_name(b));
	if (rc < 0)
		return -1;
	return ext4_xattr_plan(b, slot->node, &slot->xattr_block, err);
}

int ext4_scan(struct ext4_build *b, struct error *err)
{
	size_t nr = tree_nr_inodes(b->t);

	b->own_lost_found =
		b->root != TREE_NONE && tree_child(b->t, b->root, "lost+found", 10) == TREE_NONE;
	b->slots = calloc(nr + 2, sizeof(*b->slots));
	b->ino_of = calloc(nr + 1, sizeof(*b->ino_of));
	if (!b->slots || !b->ino_of)
		return error_nomem(err, "the list of inodes");
	if (number_all(b, err) < 0)
		return -1;
	for (uint32_t i = 0; i < b->nr_slots; i++) {
		if (measure(b, &b->slots[i], err) < 0)
			return -1;
	}
	return 0;
}
