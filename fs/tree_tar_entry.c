/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of a tar archive into the tree: its name made safe, its attributes, hard links. Names
 * are bytes; what they lead to is decided inside the tree alone.
 */
#include "fs/tree_tar_internal.h"

#include <assert.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/array.h"
#include "fs/tree_internal.h"

/* Directories that the archive does not name. */
static const struct tree_attr implied_dir = {.mode = S_IFDIR | 0755};

static int leave_tree(const struct tar_scan *s, const char *what, const char *raw, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s': %s '%s' of entry '%s' would leave the tree",
		s->name, what, raw, buf_str(&s->last));
}

static int too_long(const struct tar_scan *s, const char *what, const char *raw, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s': %s '%.100s...' of entry '%.100s...' is over %d bytes long", s->name, what, raw,
		buf_str(&s->last), TREE_PATH_MAX - 1);
}

/* Cuts the last component off; false when there is none. */
static bool drop_last(struct buf *path)
{
	const char *slash;

	if (path->len == 0)
		return false;
	slash = memrchr(path->data, '/', path->len);
	buf_truncate(path, slash ? (size_t)(slash - path->data) : 0);
	return true;
}

int tar_make_safe(const struct tar_scan *s, const char *what, const char *raw, struct buf *out,
	struct error *err)
{
	buf_clear(out);
	for (const char *p = raw; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && memcmp(p, "..", 2) == 0) {
			if (!drop_last(out))
				return leave_tree(s, what, raw, err);
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (out->len + 1 + len >= TREE_PATH_MAX)
				return too_long(s, what, raw, err);
			if (out->len > 0 && buf_add_char(out, '/', err) < 0)
				return -1;
			if (buf_add(out, p, len, err) < 0)
				return -1;
		}
		p += len;
		p += strspn(p, "/");
	}
	return 0;
}

/* The directory and the last component of path. */
static int find_parent(struct tar_scan *s, const char *path, tree_node *dir, const char **name,
	struct error *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0, name_len;

	*name = slash ? slash + 1 : path;
	if (s->parent != TREE_NONE && len == s->parent_path.len &&
		memcmp(path, buf_str(&s->parent_path), len) == 0) {
		*dir = s->parent;
		return 0;
	}
	if (tree_make_parents(s->tree, path, &implied_dir, dir, name, &name_len, err) < 0)
		return error_wrap(err, "'%s'", s->name);
	buf_clear(&s->parent_path);
	s->parent = TREE_NONE;
	if (buf_add(&s->parent_path, path, len, err) < 0)
		return -1;
	s->parent = *dir;
	return 0;
}

/*
 * What an entry called name will replace, or TREE_NONE. With it may go the directory that is
 * remembered.
 */
static tree_node find_replaced(struct tar_scan *s, tree_node dir, const char *name)
{
	tree_node old = tree_child(s->tree, dir, name, strlen(name));

	if (old != TREE_NONE)
		s->parent = TREE_NONE;
	return old;
}

static int check_number(const struct tar_scan *s, const char *what, la_int64_t value, uint32_t *out,
	struct error *err)
{
	if (value < 0 || value >= UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s': entry '%s' has %s %lld, which Linux lacks",
			s->name, buf_str(&s->last), what, (long long)value);
	*out = (uint32_t)value;
	return 0;
}

/*
 * libarchive reads the pax time "-1.5" as -1 s and 500000000 ns, while it means half a second
 * before -1. (Between -1 and 0 the sign is lost on its way, and nothing can be done.)
 */
static void fix_negative_time(struct tree_attr *attr)
{
	if (attr->mtime >= 0 || attr->mtime_ns == 0)
		return;
	attr->mtime--;
	attr->mtime_ns = 1000000000 - attr->mtime_ns;
}

static int get_attr(const struct tar_scan *s, struct archive_entry *entry, struct tree_attr *attr,
	struct error *err)
{
	*attr = (struct tree_attr){.mode = (uint32_t)archive_entry_mode(entry)};
	if (!s->opts->root_owner) {
		if (check_number(s, "user id", archive_entry_uid(entry), &attr->uid, err) < 0 ||
			check_number(s, "group id", archive_entry_gid(entry), &attr->gid, err) < 0)
			return -1;
	}
	attr->mtime = archive_entry_mtime(entry);
	attr->mtime_ns = (uint32_t)archive_entry_mtime_nsec(entry);
	fix_negative_time(attr);
	if (S_ISREG(attr->mode))
		attr->size = (uint64_t)archive_entry_size(entry);
	if (S_ISLNK(attr->mode))
		attr->target = archive_entry_symlink(entry);
	attr->rdev_major = (uint32_t)archive_entry_rdevmajor(entry);
	attr->rdev_minor = (uint32_t)archive_entry_rdevminor(entry);
	return 0;
}

/* The entry, a directory, is laid over one that is there. */
static int lay_over(struct tar_scan *s, struct archive_entry *entry, const struct tree_attr *attr,
	tree_node dir, struct error *err)
{
	tree_chmod(s->tree, dir, attr->mode);
	tree_chown(s->tree, dir, attr->uid, attr->gid);
	tree_set_mtime(s->tree, dir, attr->mtime, attr->mtime_ns);
	tree_clear_xattrs(s->tree, dir);
	return tar_add_xattrs(s, entry, dir, err);
}

static int set_root(struct tar_scan *s, struct archive_entry *entry, const struct tree_attr *attr,
	struct error *err)
{
	if (!S_ISDIR(attr->mode))
		return error_set(err, ERROR_INPUT, 0, "'%s': entry '%s' is the root, but no directory",
			s->name, buf_str(&s->last));
	return lay_over(s, entry, attr, TREE_ROOT, err);
}

static int add_file(struct tar_scan *s, struct archive_entry *entry, const struct tree_attr *attr,
	struct error *err)
{
	tree_node dir, node, old, behind = TREE_NONE;
	const char *name;

	if (find_parent(s, buf_str(&s->path), &dir, &name, err) < 0)
		return -1;
	old = find_replaced(s, dir, name);
	if (old != TREE_NONE && S_ISDIR(attr->mode) && !s->layer &&
		tree_dir_behind_link(s->tree, old, &behind, err) < 0)
		return -1;
	if (behind != TREE_NONE)
		return lay_over(s, entry, attr, behind, err);
	if (tree_add(s->tree, dir, name, strlen(name), attr, &node, err) < 0)
		return error_wrap(err, "'%s': entry '%s'", s->name, buf_str(&s->last));
	if (S_ISREG(attr->mode) && tar_add_content(s, entry, node, err) < 0)
		return -1;
	return tar_add_xattrs(s, entry, node, err);
}

/* What the link would replace goes now; whatever is there at the end came later, and wins. */
static int add_pending(struct tar_scan *s, struct error *err)
{
	tree_node old;
	struct tar_pending *p;

	if (tree_lookup(s->tree, buf_str(&s->path), false, &old, err) < 0)
		return -1;
	if (old != TREE_NONE) {
		s->parent = TREE_NONE;
		tree_remove(s->tree, old);
	}
	if (ARRAY_GROW(s->pending, s->nr_pending + 1, s->alloc_pending, "hard links of a tar archive", err) < 0)
		return -1;
	p = &s->pending[s->nr_pending];
	p->name = s->names.len;
	p->target = p->name + s->path.len + 1;
	if (buf_add(&s->names, buf_str(&s->path), s->path.len + 1, err) < 0 ||
		buf_add(&s->names, buf_str(&s->target), s->target.len + 1, err) < 0)
		return -1;
	s->nr_pending++;
	return 0;
}

static int link_to(struct tar_scan *s, const char *path, tree_node target, tree_node *node,
	struct error *err)
{
	const char *name;
	tree_node dir;

	if (find_parent(s, path, &dir, &name, err) < 0)
		return -1;
	find_replaced(s, dir, name);
	if (tree_link(s->tree, dir, name, strlen(name), target, node, err) < 0)
		return error_wrap(err, "'%s': entry '%s'", s->name, path);
	return 0;
}

/* pax archives may repeat the content with each link; it is the newest then. */
static int replace_content(struct tar_scan *s, struct archive_entry *entry, tree_node node,
	struct error *err)
{
	struct tree_attr attr;

	tree_get(s->tree, node, &attr);
	if (!S_ISREG(attr.mode))
		return error_set(err, ERROR_INPUT, 0,
			"'%s': hard link '%s' carries data, but its target is no regular file", s->name,
			buf_str(&s->last));
	if (tree_set_size(s->tree, node, (uint64_t)archive_entry_size(entry), err) < 0)
		return -1;
	return tar_add_content(s, entry, node, err);
}

static int add_link(struct tar_scan *s, struct archive_entry *entry, const struct tree_attr *attr,
	const char *raw_target, struct error *err)
{
	bool carries_data = archive_entry_size(entry) > 0;
	tree_node target, node;

	if (tar_make_safe(s, "link target", raw_target, &s->target, err) < 0)
		return -1;
	if (tree_lookup(s->tree, buf_str(&s->target), false, &target, err) < 0)
		return error_wrap(err, "'%s': link target of entry '%s'", s->name, buf_str(&s->last));
	if (target == TREE_NONE && carries_data) {
		/* Whole in itself: a file of its own is right in all but the link count. */
		struct tree_attr file = *attr;

		file.mode = (attr->mode & 07777) | S_IFREG;
		file.size = (uint64_t)archive_entry_size(entry);
		return add_file(s, entry, &file, err);
	}
	if (target == TREE_NONE)
		return add_pending(s, err);
	if (link_to(s, buf_str(&s->path), target, &node, err) < 0)
		return -1;
	return carries_data ? replace_content(s, entry, node, err) : 0;
}

int tar_add_entry(struct tar_scan *s, struct archive_entry *entry, struct error *err)
{
	const char *raw = archive_entry_pathname(entry), *target = archive_entry_hardlink(entry);
	struct tree_attr attr;

	buf_clear(&s->last);
	if (!raw)
		return error_set(err, ERROR_INPUT, 0, "'%s' has an entry without a name", s->name);
	if (buf_add_str(&s->last, raw, err) < 0 || tar_make_safe(s, "name", raw, &s->path, err) < 0)
		return -1;
	if (archive_entry_size(entry) < 0)
		return error_set(err, ERROR_INPUT, 0, "'%s': entry '%s' has a negative size", s->name, raw);
	if (get_attr(s, entry, &attr, err) < 0)
		return -1;
	if (s->opts->no_devices && (S_ISCHR(attr.mode) || S_ISBLK(attr.mode)))
		return 0;
	if (target && s->path.len > 0)
		return add_link(s, entry, &attr, target, err);
	return s->path.len == 0 ? set_root(s, entry, &attr, err) : add_file(s, entry, &attr, err);
}

/* 1: linked, or no more wanted; 0: its target is not there (yet). */
static int resolve(struct tar_scan *s, const struct tar_pending *p, struct error *err)
{
	const char *path = s->names.data + p->name;
	tree_node node;

	if (tree_lookup(s->tree, path, false, &node, err) < 0)
		return -1;
	if (node != TREE_NONE)
		return 1;
	if (tree_lookup(s->tree, s->names.data + p->target, false, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	return link_to(s, path, node, &node, err) < 0 ? -1 : 1;
}

/*
 * The last of several links of one name wins, so they are taken from the end. Rounds go on while a
 * link that was made may be another one's target.
 */
int tar_resolve_pending(struct tar_scan *s, struct error *err)
{
	while (s->nr_pending > 0) {
		size_t left = 0, nr = s->nr_pending;

		for (size_t i = nr; i-- > 0;) {
			int r = resolve(s, &s->pending[i], err);

			if (r < 0)
				return -1;
			if (r == 0)
				s->pending[nr - ++left] = s->pending[i];
		}
		if (left == nr)
			return error_set(err, ERROR_INPUT, 0,
				"'%s': hard link '%s' leads to '%s', which is not in the archive", s->name,
				s->names.data + s->pending[0].name, s->names.data + s->pending[0].target);
		memmove(s->pending, s->pending + nr - left, left * sizeof(*s->pending));
		s->nr_pending = left;
	}
	return 0;
}
