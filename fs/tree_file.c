/* SPDX-License-Identifier: Apache-2.0 */
/* A lookup and, if asked, one read. */
#include "fs/tree_file.h"

#include <sys/stat.h>

int tree_find_file(const struct tree *t, const char *path, tree_node *node, uint64_t *size,
	struct error *err)
{
	struct tree_attr attr;

	if (tree_lookup(t, path, true, node, err) < 0)
		return -1;
	if (*node == TREE_NONE)
		return 0;
	tree_get(t, *node, &attr);
	if (S_ISREG(attr.mode))
		*size = attr.size;
	else
		*node = TREE_NONE;
	return 0;
}

int tree_read_file(const struct tree *t, const char *path, uint64_t max, struct buf *out,
	bool *found, struct error *err)
{
	uint64_t size = 0;
	tree_node node;
	void *room;

	*found = false;
	if (tree_find_file(t, path, &node, &size, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	if (size > max)
		return error_set(err, ERROR_INPUT, 0, "'%s' of the tree has %llu bytes, more than the %llu "
			"that such a file may have", path, (unsigned long long)size,
			(unsigned long long)max);
	room = buf_extend(out, (size_t)size, err);
	if (!room || (size > 0 && tree_pread(t, node, room, (size_t)size, 0, err) < 0))
		return error_wrap(err, "'%s' of the tree", path);
	*found = true;
	return 0;
}
