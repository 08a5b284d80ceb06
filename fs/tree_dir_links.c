/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a folder are one, by device and inode: the second name of an inode is a hard link in
 * the tree. Only inodes with several links come here, so the table is small.
 */
#include "fs/tree_dir_internal.h"

static struct dir_link *find(const struct dir_links *l, dev_t dev, ino_t ino)
{
	uint64_t hash = ((uint64_t)ino ^ (uint64_t)dev << 40) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(hash >> 32) & (l->size - 1);

	while (l->slots[i].node != TREE_NONE && (l->slots[i].ino != ino || l->slots[i].dev != dev))
		i = (i + 1) & (l->size - 1);
	return &l->slots[i];
}

static int grow(struct dir_links *l, struct error *err)
{
	struct dir_links grown = {.nr = l->nr, .size = l->size ? 2 * l->size : 256};

	if (2 * l->nr < l->size)
		return 0;
	grown.slots = malloc(grown.size * sizeof(*grown.slots));
	if (!grown.slots)
		return error_nomem(err, "hard links");
	for (size_t i = 0; i < grown.size; i++)
		grown.slots[i].node = TREE_NONE;
	for (size_t i = 0; i < l->size; i++)
		if (l->slots[i].node != TREE_NONE)
			*find(&grown, l->slots[i].dev, l->slots[i].ino) = l->slots[i];
	free(l->slots);
	*l = grown;
	return 0;
}

int dir_links_find(struct dir_links *l, const struct stat *st, struct dir_link **out,
	struct error *err)
{
	if (grow(l, err))
		return -1;
	*out = find(l, st->st_dev, st->st_ino);
	return 0;
}

void dir_links_fill(struct dir_links *l, struct dir_link *slot, const struct stat *st, tree_node node)
{
	*slot = (struct dir_link){st->st_dev, st->st_ino, node};
	l->nr++;
}

void dir_links_forget(struct dir_links *l)
{
	for (size_t i = 0; i < l->size; i++)
		l->slots[i].node = TREE_NONE;
	l->nr = 0;
}

void dir_links_release(struct dir_links *l)
{
	free(l->slots);
}
