/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether FAT can hold a tree, and how much of it the tree takes. Owners, permissions, extended
 * attributes and hard links (each name gets a copy) are nothing that FAT has, and are left out;
 * what would lose content or a name is refused.
 */
#include "fs/vfat_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

/* 65536 entries a directory, one of them for the end (Microsoft FAT specification, 2 MiB). */
enum { DIR_ENTRIES_MAX = 65535 };

static bool is_dir(const struct fs *fs, tree_node node)
{
	struct tree_attr attr;

	tree_get(fs->tree, node, &attr);
	return S_ISDIR(attr.mode);
}

bool vfat_is_open_dir(const struct fs *fs, tree_node node)
{
	struct tree_attr attr;

	tree_get(fs->tree, node, &attr);
	return S_ISDIR(attr.mode) && (node == fs->root || !attr.mount_point);
}

static tree_node first_child(const struct fs *fs, tree_node dir)
{
	return vfat_is_open_dir(fs, dir) ? tree_first_child(fs->tree, dir) : TREE_NONE;
}

/* node or the first of its later siblings that is (not) a directory. */
static tree_node among(const struct fs *fs, tree_node node, bool dirs)
{
	while (node != TREE_NONE && is_dir(fs, node) != dirs)
		node = tree_next_sibling(fs->tree, node);
	return node;
}

tree_node vfat_next_dir(const struct fs *fs, tree_node dir)
{
	tree_node node = among(fs, first_child(fs, dir), true);

	while (node == TREE_NONE && dir != fs->root) {
		node = among(fs, tree_next_sibling(fs->tree, dir), true);
		dir = tree_parent(fs->tree, dir);
	}
	return node;
}

tree_node vfat_next_child(const struct fs *fs, tree_node dir, tree_node after)
{
	bool dirs = after == TREE_NONE || is_dir(fs, after);
	tree_node node = after == TREE_NONE ? first_child(fs, dir)
					    : tree_next_sibling(fs->tree, after);

	node = among(fs, node, dirs);
	if (node == TREE_NONE && dirs)
		node = among(fs, first_child(fs, dir), false);
	return node;
}

int vfat_path_error(const struct fs *fs, tree_node node, struct error *err, const char *fmt, ...)
{
	CLEANUP_BUF struct buf path = BUF_INIT(TREE_PATH_MAX * 4);
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, ERROR_INPUT, 0, fmt, ap);
	va_end(ap);
	if (tree_path(fs->tree, node, &path, NULL) < 0)
		return -1;
	return error_wrap(err, "'%s'", buf_str(&path));
}

/* UTF-16 units of a name; false when it is no UTF-8, or has what mtools cannot store. */
static bool name_units(const char *name, size_t len, uint32_t *units)
{
	*units = 0;
	for (size_t i = 0; i < len; ++*units) {
		unsigned char c = (unsigned char)name[i];
		size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 4;
		uint32_t value = c & (0xff >> (more ? more + 2 : 1));

		if (more > 2 || i + more >= len)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((name[i + k] & 0xc0) != 0x80)
				return false;
			value = value << 6 | (name[i + k] & 0x3f);
		}
		if (more == 2 && (value < 0x800 || (value >= 0xd800 && value < 0xe000)))
			return false;
		i += more + 1;
	}
	return true;
}

static int check_name(const struct fs *fs, tree_node node, struct error *err)
{
	size_t len;
	const char *name = tree_name(fs->tree, node, &len);
	uint32_t units;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f ||
			strchr("*?<>|:\"\\", name[i]))
			return vfat_path_error(fs, node, err,
				"a name on FAT cannot have control characters or any of * ? < > | "
				": \" \\");
	if (name[len - 1] == '.' || name[len - 1] == ' ')
		return vfat_path_error(
			fs, node, err, "a name on FAT cannot end with a dot or a space");
	if (!name_units(name, len, &units))
		return vfat_path_error(fs, node, err,
			"a name on FAT must be UTF-8 with characters up to U+FFFF");
	return 0;
}

static int check_node(const struct fs *fs, tree_node node, struct error *err)
{
	struct tree_attr attr;

	tree_get(fs->tree, node, &attr);
	if (S_ISLNK(attr.mode))
		return vfat_path_error(fs, node, err, "FAT cannot hold a symbolic link");
	if (!S_ISREG(attr.mode) && !S_ISDIR(attr.mode))
		return vfat_path_error(fs, node, err,
			"FAT cannot hold device nodes, FIFOs and sockets: only files and folders");
	if (S_ISREG(attr.mode) && attr.size > UINT32_MAX)
		return vfat_path_error(fs, node, err,
			"has %llu bytes, and a file on FAT holds at most %u",
			(unsigned long long)attr.size, UINT32_MAX);
	return check_name(fs, node, err);
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct fs *fs = arg;
	const tree_node *x = a, *y = b;
	size_t len;
	int c = strcasecmp(tree_name(fs->tree, *x, &len), tree_name(fs->tree, *y, &len));

	return c ? c : (*x > *y) - (*x < *y);
}

/* Names that differ in the case of letters alone are one name to FAT. */
static int check_case(const struct fs *fs, tree_node *nodes, uint32_t nr, struct error *err)
{
	size_t len;
	union { const struct fs *in; void *out; } arg = {.in = fs};

	qsort_r(nodes, nr, sizeof(*nodes), compare_names, arg.out);
	for (uint32_t i = 1; i < nr; i++) {
		const char *before = tree_name(fs->tree, nodes[i - 1], &len);

		if (strcasecmp(before, tree_name(fs->tree, nodes[i], &len)) == 0)
			return vfat_path_error(fs, nodes[i], err,
				"FAT cannot tell the name from '%s', which differs in case only",
				before);
	}
	return 0;
}

/* Entries of a name: one, and one more for each 13 units of its long form. */
static uint32_t name_entries(const struct fs *fs, tree_node node)
{
	size_t len;
	const char *name = tree_name(fs->tree, node, &len);
	uint32_t units;

	if (!name_units(name, len, &units))
		units = (uint32_t)len;
	return 1 + (units + VFAT_LFN_UNITS - 1) / VFAT_LFN_UNITS;
}

/* With "." and "..", or for the root the label. */
static uint32_t dir_entries(const struct fs *fs, tree_node dir)
{
	uint32_t nr = 2;

	for (tree_node n = first_child(fs, dir); n != TREE_NONE; n = tree_next_sibling(fs->tree, n))
		nr += name_entries(fs, n);
	return nr;
}

static int check_dir(const struct fs *fs, tree_node dir, struct error *err)
{
	CLEANUP_FREE tree_node *nodes = NULL;
	uint32_t nr = 0, at = 0;

	for (tree_node n = first_child(fs, dir); n != TREE_NONE; n = tree_next_sibling(fs->tree, n)) {
		if (check_node(fs, n, err) < 0)
			return -1;
		nr++;
	}
	if (dir_entries(fs, dir) > DIR_ENTRIES_MAX)
		return vfat_path_error(fs, dir, err,
			"needs %u directory entries, and a folder on FAT has at most %u",
			dir_entries(fs, dir), DIR_ENTRIES_MAX);
	nodes = calloc((size_t)nr + 1, sizeof(*nodes));
	if (!nodes)
		return error_nomem(err, "the names of a folder");
	for (tree_node n = first_child(fs, dir); n != TREE_NONE; n = tree_next_sibling(fs->tree, n))
		nodes[at++] = n;
	return check_case(fs, nodes, nr, err);
}

int vfat_check(const struct fs *fs, struct error *err)
{
	for (tree_node dir = fs->root; dir != TREE_NONE; dir = vfat_next_dir(fs, dir))
		if (check_dir(fs, dir, err) < 0)
			return -1;
	return 0;
}

void vfat_measure(const struct fs *fs, uint32_t cluster_bytes, struct vfat_need *need)
{
	*need = (struct vfat_need){.root_entries = dir_entries(fs, fs->root) + 1};
	for (tree_node dir = fs->root; dir != TREE_NONE; dir = vfat_next_dir(fs, dir)) {
		/* One more entry: mtools may want to see the end of a directory. */
		need->clusters += num_div_up(
			(dir_entries(fs, dir) + UINT64_C(1)) * VFAT_ENTRY, cluster_bytes);
		for (tree_node n = first_child(fs, dir); n != TREE_NONE;
			n = tree_next_sibling(fs->tree, n)) {
			struct tree_attr attr;

			tree_get(fs->tree, n, &attr);
			need->files++;
			if (S_ISREG(attr.mode))
				need->clusters += num_div_up(attr.size, cluster_bytes);
		}
	}
}
