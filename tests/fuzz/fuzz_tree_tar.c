/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a tar archive into a tree. What was taken must hang together: each node is found by
 * its own path, pieces lie inside their file, and all contents can be read.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fs/tree_tar.h"

enum { INPUT_MAX = 128 << 10, READ_MAX = 64 << 10 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_content(const struct tree *t, tree_node node, const struct tree_attr *attr)
{
	static char content[READ_MAX];
	struct error err = ERROR_INIT;
	uint64_t end = 0;

	for (uint32_t i = 0; i < tree_nr_pieces(t, node); i++) {
		struct tree_piece piece;

		tree_piece(t, node, i, &piece);
		check(piece.off >= end && piece.len > 0);
		end = piece.off + piece.len;
		check(end <= attr->size);
	}
	check(tree_pread(t, node, content, MIN(attr->size, READ_MAX), 0, &err) == 0);
}

static void check_node(const struct tree *t, tree_node node)
{
	struct error err = ERROR_INIT;
	struct buf path = BUF_INIT(1 << 20);
	struct tree_attr attr;
	tree_node found;

	check(tree_path(t, node, &path, &err) == 0);
	check(path.len >= TREE_PATH_MAX ||
		(tree_lookup(t, buf_str(&path), false, &found, &err) == 0 && found == node));
	buf_release(&path);
	tree_get(t, node, &attr);
	check(attr.nlink > 0);
	if (S_ISREG(attr.mode))
		check_content(t, node, &attr);
	if (!S_ISDIR(attr.mode))
		return;
	for (tree_node n = tree_first_child(t, node); n != TREE_NONE; n = tree_next_sibling(t, n))
		check_node(t, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct tree *t;

	if (size > INPUT_MAX)
		return 0;
	t = tree_new("/tmp", &err);
	check(t != NULL);
	if (tree_tar_add_mem(t, data, size, "fuzz.tar", NULL, &err) == 0) {
		check(tree_finish(t, INT64_MAX, &err) == 0);
		check_node(t, TREE_ROOT);
	} else {
		check(err.kind != ERROR_NONE && err.kind != ERROR_BUG && err.text[0]);
	}
	tree_free(t);
	return 0;
}
