/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The final order of a tree. Children are sorted by the bytes of their names, inodes numbered in
 * the order in which a walk (a directory, then each child with all that is below it) first meets
 * them. After this nothing tells in which order the tree was filled.
 */
#include "fs/tree.h"

#include <string.h>

#include "base/array.h"
#include "fs/tree_internal.h"

/* The first bytes of a name, big-endian: most comparisons need no look at the name itself. */
struct sort_item {
	uint64_t prefix;
	tree_node node;
};

struct sorter {
	struct sort_item *items;
	size_t nr, alloc;
};

static int compare(const void *a, const void *b, void *arg)
{
	const struct sort_item *x = a;
	const struct sort_item *y = b;
	const struct tree *t = arg;
	const char *x_name, *y_name;
	size_t x_len, y_len;
	int order;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	x_name = tree_name(t, x->node, &x_len);
	y_name = tree_name(t, y->node, &y_len);
	order = memcmp(x_name, y_name, x_len < y_len ? x_len : y_len);
	return order ? order : (x_len > y_len) - (x_len < y_len);
}

static uint64_t name_prefix(const struct tree *t, tree_node node)
{
	size_t len;
	const unsigned char *name = (const unsigned char *)tree_name(t, node, &len);
	uint64_t prefix = 0;

	for (size_t i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < len ? name[i] : 0);
	return prefix;
}

static int push(struct sorter *s, const struct tree *t, tree_node node, struct error *err)
{
	if (ARRAY_GROW(s->items, s->nr + 1, s->alloc, "sorting of a directory", err) < 0)
		return -1;
	s->items[s->nr++] = (struct sort_item){name_prefix(t, node), node};
	return 0;
}

static void relink(struct tree *t, struct inode *dir, const struct sorter *s)
{
	tree_node prev = TREE_NONE;

	for (size_t i = 0; i < s->nr; i++) {
		struct node *n = tree_node_at(t, s->items[i].node);

		n->prev = prev;
		n->next = i + 1 < s->nr ? s->items[i + 1].node : TREE_NONE;
		prev = s->items[i].node;
	}
	dir->content = s->items[0].node;
}

static int sort_children(struct tree *t, struct inode *dir, struct sorter *s, struct error *err)
{
	bool sorted = true;

	s->nr = 0;
	for (tree_node i = dir->content; i != TREE_NONE; i = tree_node_at(t, i)->next) {
		if (push(s, t, i, err))
			return -1;
		if (s->nr > 1 && sorted)
			sorted = compare(&s->items[s->nr - 2], &s->items[s->nr - 1], t) < 0;
	}
	if (sorted)
		return 0;
	qsort_r(s->items, s->nr, sizeof(*s->items), compare, t);
	relink(t, dir, s);
	return 0;
}

static int sort_all(struct tree *t, struct error *err)
{
	struct sorter s = {NULL, 0, 0};
	int status = 0;

	for (uint32_t i = 0; i < t->inodes.nr && !status; i++) {
		struct inode *inode = tree_inode_at(t, i);

		if (inode->nlink && S_ISDIR(inode->mode) && inode->content != TREE_NONE)
			status = sort_children(t, inode, &s, err);
	}
	free(s.items);
	return status;
}

/* The node behind `node` in the walk, TREE_NONE at its end. */
static tree_node walk_next(const struct tree *t, tree_node node)
{
	tree_node child = tree_first_child(t, node);

	if (child != TREE_NONE)
		return child;
	while (node != TREE_ROOT) {
		const struct node *n = tree_node_at(t, node);

		if (n->next != TREE_NONE)
			return n->next;
		node = n->parent;
	}
	return TREE_NONE;
}

static void number_all(struct tree *t)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i < t->inodes.nr; i++)
		tree_inode_at(t, i)->number = TREE_NONE;
	for (tree_node i = TREE_ROOT; i != TREE_NONE; i = walk_next(t, i)) {
		struct inode *inode = tree_node_inode(t, i);

		if (inode->number == TREE_NONE)
			inode->number = number++;
	}
}

static void clamp_times(struct tree *t, int64_t epoch)
{
	if (epoch == INT64_MAX)
		return;
	for (uint32_t i = 0; i < t->inodes.nr; i++) {
		struct inode *inode = tree_inode_at(t, i);

		if (inode->mtime >= epoch) {
			inode->mtime = epoch;
			inode->mtime_ns = 0;
		}
	}
}

int tree_finish(struct tree *t, int64_t epoch, struct error *err)
{
	if (sort_all(t, err))
		return -1;
	number_all(t);
	clamp_times(t, epoch);
	return t->spool ? spool_flush(t->spool, err) : 0;
}
