/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See the header. Contents are read whole through tree_pread(), so holes and pieces are tested
 * too.
 */
#include "tests/lib/treedump.h"

#include <inttypes.h>

#include "fs/tree_internal.h"

static int dump_content(const struct tree *t, tree_node node, const struct tree_attr *attr,
	struct buf *out, struct error *err)
{
	unsigned char block[4096];
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (uint64_t off = 0; off < attr->size;) {
		size_t len = attr->size - off < sizeof(block) ? (size_t)(attr->size - off)
							      : sizeof(block);

		if (tree_pread(t, node, block, len, off, err))
			return -1;
		for (size_t i = 0; i < len; i++)
			sum = (sum ^ block[i]) * UINT64_C(0x100000001b3);
		off += len;
	}
	for (uint32_t i = 0; i < tree_nr_pieces(t, node); i++) {
		struct tree_piece piece;

		tree_piece(t, node, i, &piece);
		if (buf_addf(out, err, " %" PRIu64 "+%" PRIu64, piece.off, piece.len))
			return -1;
	}
	return buf_addf(out, err, " size=%" PRIu64 " sum=%016" PRIx64, attr->size, sum);
}

static int dump_xattrs(const struct tree *t, tree_node node, struct buf *out, struct error *err)
{
	const char *name;
	const void *value;
	size_t len;

	for (uint32_t i = 0; tree_xattr(t, node, i, &name, &value, &len); i++) {
		const unsigned char *byte = value;

		if (buf_addf(out, err, " %s=", name))
			return -1;
		for (size_t j = 0; j < len; j++)
			if (buf_addf(out, err, "%02x", byte[j]))
				return -1;
	}
	return 0;
}

static int dump_node(const struct tree *t, tree_node node, struct buf *out, struct error *err)
{
	struct tree_attr a;

	tree_get(t, node, &a);
	if (tree_path(t, node, out, err) ||
		buf_addf(out, err, " %o %u:%u %" PRId64 ".%09u inode=%u nlink=%u", a.mode, a.uid,
			a.gid, a.mtime, a.mtime_ns, a.inode, a.nlink))
		return -1;
	if (S_ISLNK(a.mode) && buf_addf(out, err, " -> %s", a.target))
		return -1;
	if ((S_ISCHR(a.mode) || S_ISBLK(a.mode)) &&
		buf_addf(out, err, " %u,%u", a.rdev_major, a.rdev_minor))
		return -1;
	if (S_ISREG(a.mode) && dump_content(t, node, &a, out, err))
		return -1;
	if (dump_xattrs(t, node, out, err))
		return -1;
	return buf_add_char(out, '\n', err);
}

int treedump(const struct tree *t, struct buf *out, struct error *err)
{
	tree_node node = TREE_ROOT;

	for (;;) {
		tree_node next = tree_first_child(t, node);

		if (dump_node(t, node, out, err))
			return -1;
		while (next == TREE_NONE && node != TREE_ROOT) {
			next = tree_next_sibling(t, node);
			node = tree_parent(t, node);
		}
		if (next == TREE_NONE)
			return 0;
		node = next;
	}
}

uint64_t treedump_data_bytes(const struct tree *t, tree_node node)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < tree_nr_pieces(t, node); i++) {
		struct tree_piece piece;

		tree_piece(t, node, i, &piece);
		sum += piece.len;
	}
	return sum;
}

bool treedump_same_xattrs(const struct tree *t, tree_node a, tree_node b)
{
	return tree_node_inode(t, a)->xattrs == tree_node_inode(t, b)->xattrs;
}
