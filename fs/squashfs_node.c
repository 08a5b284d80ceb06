/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes and directories of a squashfs. A directory names places of inodes, so children are
 * written before their parents: directories in the reverse of depth-first order, each after the
 * inodes of what else is in it. Numbers of inodes are given in depth-first order, all children of
 * one directory in a row.
 */
#include "fs/squashfs_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

enum {
	ACL_HEADER = 4,
	ACL_ENTRY = 8,
	ACL_GROUP_OBJ = 4,
	XATTR_NONE = 0xffffffff,
	MAJOR_BITS = 12,
	MINOR_BITS = 20,
};

int squashfs_path_error(const struct squashfs_build *b, tree_node node, struct error *err,
	const char *fmt, ...)
{
	CLEANUP_BUF struct buf path = BUF_INIT(TREE_PATH_MAX * 4);
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, ERROR_INPUT, 0, fmt, ap);
	va_end(ap);
	if (tree_path(b->fs->tree, node, &path, NULL) < 0)
		return -1;
	return error_wrap(err, "'%s'", buf_str(&path));
}

static tree_node first_child(const struct squashfs_build *b, tree_node dir)
{
	struct tree_attr attr;

	tree_get(b->fs->tree, dir, &attr);
	if (attr.mount_point && dir != b->fs->root)
		return TREE_NONE;
	return tree_first_child(b->fs->tree, dir);
}

static bool is_dir(const struct squashfs_build *b, tree_node node)
{
	struct tree_attr attr;

	tree_get(b->fs->tree, node, &attr);
	return S_ISDIR(attr.mode);
}

static void number_node(struct squashfs_build *b, tree_node node)
{
	struct tree_attr attr;

	tree_get(b->fs->tree, node, &attr);
	b->links[attr.inode]++;
	if (b->number[attr.inode])
		return;
	b->nodes[b->nr_inodes] = node;
	b->number[attr.inode] = ++b->nr_inodes;
	if (S_ISDIR(attr.mode))
		b->links[attr.inode] = 2;
}

static tree_node dir_among(const struct squashfs_build *b, tree_node node)
{
	while (node != TREE_NONE && !is_dir(b, node))
		node = tree_next_sibling(b->fs->tree, node);
	return node;
}

static tree_node next_dir(const struct squashfs_build *b, tree_node dir)
{
	tree_node node = dir_among(b, first_child(b, dir));

	while (node == TREE_NONE && dir != b->fs->root) {
		node = dir_among(b, tree_next_sibling(b->fs->tree, dir));
		dir = tree_parent(b->fs->tree, dir);
	}
	return node;
}

static int check_device(const struct squashfs_build *b, tree_node node, struct error *err)
{
	struct tree_attr a;

	tree_get(b->fs->tree, node, &a);
	if (!S_ISCHR(a.mode) && !S_ISBLK(a.mode))
		return 0;
	if (a.rdev_major >= 1u << MAJOR_BITS || a.rdev_minor >= 1u << MINOR_BITS)
		return squashfs_path_error(b, node, err,
			"device number %u:%u does not fit in 12 and 20 bits", a.rdev_major,
			a.rdev_minor);
	return 0;
}

int squashfs_number(struct squashfs_build *b, struct error *err)
{
	number_node(b, b->fs->root);
	for (tree_node dir = b->fs->root; dir != TREE_NONE; dir = next_dir(b, dir)) {
		struct tree_attr attr;

		tree_get(b->fs->tree, dir, &attr);
		b->dirs[b->nr_dirs++] = dir;
		for (tree_node n = first_child(b, dir); n != TREE_NONE;
			n = tree_next_sibling(b->fs->tree, n)) {
			if (check_device(b, n, err) < 0)
				return -1;
			number_node(b, n);
			b->links[attr.inode] += is_dir(b, n);
		}
	}
	return 0;
}

/* squashfs holds no ACLs. Without one, its group entry is what the group may do, not its mask. */
static uint32_t mode_without_acl(uint32_t mode, const uint8_t *acl, size_t len)
{
	for (size_t off = ACL_HEADER; off + ACL_ENTRY <= len; off += ACL_ENTRY)
		if (num_get_le16(acl + off) == ACL_GROUP_OBJ)
			return (mode & ~070u) | (num_get_le16(acl + off + 2) & 7u) << 3;
	return mode;
}

static void note_acl(const struct squashfs_build *b, tree_node node)
{
	CLEANUP_BUF struct buf path = BUF_INIT(TREE_PATH_MAX * 4);

	if (tree_path(b->fs->tree, node, &path, NULL) == 0)
		log_warn("squashfs holds no ACLs: '%s' is left with its permission bits",
			buf_str(&path));
}

static bool holds(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0;
}

/* *index is XATTR_NONE without attributes. Takes ACLs into *mode. */
static int put_xattrs(struct squashfs_build *b, tree_node node, uint32_t *index, uint32_t *mode,
	struct error *err)
{
	const char *name;
	const void *value;
	bool any = false;
	size_t len;
	int code = 0;

	*index = XATTR_NONE;
	for (uint32_t i = 0; code == 0 && tree_xattr(b->fs->tree, node, i, &name, &value, &len);
		i++) {
		if (strncmp(name, "system.posix_acl_", 17) == 0) {
			if (strcmp(name, "system.posix_acl_access") == 0)
				*mode = mode_without_acl(*mode, value, len);
			note_acl(b, node);
			continue;
		}
		if (!holds(name))
			return squashfs_path_error(b, node, err,
				"squashfs cannot hold the extended attribute '%s'", name);
		if (!any)
			code = sqfs_xattr_writer_begin(b->xattrs, 0);
		any = true;
		if (code == 0)
			code = sqfs_xattr_writer_add(b->xattrs, name, value, len);
	}
	if (code == 0 && any)
		code = sqfs_xattr_writer_end(b->xattrs, index);
	return code ? squashfs_error(b->file, code, "keep the attributes", err) : 0;
}

static uint32_t time_of(int64_t seconds)
{
	return (uint32_t)(seconds < 0 ? 0 : MIN(seconds, (int64_t)UINT32_MAX));
}

/* What all inodes have; attributes must have been put before. */
static int fill_base(struct squashfs_build *b, const struct tree_attr *attr, uint32_t mode,
	sqfs_inode_generic_t *inode, struct error *err)
{
	int code = sqfs_id_table_id_to_index(b->ids, attr->uid, &inode->base.uid_idx);

	if (code == 0)
		code = sqfs_id_table_id_to_index(b->ids, attr->gid, &inode->base.gid_idx);
	if (code)
		return squashfs_error(b->file, code, "keep the owners", err);
	inode->base.mode = (sqfs_u16)mode;
	inode->base.mod_time = time_of(attr->mtime);
	inode->base.inode_number = b->number[attr->inode];
	return 0;
}

static uint32_t device_number(const struct tree_attr *a)
{
	return (a->rdev_minor & 0xff) | a->rdev_major << 8 | (a->rdev_minor & ~0xffu) << 12;
}

/* An inode that is neither a directory nor a regular file. */
static sqfs_inode_generic_t *new_inode(const struct squashfs_build *b, const struct tree_attr *a)
{
	size_t target = S_ISLNK(a->mode) ? strlen(a->target) : 0;
	sqfs_inode_generic_t *inode = calloc(1, sizeof(*inode) + target + 1);
	uint32_t links = b->links[a->inode];

	if (!inode)
		return NULL;
	switch (a->mode & S_IFMT) {
	case S_IFLNK:
		inode->base.type = SQFS_INODE_SLINK;
		inode->data.slink.nlink = links;
		inode->data.slink.target_size = (sqfs_u32)target;
		inode->payload_bytes_used = inode->payload_bytes_available = (sqfs_u32)target;
		memcpy(inode->extra, a->target, target);
		break;
	case S_IFBLK:
	case S_IFCHR:
		inode->base.type = S_ISBLK(a->mode) ? SQFS_INODE_BDEV : SQFS_INODE_CDEV;
		inode->data.dev.nlink = links;
		inode->data.dev.devno = device_number(a);
		break;
	default:
		inode->base.type = S_ISFIFO(a->mode) ? SQFS_INODE_FIFO : SQFS_INODE_SOCKET;
		inode->data.ipc.nlink = links;
	}
	return inode;
}

/* Writes an inode that is filled but for what all have, and keeps where it lies. */
static int write_inode(struct squashfs_build *b, const struct tree_attr *attr,
	uint32_t mode, uint32_t xattr, sqfs_inode_generic_t *inode, struct error *err)
{
	sqfs_u64 block;
	sqfs_u32 off;
	int code;

	if (fill_base(b, attr, mode, inode, err) < 0)
		return -1;
	code = xattr == XATTR_NONE ? 0 : sqfs_inode_set_xattr_index(inode, xattr);
	sqfs_meta_writer_get_position(b->inode_table, &block, &off);
	b->refs[attr->inode] = block << 16 | off;
	b->written[attr->inode] = true;
	if (code == 0)
		code = sqfs_meta_writer_write_inode(b->inode_table, inode);
	return code ? squashfs_error(b->file, code, "write an inode", err) : 0;
}

static int write_other(struct squashfs_build *b, tree_node node, struct error *err)
{
	struct tree_attr attr;
	sqfs_inode_generic_t *inode, *own = NULL;
	uint32_t xattr, mode;
	int r = 0;

	tree_get(b->fs->tree, node, &attr);
	if (b->written[attr.inode])
		return 0;
	mode = attr.mode;
	if (put_xattrs(b, node, &xattr, &mode, err) < 0)
		return -1;
	if (S_ISREG(attr.mode)) {
		inode = b->files[attr.inode];
		if (b->links[attr.inode] > 1) {
			r = sqfs_inode_make_extended(inode);
			if (r)
				return squashfs_error(b->file, r, "write an inode", err);
			inode->data.file_ext.nlink = b->links[attr.inode];
		}
	} else {
		inode = own = new_inode(b, &attr);
		if (!inode)
			return error_nomem(err, "an inode");
	}
	r = write_inode(b, &attr, mode, xattr, inode, err);
	free(own);
	return r;
}

static int write_entries(struct squashfs_build *b, tree_node dir, struct error *err)
{
	int code = sqfs_dir_writer_begin(b->dirs_writer, 0);

	for (tree_node n = first_child(b, dir); code == 0 && n != TREE_NONE;
		n = tree_next_sibling(b->fs->tree, n)) {
		struct tree_attr attr;
		size_t len;

		tree_get(b->fs->tree, n, &attr);
		code = sqfs_dir_writer_add_entry(b->dirs_writer, tree_name(b->fs->tree, n, &len),
			b->number[attr.inode], b->refs[attr.inode], (sqfs_u16)attr.mode);
	}
	if (code == 0)
		code = sqfs_dir_writer_end(b->dirs_writer);
	return code ? squashfs_error(b->file, code, "write a directory", err) : 0;
}

static int write_dir(struct squashfs_build *b, tree_node dir, struct error *err)
{
	sqfs_inode_generic_t *inode;
	struct tree_attr attr, above;
	uint32_t xattr, mode, parent = b->nr_inodes + 1;
	int r;

	for (tree_node n = first_child(b, dir); n != TREE_NONE; n = tree_next_sibling(b->fs->tree, n))
		if (!is_dir(b, n) && write_other(b, n, err) < 0)
			return -1;
	tree_get(b->fs->tree, dir, &attr);
	if (dir != b->fs->root) {
		tree_get(b->fs->tree, tree_parent(b->fs->tree, dir), &above);
		parent = b->number[above.inode];
	}
	mode = attr.mode;
	if (write_entries(b, dir, err) < 0 || put_xattrs(b, dir, &xattr, &mode, err) < 0)
		return -1;
	inode = sqfs_dir_writer_create_inode(
		b->dirs_writer, b->links[attr.inode], xattr, parent);
	if (!inode)
		return error_nomem(err, "an inode");
	r = write_inode(b, &attr, mode, xattr, inode, err);
	sqfs_free(inode);
	return r;
}

int squashfs_nodes_write(struct squashfs_build *b, struct error *err)
{
	struct tree_attr attr;

	for (uint32_t i = b->nr_dirs; i-- > 0;)
		if (write_dir(b, b->dirs[i], err) < 0)
			return -1;
	tree_get(b->fs->tree, b->fs->root, &attr);
	b->super.root_inode_ref = b->refs[attr.inode];
	return 0;
}
