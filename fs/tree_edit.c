/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a tree by path. Patterns are matched component by component; what matches is collected
 * first, so that a pattern which matches nothing changes nothing, and a removal cannot disturb the
 * matching.
 */
#include "fs/tree_edit.h"

#include <fnmatch.h>
#include <string.h>

#include "base/array.h"
#include "fs/tree_internal.h"

static struct tree_attr attr_of(uint32_t mode, struct tree_edit_owner owner, int64_t epoch)
{
	return (struct tree_attr){.mode = mode, .uid = owner.uid, .gid = owner.gid, .mtime = epoch};
}

/*
 * Adds attr at path, making parents. A directory that holds something is not replaced by anything
 * else.
 */
static int add_at(struct tree *t, const char *path, const struct tree_attr *attr, tree_node *out,
	struct error *err)
{
	struct tree_attr parents =
		attr_of(S_IFDIR | 0755, (struct tree_edit_owner){0, 0}, attr->mtime);
	const char *name;
	size_t len;
	tree_node dir, old;

	if (tree_make_parents(t, path, &parents, &dir, &name, &len, err))
		return -1;
	old = tree_child(t, dir, name, len);
	if (old != TREE_NONE && !S_ISDIR(attr->mode) && tree_first_child(t, old) != TREE_NONE)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a directory that is not empty; remove it first", path);
	return tree_add(t, dir, name, len, attr, out, err);
}

int tree_edit_write(struct tree *t, const char *path, const void *data, size_t len, uint32_t mode,
	struct tree_edit_owner owner, int64_t epoch, struct error *err)
{
	struct tree_attr attr = attr_of(S_IFREG | (mode & 07777), owner, epoch);
	struct tree_piece piece = {.len = len};
	struct spool *spool;
	tree_node node;

	attr.size = len;
	spool = tree_spool(t, err);
	if (!spool || spool_append(spool, data, len, &piece.src_off, err) ||
		add_at(t, path, &attr, &node, err))
		return -1;
	piece.src = spool_source(spool);
	return tree_add_piece(t, node, &piece, err);
}

int tree_edit_mkdir(struct tree *t, const char *path, uint32_t mode, struct tree_edit_owner owner,
	int64_t epoch, struct error *err)
{
	struct tree_attr attr = attr_of(S_IFDIR | (mode & 07777), owner, epoch);
	struct tree_attr old;
	tree_node node;

	if (tree_lookup(t, path, true, &node, err))
		return -1;
	if (node != TREE_NONE) {
		tree_get(t, node, &old);
		if (S_ISDIR(old.mode)) {
			tree_chmod(t, node, mode);
			tree_chown(t, node, owner.uid, owner.gid);
			return 0;
		}
	}
	return add_at(t, path, &attr, &node, err);
}

int tree_edit_symlink(struct tree *t, const char *path, const char *target,
	struct tree_edit_owner owner, int64_t epoch, struct error *err)
{
	struct tree_attr attr = attr_of(S_IFLNK | 0777, owner, epoch);
	tree_node node;

	attr.target = target;
	return add_at(t, path, &attr, &node, err);
}

/* What a pattern matches; the nodes that the components so far lead to. */
struct matches {
	tree_node *nodes;
	size_t nr, alloc;
};

static int add_match(struct matches *m, tree_node node, struct error *err)
{
	if (ARRAY_GROW(m->nodes, m->nr + 1, m->alloc, "matches of a pattern", err) < 0)
		return -1;
	m->nodes[m->nr++] = node;
	return 0;
}

/* Follows a symbolic link inside the tree; TREE_NONE when it leads nowhere. */
static int resolve(const struct tree *t, tree_node *node, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);
	struct tree_attr attr;

	tree_get(t, *node, &attr);
	if (!S_ISLNK(attr.mode))
		return 0;
	if (tree_path(t, *node, &path, err))
		return -1;
	return tree_lookup(t, buf_str(&path), true, node, err);
}

/* Children of dir that one component matches. */
static int match_children(const struct tree *t, tree_node dir, const char *component,
	struct matches *out, struct error *err)
{
	size_t len = strlen(component);
	tree_node child;

	if (!strpbrk(component, "*?[")) {
		child = tree_child(t, dir, component, len);
		return child == TREE_NONE ? 0 : add_match(out, child, err);
	}
	for (child = tree_first_child(t, dir); child != TREE_NONE;
		child = tree_next_sibling(t, child)) {
		const char *name = tree_name(t, child, &len); /* ends in a NUL */

		if (!fnmatch(component, name, FNM_NOESCAPE) && add_match(out, child, err))
			return -1;
	}
	return 0;
}

/* One component: what is below (or is) the nodes of `from`. */
static int match_step(const struct tree *t, const struct matches *from, const char *component,
	struct matches *to, struct error *err)
{
	for (size_t i = 0; i < from->nr; i++) {
		tree_node node = from->nodes[i];
		int status = 0;

		if (resolve(t, &node, err))
			return -1;
		if (node == TREE_NONE)
			continue;
		if (!strcmp(component, "."))
			status = add_match(to, node, err);
		else if (!strcmp(component, ".."))
			status = add_match(to, tree_parent(t, node), err);
		else
			status = match_children(t, node, component, to, err);
		if (status)
			return -1;
	}
	return 0;
}

static int compare_nodes(const void *a, const void *b)
{
	const tree_node *x = a;
	const tree_node *y = b;

	return (*x > *y) - (*x < *y);
}

/* Two ways (over links, "..") may lead to one node. */
static void make_unique(struct matches *m)
{
	size_t kept = 0;

	if (m->nr)
		qsort(m->nodes, m->nr, sizeof(*m->nodes), compare_nodes);
	for (size_t i = 0; i < m->nr; i++)
		if (!kept || m->nodes[kept - 1] != m->nodes[i])
			m->nodes[kept++] = m->nodes[i];
	m->nr = kept;
}

/* All nodes that pattern matches; links in all components but the last are followed. */
static int match(const struct tree *t, const char *pattern, struct matches *out, struct error *err)
{
	struct matches from = {NULL, 0, 0};
	char component[TREE_NAME_MAX * 4 + 1];
	int status = add_match(&from, TREE_ROOT, err);

	while (!status) {
		struct matches to = {NULL, 0, 0};
		size_t len;

		pattern += strspn(pattern, "/");
		len = strcspn(pattern, "/");
		if (!len)
			break;
		if (len >= sizeof(component)) {
			status = error_set(
				err, ERROR_INPUT, 0, "'%.80s...' is too long for a name", pattern);
			break;
		}
		memcpy(component, pattern, len);
		component[len] = '\0';
		pattern += len;
		status = match_step(t, &from, component, &to, err);
		make_unique(&to);
		free(from.nodes);
		from = to;
	}
	*out = from;
	return status;
}

/* As match(), with nothing found as an error. */
static int match_some(const struct tree *t, const char *pattern, struct matches *out,
	struct error *err)
{
	if (match(t, pattern, out, err))
		return -1;
	if (!out->nr)
		return error_set(err, ERROR_INPUT, 0, "'%s' matches nothing in the tree", pattern);
	return 0;
}

static unsigned depth_of(const struct tree *t, tree_node node)
{
	unsigned depth = 0;

	for (; node != TREE_ROOT; node = tree_parent(t, node))
		depth++;
	return depth;
}

static int compare_depth(const void *a, const void *b, void *arg)
{
	unsigned x = depth_of(arg, *(const tree_node *)a);
	unsigned y = depth_of(arg, *(const tree_node *)b);

	return (y > x) - (y < x);
}

static int remove_all(struct tree *t, const char *pattern, struct matches *m, struct error *err)
{
	for (size_t i = 0; i < m->nr; i++)
		if (m->nodes[i] == TREE_ROOT)
			return error_set(err, ERROR_INPUT, 0,
				"'%s' matches the root of the tree, which cannot be removed",
				pattern);
	/* Deepest first: a match may lie below another one. */
	qsort_r(m->nodes, m->nr, sizeof(*m->nodes), compare_depth, t);
	for (size_t i = 0; i < m->nr; i++)
		tree_remove(t, m->nodes[i]);
	return 0;
}

int tree_edit_remove(struct tree *t, const char *pattern, bool missing_ok, struct error *err)
{
	struct matches m = {NULL, 0, 0};
	int status = missing_ok ? match(t, pattern, &m, err) : match_some(t, pattern, &m, err);

	if (!status && m.nr)
		status = remove_all(t, pattern, &m, err);
	free(m.nodes);
	return status;
}

/* What is done to each node. */
struct change {
	bool chown, recursive;
	uint32_t mode;
	struct tree_edit_owner owner;
};

static void change_one(struct tree *t, tree_node node, const struct change *c)
{
	struct tree_attr attr;
	uint32_t mode = c->mode;

	if (c->chown) {
		tree_chown(t, node, c->owner.uid, c->owner.gid);
		return;
	}
	tree_get(t, node, &attr);
	if (S_ISLNK(attr.mode))
		return; /* a link's own mode means nothing */
	if (c->recursive && S_ISDIR(attr.mode))
		mode |= (mode & 0444) >> 2;
	tree_chmod(t, node, mode);
}

static void change_below(struct tree *t, tree_node top, const struct change *c)
{
	tree_node node = top;

	for (;;) {
		tree_node next = tree_first_child(t, node);

		change_one(t, node, c);
		while (next == TREE_NONE && node != top) {
			next = tree_next_sibling(t, node);
			node = tree_parent(t, node);
		}
		if (next == TREE_NONE)
			return;
		node = next;
	}
}

static int change_matches(struct tree *t, const char *pattern, const struct change *c,
	struct error *err)
{
	struct matches m = {NULL, 0, 0};
	int status = match_some(t, pattern, &m, err);

	for (size_t i = 0; i < m.nr && !status; i++) {
		if (c->recursive)
			change_below(t, m.nodes[i], c);
		else
			change_one(t, m.nodes[i], c);
	}
	free(m.nodes);
	return status;
}

/* The single thing that a plain path names is reached through links, as by chmod(1). */
static int chmod_target(const struct tree *t, const char *path, tree_node *node, struct error *err)
{
	if (tree_lookup(t, path, true, node, err))
		return -1;
	if (*node == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0, "'%s' is not in the tree", path);
	return 0;
}

int tree_edit_chmod(struct tree *t, const char *pattern, uint32_t mode, bool recursive,
	struct error *err)
{
	struct change c = {.recursive = recursive, .mode = mode};
	tree_node node;

	if (strpbrk(pattern, "*?["))
		return change_matches(t, pattern, &c, err);
	if (chmod_target(t, pattern, &node, err))
		return -1;
	if (recursive)
		change_below(t, node, &c);
	else
		change_one(t, node, &c);
	return 0;
}

int tree_edit_chown(struct tree *t, const char *pattern, struct tree_edit_owner owner,
	bool recursive, struct error *err)
{
	struct change c = {.chown = true, .recursive = recursive, .owner = owner};

	return change_matches(t, pattern, &c, err);
}
