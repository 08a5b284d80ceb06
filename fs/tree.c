/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: nodes, inodes, and the layer rule. A node and its name are taken out of the hash table
 * and the list of siblings together; an inode goes when its last node does. Contents, extended
 * attributes, paths and the final order are in the other tree_*.c.
 */
#include "fs/tree.h"

#include <assert.h>
#include <string.h>

#include "fs/tree_internal.h"

static int new_inode(struct tree *t, uint32_t *out, struct error *err)
{
	uint32_t i = t->free_inode;
	struct inode *inode;

	if (i != TREE_NONE) {
		t->free_inode = tree_inode_at(t, i)->content;
	} else {
		i = t->inodes.nr;
		if (chunk_array_extend(&t->inodes, 1, sizeof(struct inode), err))
			return -1;
	}
	inode = tree_inode_at(t, i);
	memset(inode, 0, sizeof(*inode));
	inode->content = TREE_NONE;
	inode->number = i;
	t->nr_inodes++;
	*out = i;
	return 0;
}

/* Frees slot i, which no node leads to. */
static void free_inode(struct tree *t, uint32_t i)
{
	struct inode *inode = tree_inode_at(t, i);

	tree_content_drop(t, inode);
	tree_xattrs_drop(t, inode);
	inode->nlink = 0;
	inode->content = t->free_inode;
	t->free_inode = i;
	t->nr_inodes--;
}

static void unref_inode(struct tree *t, uint32_t i)
{
	if (!--tree_inode_at(t, i)->nlink)
		free_inode(t, i);
}

static int new_node(struct tree *t, tree_node *out, struct error *err)
{
	tree_node i = t->free_node;

	if (i != TREE_NONE) {
		t->free_node = tree_node_at(t, i)->next;
	} else {
		i = t->nodes.nr;
		if (chunk_array_extend(&t->nodes, 1, sizeof(struct node), err))
			return -1;
		tree_node_at(t, i)->inode = TREE_NONE;
	}
	*out = i;
	return 0;
}

static void free_node(struct tree *t, tree_node i)
{
	struct node *n = tree_node_at(t, i);

	n->inode = TREE_NONE;
	n->next = t->free_node;
	t->free_node = i;
}

static int add_root(struct tree *t, struct error *err)
{
	struct node *n;
	struct inode *inode;
	tree_node node;
	uint32_t slot;

	if (arena_add(&t->arena, "", 0, &slot, err) || new_node(t, &node, err))
		return -1;
	n = tree_node_at(t, node);
	*n = (struct node){.name = slot, .chain = TREE_NONE, .parent = TREE_ROOT,
		.next = TREE_NONE, .prev = TREE_NONE, .inode = TREE_NONE};
	if (new_inode(t, &n->inode, err))
		return -1;
	inode = tree_inode_at(t, n->inode);
	inode->mode = S_IFDIR | 0755;
	inode->nlink = 1;
	t->nr_nodes = 1;
	return 0;
}

struct tree *tree_new(const char *spool_dir, struct error *err)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t) {
		error_nomem(err, "file tree");
		return NULL;
	}
	t->free_node = t->free_inode = TREE_NONE;
	/* An address that nobody can know: names cannot be made to collide on purpose. */
	t->seed = (uint64_t)(uintptr_t)t * UINT64_C(0xff51afd7ed558ccd);
	if (spool_dir) {
		t->spool_dir = strdup(spool_dir);
		if (!t->spool_dir) {
			error_nomem(err, "file tree");
			goto fail;
		}
	}
	if (add_root(t, err) || tree_names_reserve(t, err))
		goto fail;
	return t;
fail:
	tree_free(t);
	return NULL;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	tree_content_release(t);
	tree_xattrs_release(t);
	chunk_array_release(&t->nodes);
	chunk_array_release(&t->inodes);
	chunk_array_release(&t->pieces);
	arena_release(&t->arena);
	free(t->buckets);
	free(t->spool_dir);
	free(t);
}

static int check_name(const char *name, size_t len, struct error *err)
{
	int shown = len < 80 ? (int)len : 80;

	if (!len)
		return error_set(err, ERROR_INPUT, 0, "a file's name is empty");
	if (len > TREE_NAME_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"file name '%.*s...' has %zu bytes; %d is the most", shown, name, len,
			TREE_NAME_MAX);
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return error_set(err, ERROR_INPUT, 0, "file name '%.*s' has a '/' or a NUL inside",
			shown, name);
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return error_set(
			err, ERROR_INPUT, 0, "'%.*s' cannot be a file's name", shown, name);
	return 0;
}

static int check_attr(const char *name, size_t len, const struct tree_attr *attr, struct error *err)
{
	uint32_t type = attr->mode & S_IFMT;
	size_t target;

	if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK && type != S_IFCHR &&
		type != S_IFBLK && type != S_IFIFO)
		return error_set(err, ERROR_INPUT, 0,
			"'%.*s' is of a type that cannot be packed (mode %#o)", (int)len, name,
			attr->mode);
	if (attr->mtime_ns > 999999999)
		return error_set(err, ERROR_INPUT, 0, "time of '%.*s' has %u nanoseconds", (int)len,
			name, attr->mtime_ns);
	if (type != S_IFLNK)
		return 0;
	target = attr->target ? strnlen(attr->target, TREE_SYMLINK_MAX + 1) : 0;
	if (target < 1 || target > TREE_SYMLINK_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"target of symbolic link '%.*s' is %s", (int)len, name,
			target ? "over 4095 bytes long" : "empty");
	return 0;
}

/* All of attr but what depends on the type. */
static void set_common(struct inode *inode, const struct tree_attr *attr)
{
	inode->mode = (uint16_t)((attr->mode & S_IFMT) | (attr->mode & 07777));
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->mtime = attr->mtime;
	inode->mtime_ns = attr->mtime_ns;
}

static int set_attr(struct tree *t, struct inode *inode, const struct tree_attr *attr,
	struct error *err)
{
	uint32_t type = attr->mode & S_IFMT;

	set_common(inode, attr);
	if (type == S_IFLNK) {
		inode->size = strlen(attr->target);
		return arena_add(&t->arena, attr->target, inode->size, &inode->content, err);
	}
	if (type == S_IFREG)
		inode->size = attr->size;
	else if (type == S_IFCHR || type == S_IFBLK)
		inode->size = (uint64_t)attr->rdev_major << 32 | attr->rdev_minor;
	return 0;
}

/* Makes a node for an inode and ties it into directory, table and counts. */
static int tie_node(struct tree *t, tree_node dir, const char *name, size_t len, uint32_t hash,
	uint32_t inode, tree_node *out, struct error *err)
{
	struct inode *parent;
	struct node *n;
	uint32_t pos;
	tree_node i;

	if (tree_names_reserve(t, err) || arena_add(&t->arena, name, len, &pos, err) ||
		new_node(t, &i, err))
		return -1;
	parent = tree_node_inode(t, dir);
	n = tree_node_at(t, i);
	*n = (struct node){.name = pos, .hash = hash, .parent = dir, .next = parent->content,
		.prev = TREE_NONE, .inode = inode};
	if (n->next != TREE_NONE)
		tree_node_at(t, n->next)->prev = i;
	parent->content = i;
	tree_names_insert(t, i);
	tree_inode_at(t, inode)->nlink++;
	t->nr_nodes++;
	*out = i;
	return 0;
}

static void untie_node(struct tree *t, tree_node i)
{
	struct node *n = tree_node_at(t, i);

	if (n->next != TREE_NONE)
		tree_node_at(t, n->next)->prev = n->prev;
	if (n->prev != TREE_NONE)
		tree_node_at(t, n->prev)->next = n->next;
	else
		tree_node_inode(t, n->parent)->content = n->next;
	tree_names_remove(t, i);
	unref_inode(t, n->inode);
	t->nr_nodes--;
	free_node(t, i);
}

static bool is_dir(const struct inode *inode)
{
	return S_ISDIR(inode->mode);
}

int tree_add(struct tree *t, tree_node dir, const char *name, size_t name_len,
	const struct tree_attr *attr, tree_node *out, struct error *err)
{
	uint32_t hash, slot;
	tree_node old;

	assert(is_dir(tree_node_inode(t, dir)));
	if (check_name(name, name_len, err) || check_attr(name, name_len, attr, err))
		return -1;
	hash = tree_names_hash(t, dir, name, name_len);
	old = tree_names_find(t, dir, name, name_len, hash);
	if (old != TREE_NONE && S_ISDIR(attr->mode) && is_dir(tree_node_inode(t, old))) {
		set_common(tree_node_inode(t, old), attr);
		tree_clear_xattrs(t, old);
		*out = old;
		return 0;
	}
	/* name and attr may point into the tree itself, but the arena outlives nodes. */
	if (old != TREE_NONE)
		tree_remove(t, old);
	if (new_inode(t, &slot, err))
		return -1;
	if (set_attr(t, tree_inode_at(t, slot), attr, err) ||
		tie_node(t, dir, name, name_len, hash, slot, out, err)) {
		free_inode(t, slot);
		return -1;
	}
	return 0;
}

int tree_link(struct tree *t, tree_node dir, const char *name, size_t name_len, tree_node target,
	tree_node *out, struct error *err)
{
	uint32_t slot = tree_node_at(t, target)->inode;
	uint32_t hash;
	tree_node old;
	int status;

	assert(is_dir(tree_node_inode(t, dir)));
	if (check_name(name, name_len, err))
		return -1;
	if (is_dir(tree_inode_at(t, slot)))
		return error_set(err, ERROR_INPUT, 0, "'%.*s' is a hard link to a directory",
			(int)name_len, name);
	hash = tree_names_hash(t, dir, name, name_len);
	old = tree_names_find(t, dir, name, name_len, hash);
	if (old != TREE_NONE && tree_node_at(t, old)->inode == slot) {
		*out = old;
		return 0;
	}
	/* What the link replaces may be the directory that its target is in. */
	tree_inode_at(t, slot)->nlink++;
	if (old != TREE_NONE)
		tree_remove(t, old);
	status = tie_node(t, dir, name, name_len, hash, slot, out, err);
	unref_inode(t, slot);
	return status;
}

void tree_remove(struct tree *t, tree_node node)
{
	tree_node i = node;

	assert(node != TREE_ROOT);
	/* Leaves first, without recursion: the depth is the input's choice. */
	for (;;) {
		const struct node *n = tree_node_at(t, i);
		const struct inode *inode = tree_inode_at(t, n->inode);
		tree_node parent = n->parent;

		if (is_dir(inode) && inode->content != TREE_NONE) {
			i = inode->content;
			continue;
		}
		untie_node(t, i);
		if (i == node)
			return;
		i = parent;
	}
}

void tree_chmod(struct tree *t, tree_node node, uint32_t permissions)
{
	struct inode *inode = tree_node_inode(t, node);

	inode->mode = (uint16_t)((inode->mode & S_IFMT) | (permissions & 07777));
}

void tree_chown(struct tree *t, tree_node node, uint32_t uid, uint32_t gid)
{
	struct inode *inode = tree_node_inode(t, node);

	inode->uid = uid;
	inode->gid = gid;
}

void tree_set_mtime(struct tree *t, tree_node node, int64_t mtime, uint32_t ns)
{
	struct inode *inode = tree_node_inode(t, node);

	assert(ns <= 999999999);
	inode->mtime = mtime;
	inode->mtime_ns = ns;
}

void tree_set_mount_point(struct tree *t, tree_node node)
{
	struct inode *inode = tree_node_inode(t, node);

	assert(is_dir(inode));
	inode->flags |= INODE_MOUNT_POINT;
}

tree_node tree_child(const struct tree *t, tree_node dir, const char *name, size_t name_len)
{
	return tree_names_find(t, dir, name, name_len, tree_names_hash(t, dir, name, name_len));
}

void tree_get(const struct tree *t, tree_node node, struct tree_attr *attr)
{
	const struct inode *inode = tree_node_inode(t, node);
	size_t len;

	*attr = (struct tree_attr){.mode = inode->mode, .uid = inode->uid, .gid = inode->gid,
		.mtime = inode->mtime, .mtime_ns = inode->mtime_ns, .nlink = inode->nlink,
		.inode = inode->number, .mount_point = inode->flags & INODE_MOUNT_POINT};
	if (S_ISREG(inode->mode) || S_ISLNK(inode->mode))
		attr->size = inode->size;
	if (S_ISLNK(inode->mode))
		attr->target = arena_text(&t->arena, inode->content, &len);
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		attr->rdev_major = (uint32_t)(inode->size >> 32);
		attr->rdev_minor = (uint32_t)inode->size;
	}
}

const char *tree_name(const struct tree *t, tree_node node, size_t *len)
{
	return arena_text(&t->arena, tree_node_at(t, node)->name, len);
}

tree_node tree_parent(const struct tree *t, tree_node node)
{
	return tree_node_at(t, node)->parent;
}

tree_node tree_first_child(const struct tree *t, tree_node dir)
{
	const struct inode *inode = tree_node_inode(t, dir);

	return is_dir(inode) ? inode->content : TREE_NONE;
}

tree_node tree_next_sibling(const struct tree *t, tree_node node)
{
	return tree_node_at(t, node)->next;
}

uint32_t tree_nr_inodes(const struct tree *t)
{
	return t->nr_inodes;
}

uint32_t tree_nr_nodes(const struct tree *t)
{
	return t->nr_nodes;
}
