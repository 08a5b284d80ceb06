/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths in a tree. Every path is resolved from the tree's root and cannot leave it: ".." at the
 * root stays, and a symbolic link's target is a path in the tree. Looking up and making parents
 * are one walk that differs in what happens when a component is not there.
 */
#include "fs/tree.h"

#include <string.h>

#include "fs/tree_internal.h"

enum { LINKS_MAX = 40, EXPANDED_MAX = 256 << 10 };

struct walk {
	const struct tree *t;
	struct tree *make;             /* where missing directories are made; NULL: they are not */
	const struct tree_attr *attr;  /* of those directories */
	bool follow_last;
	const char *path;              /* the whole, for messages */
	const char *rest, *end;        /* what is still to do */
	unsigned nr_links;
	struct buf expanded;           /* holds the rest once a link was met */
	tree_node at;
};

/*
 * Takes one component off the rest; its length is 0 at the end. Tells if only slashes are behind
 * it.
 */
static size_t next_component(struct walk *w, const char **name, bool *last)
{
	const char *end;

	while (w->rest < w->end && *w->rest == '/')
		w->rest++;
	*name = w->rest;
	end = memchr(w->rest, '/', (size_t)(w->end - w->rest));
	w->rest = end ? end : w->end;
	*last = true;
	for (const char *p = w->rest; p < w->end && *last; p++)
		*last = *p == '/';
	return (size_t)(w->rest - *name);
}

/*
 * Puts the target of link before the rest. The link's directory is where we are; a target with '/'
 * begins anew.
 */
static int expand_link(struct walk *w, tree_node link, struct error *err)
{
	struct buf next = BUF_INIT(EXPANDED_MAX);
	struct tree_attr attr;

	if (++w->nr_links > LINKS_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%s': more than %d symbolic links (is it a loop?)", w->path, LINKS_MAX);
	tree_get(w->t, link, &attr);
	if (attr.target[0] == '/')
		w->at = TREE_ROOT;
	if (buf_add(&next, attr.target, attr.size, err) || buf_add_char(&next, '/', err) ||
		buf_add(&next, w->rest, (size_t)(w->end - w->rest), err)) {
		buf_release(&next);
		return -1;
	}
	buf_release(&w->expanded);
	w->expanded = next;
	w->rest = w->expanded.data;
	w->end = w->expanded.data + w->expanded.len;
	return 0;
}

/* One step down from a directory. *gone: it ends here, nothing is there. */
static int step(struct walk *w, const char *name, size_t len, bool last, bool *gone,
	struct error *err)
{
	const struct inode *inode;
	tree_node child;

	if (len > TREE_NAME_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%.100s...': a name in it is over %d bytes long", w->path, TREE_NAME_MAX);
	child = tree_child(w->t, w->at, name, len);
	if (child == TREE_NONE && w->make)
		return tree_add(w->make, w->at, name, len, w->attr, &w->at, err);
	if (child == TREE_NONE) {
		*gone = true;
		return 0;
	}
	inode = tree_node_inode(w->t, child);
	if (S_ISLNK(inode->mode) && (!last || w->follow_last))
		return expand_link(w, child, err);
	if (w->make && !S_ISDIR(inode->mode))
		return error_set(err, ERROR_INPUT, 0, "'%s': '%.*s' is not a directory", w->path,
			(int)len, name);
	w->at = child;
	return 0;
}

static int walk(struct walk *w, tree_node *out, struct error *err)
{
	bool gone = false;

	while (!gone) {
		const char *name;
		bool last;
		size_t len = next_component(w, &name, &last);

		if (!len)
			break;
		if (!S_ISDIR(tree_node_inode(w->t, w->at)->mode)) {
			gone = true; /* a file is no directory to look into */
		} else if (len == 2 && !memcmp(name, "..", 2)) {
			w->at = tree_parent(w->t, w->at);
		} else if (len != 1 || *name != '.') {
			if (step(w, name, len, last, &gone, err))
				return -1;
		}
	}
	*out = gone ? TREE_NONE : w->at;
	return 0;
}

static int run_walk(struct walk *w, size_t len, tree_node *out, struct error *err)
{
	int status;

	if (len >= TREE_PATH_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"path '%.100s...' has %zu bytes; %d is the most", w->path, len,
			TREE_PATH_MAX - 1);
	w->at = TREE_ROOT;
	w->rest = w->path;
	w->end = w->path + len;
	status = walk(w, out, err);
	buf_release(&w->expanded);
	return status;
}

int tree_lookup(const struct tree *t, const char *path, bool follow_last, tree_node *out,
	struct error *err)
{
	struct walk w = {.t = t, .path = path, .follow_last = follow_last};

	return run_walk(&w, strlen(path), out, err);
}

int tree_dir_behind_link(const struct tree *t, tree_node node, tree_node *dir, struct error *err)
{
	struct walk w = {.t = t, .follow_last = true, .rest = "", .at = tree_parent(t, node)};
	struct error loop = ERROR_INIT;
	size_t len;
	int status;

	*dir = TREE_NONE;
	if (!S_ISLNK(tree_node_inode(t, node)->mode))
		return 0;
	w.path = tree_name(t, node, &len);
	w.end = w.rest;
	status = expand_link(&w, node, &loop);
	if (status == 0)
		status = walk(&w, dir, &loop);
	buf_release(&w.expanded);
	if (status < 0 && loop.kind != ERROR_INPUT) {
		if (err)
			*err = loop;
		return -1;
	}
	/* A link that goes in circles leads nowhere. */
	if (status < 0 || (*dir != TREE_NONE && !S_ISDIR(tree_node_inode(t, *dir)->mode)))
		*dir = TREE_NONE;
	return 0;
}

/* The last component of path. */
static size_t last_component(const char *path, const char **name)
{
	const char *end = path + strlen(path);
	const char *start;

	while (end > path && end[-1] == '/')
		end--;
	for (start = end; start > path && start[-1] != '/';)
		start--;
	*name = start;
	return (size_t)(end - start);
}

int tree_make_parents(struct tree *t, const char *path, const struct tree_attr *attr,
	tree_node *dir, const char **name, size_t *name_len, struct error *err)
{
	struct tree_attr made = *attr;
	struct walk w = {.t = t, .make = t, .attr = &made, .path = path, .follow_last = true};
	size_t len = last_component(path, name);

	made.mode = (made.mode & 07777) | S_IFDIR;
	if (!len || (len == 1 && **name == '.') || (len == 2 && !memcmp(*name, "..", 2)))
		return error_set(err, ERROR_INPUT, 0, "'%s' does not end in a file's name", path);
	if (len > TREE_NAME_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%.100s...': its last name is over %d bytes long", path, TREE_NAME_MAX);
	*name_len = len;
	return run_walk(&w, (size_t)(*name - path), dir, err);
}

int tree_path(const struct tree *t, tree_node node, struct buf *out, struct error *err)
{
	size_t total = 0;
	char *to;

	if (node == TREE_ROOT)
		return buf_add_char(out, '/', err);
	for (tree_node i = node; i != TREE_ROOT; i = tree_parent(t, i)) {
		size_t len;

		tree_name(t, i, &len);
		total += len + 1;
	}
	to = buf_extend(out, total, err);
	if (!to)
		return -1;
	to += total;
	for (tree_node i = node; i != TREE_ROOT; i = tree_parent(t, i)) {
		size_t len;
		const char *name = tree_name(t, i, &len);

		to -= len;
		memcpy(to, name, len);
		*--to = '/';
	}
	return 0;
}
