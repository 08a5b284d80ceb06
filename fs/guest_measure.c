/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree needs on xfs and on btrfs, and what they cannot hold. Their allocators decide for
 * themselves, so these are estimates from above, from the layouts of their items (xfs: "XFS
 * Algorithms & Data Structures"; btrfs: "On-disk Format" of its documentation), with the shares
 * that the kernel keeps for itself.
 */
#include "fs/guest_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "fs/fs_types.h"
#include "fs/tree_tar_out.h"

/*
 * PATH_MAX_TAR: tar unpacks by whole paths, of 4095 bytes for the kernel, which it also puts behind
 * "/proc/self/fd/N/".
 */
enum { UNIT = 4096, PATH_MAX_TAR = 4064 };

/* xfs: an inode of 512 bytes has 336 for links, small directories and attributes. */
enum {
	XFS_INODE = 512,
	XFS_INLINE = 150, /* half of it, as data and attributes share it */
	XFS_DIR_ENTRY = 24, /* beside the name: in the data block, 8-aligned, and in the hash index */
	XFS_SYMLINK_MAX = 1023,
	XFS_MINOR_MAX = (1 << 18) - 1,
	XFS_EXTENTS_A_BLOCK = 120, /* half of what a block of the extent tree holds */
	XFS_INLINE_EXTENTS = 9,
};

/* btrfs: 25 bytes a leaf item beside its body. */
enum {
	BTRFS_ITEM = 25,
	BTRFS_INODE = 160 + BTRFS_ITEM,
	BTRFS_NAME = 3 * BTRFS_ITEM + 10 + 2 * 30, /* reference, directory item and index */
	BTRFS_EXTENT = 2 * (53 + BTRFS_ITEM),      /* of the file, and in the extent tree */
	BTRFS_INLINE = 2048,
	BTRFS_XATTR = BTRFS_ITEM + 30,
	BTRFS_XATTR_MAX = 16384 - 101 - BTRFS_XATTR, /* name and value; an item is in one node */
	BTRFS_SUM = 4,                               /* checksum of a block */
};

struct measure {
	const struct fs *fs;
	bool xfs;
	struct guest_needs *out;
	uint8_t *seen; /* a bit an inode */
};

static int refuse(const struct measure *m, tree_node node, struct error *err, const char *what,
	const char *name)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (tree_path(m->fs->tree, node, &path, err) < 0)
		return -1;
	return error_set(err, ERROR_INPUT, 0, "'%.400s%s': %s cannot hold %s%s%s%s", buf_str(&path),
		path.len > 400 ? "..." : "", m->fs->ops->name, what,
		name ? " '" : "", name ? name : "", name ? "'" : "");
}

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix)) && text[strlen(prefix)];
}

/* The namespaces that the kernel lets one set; "user." on files and directories alone. */
static bool is_settable(const char *name, uint32_t mode)
{
	if (has_prefix(name, "user."))
		return S_ISREG(mode) || S_ISDIR(mode);
	if (!strcmp(name, "system.posix_acl_access"))
		return !S_ISLNK(mode);
	if (!strcmp(name, "system.posix_acl_default"))
		return S_ISDIR(mode);
	return has_prefix(name, "trusted.") || has_prefix(name, "security.");
}

static int add_xattrs(struct measure *m, tree_node node, uint32_t mode, struct error *err)
{
	uint64_t total = 0, large = 0;
	const char *name;
	const void *value;
	size_t len;

	for (uint32_t i = 0; tree_xattr(m->fs->tree, node, i, &name, &value, &len); i++) {
		size_t name_len = strlen(name);

		if (!is_settable(name, mode))
			return refuse(m, node, err, "the extended attribute", name);
		if (name_len > 255)
			return refuse(m, node, err, "so long a name as that of attribute", name);
		if (!m->xfs && name_len + len > BTRFS_XATTR_MAX)
			return refuse(m, node, err, "so large an extended attribute as", name);
		total += name_len + len;
		if (len > UNIT / 4)
			large += num_align(len, UNIT) + UNIT;
		m->out->btrfs_meta += BTRFS_XATTR + name_len + len;
	}
	if (total > XFS_INLINE)
		m->out->xfs_other += num_align(total * 2, UNIT) + large;
	return 0;
}

static void add_content(struct measure *m, tree_node node, const struct tree_attr *a)
{
	uint32_t nr = tree_nr_pieces(m->fs->tree, node), runs = 0;
	uint64_t end = 0, data = 0;
	struct tree_piece p;

	for (uint32_t i = 0; i < nr; i++) {
		tree_piece(m->fs->tree, node, i, &p);
		if (i == 0 || p.off > end)
			runs++;
		data += num_align(p.off + p.len, UNIT) - MAX(p.off / UNIT * UNIT, end);
		end = num_align(p.off + p.len, UNIT);
	}
	m->out->data += data;
	if (runs > XFS_INLINE_EXTENTS)
		m->out->xfs_other += num_div_up(runs, XFS_EXTENTS_A_BLOCK) * UNIT;
	m->out->btrfs_meta += data / UNIT * BTRFS_SUM;
	if (a->size <= BTRFS_INLINE) {
		m->out->btrfs_small += data;
		m->out->btrfs_meta += BTRFS_ITEM + 21 + a->size;
	} else {
		/* An extent is at most 128 MiB, and written back in pieces of 1 MiB at worst. */
		m->out->btrfs_meta += (runs + data / MIB) * BTRFS_EXTENT;
	}
}

static void add_directory(struct measure *m, tree_node dir, const struct tree_attr *a)
{
	uint64_t bytes = 0;
	size_t len;

	if (a->mount_point && dir != m->fs->root)
		return;
	for (tree_node n = tree_first_child(m->fs->tree, dir); n != TREE_NONE;
		n = tree_next_sibling(m->fs->tree, n)) {
		tree_name(m->fs->tree, n, &len);
		bytes += len + XFS_DIR_ENTRY;
		m->out->btrfs_meta += BTRFS_NAME + 3 * len;
	}
	/* Blocks that split are half full at worst. */
	if (bytes > XFS_INLINE)
		m->out->xfs_other += num_align(bytes * 3 / 2, UNIT) + (bytes > UNIT / 2 ? 2 * UNIT : 0);
}

static int check_path(const struct measure *m, tree_node node, struct error *err)
{
	char what[64];
	size_t total = 0, len;

	for (tree_node n = node; n != m->fs->root; n = tree_parent(m->fs->tree, n)) {
		tree_name(m->fs->tree, n, &len);
		total += len + 1;
	}
	if (total <= PATH_MAX_TAR)
		return 0;
	snprintf(what, sizeof(what), "so long a path (%zu bytes; at most %d)", total, PATH_MAX_TAR);
	return refuse(m, node, err, what, NULL);
}

static int add_node(struct measure *m, tree_node node, struct error *err)
{
	struct tree_attr a;

	if (check_path(m, node, err) < 0)
		return -1;
	tree_get(m->fs->tree, node, &a);
	if (m->seen[a.inode / 8] & 1u << a.inode % 8)
		return 0;
	m->seen[a.inode / 8] |= (uint8_t)(1u << a.inode % 8);
	m->out->nr_inodes++;
	m->out->btrfs_meta += BTRFS_INODE;
	if (m->xfs && (S_ISCHR(a.mode) || S_ISBLK(a.mode)) && a.rdev_minor > XFS_MINOR_MAX)
		return refuse(m, node, err, "a device with a minor number over 262143", NULL);
	if (S_ISREG(a.mode))
		add_content(m, node, &a);
	if (S_ISDIR(a.mode))
		add_directory(m, node, &a);
	if (S_ISLNK(a.mode)) {
		if (m->xfs && a.size > XFS_SYMLINK_MAX)
			return refuse(m, node, err, "a symbolic link of over 1023 bytes", NULL);
		m->out->xfs_other += a.size > XFS_INLINE ? UNIT : 0;
		m->out->btrfs_meta += BTRFS_ITEM + 21 + a.size;
	}
	return add_xattrs(m, node, a.mode, err);
}

int guest_measure(const struct fs *fs, struct guest_needs *out, struct error *err)
{
	CLEANUP_FREE uint8_t *seen = calloc(tree_nr_inodes(fs->tree) / 8 + 1, 1);
	struct measure m = {.fs = fs, .xfs = fs->ops == &fs_xfs_ops, .out = out, .seen = seen};

	*out = (struct guest_needs){0};
	if (!seen)
		return error_nomem(err, "the sizes of a tree");
	for (tree_node n = fs->root; n != TREE_NONE; n = tree_tar_next(fs->tree, fs->root, n))
		if (add_node(&m, n, err) < 0)
			return -1;
	return 0;
}

/*
 * The log takes 64 MiB or a 2048th; the kernel keeps 32 MiB back for itself, and of each
 * allocation group some 1 % for the trees of shared blocks and free inodes. Inodes may take a
 * quarter of the whole.
 */
uint64_t guest_xfs_least(const struct guest_needs *needs, uint64_t *used)
{
	uint64_t inodes = num_align(needs->nr_inodes * XFS_INODE, 32 * KIB) + 4 * 32 * KIB;
	uint64_t size;

	*used = needs->data + needs->xfs_other + inodes + 64 * MIB;
	size = (*used + 40 * MIB) / 1000 * 1020;
	size = MAX(size, inodes * 4 + 64 * MIB);
	return num_align(MAX(size, fs_xfs_ops.least), MIB);
}

/*
 * Metadata is there twice, in nodes that are two thirds full at worst. Space is given out in
 * chunks of a tenth of the whole (at most 1 GiB), to data or to metadata, and the kernel reserves
 * some for what has to be written to free anything.
 */
uint64_t guest_btrfs_least(const struct guest_needs *needs, uint64_t *used)
{
	uint64_t meta = needs->btrfs_meta * 3, data = needs->data - needs->btrfs_small;

	*used = data + meta + 24 * MIB;
	return num_align(MAX(*used / 100 * 112 + 160 * MIB, fs_btrfs_ops.least), MIB);
}
