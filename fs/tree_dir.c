/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan of a folder. Folders wait on a stack of our own, one is open at a time, and each entry
 * is looked at below its folder's descriptor without following links; so neither depth nor long
 * paths nor somebody who swaps a folder for a link matter. Whatever would stop the packing later
 * (a socket, a file that we may not read) is found here.
 */
#include "fs/tree_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/num.h"
#include "fs/tree_dir_internal.h"

/*
 * The kernel's limit of a value, and of a list of names; and what nearly always is enough: the
 * kernel clears a buffer of the size that it is offered.
 */
enum { XATTR_BYTES = 65536, XATTR_SMALL = 1024 };

/* A file with several links, by device and inode. */
struct link_slot {
	dev_t dev;
	ino_t ino;
	tree_node node; /* TREE_NONE: free slot */
};

/* Open addressing, a power of two of slots, at most half full. */
struct link_table {
	struct link_slot *slots;
	size_t nr, size;
};

struct pending_dir {
	uint32_t dir; /* in the source */
	tree_node node;
};

/* A folder where the tree has a symbolic link to a directory. */
struct linked_dir {
	char *path; /* in the tree; owned */
	uint32_t dir;
	struct tree_attr attr;
};

struct scan {
	struct tree *t;
	struct dir_source *s;
	bool root_owner;
	struct link_table links;
	struct pending_dir *stack;
	size_t nr_stack, alloc_stack;
	struct linked_dir *linked;
	size_t nr_linked, alloc_linked;
	struct pending_dir at; /* the folder that is open */
	int fd;
	char names[XATTR_BYTES], value[XATTR_BYTES];
};

static int entry_error(const struct scan *sc, const char *name, int errnum, const char *what,
	struct error *err)
{
	char text[DIR_SOURCE_PATH_TEXT];

	return error_set(err, ERROR_IO, errnum, "cannot %s '%s'", what,
		dir_source_text(sc->s, sc->at.dir, name, text));
}

static struct link_slot *find_link(const struct link_table *l, dev_t dev, ino_t ino)
{
	uint64_t hash = ((uint64_t)ino ^ (uint64_t)dev << 40) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(hash >> 32) & (l->size - 1);

	while (l->slots[i].node != TREE_NONE && (l->slots[i].ino != ino || l->slots[i].dev != dev))
		i = (i + 1) & (l->size - 1);
	return &l->slots[i];
}

static int grow_links(struct link_table *l, struct error *err)
{
	struct link_table grown = {.nr = l->nr, .size = l->size ? 2 * l->size : 256};

	if (2 * l->nr < l->size)
		return 0;
	grown.slots = malloc(grown.size * sizeof(*grown.slots));
	if (!grown.slots)
		return error_nomem(err, "hard links");
	for (size_t i = 0; i < grown.size; i++)
		grown.slots[i].node = TREE_NONE;
	for (size_t i = 0; i < l->size; i++)
		if (l->slots[i].node != TREE_NONE)
			*find_link(&grown, l->slots[i].dev, l->slots[i].ino) = l->slots[i];
	free(l->slots);
	*l = grown;
	return 0;
}

static void forget_links(struct link_table *l)
{
	for (size_t i = 0; i < l->size; i++)
		l->slots[i].node = TREE_NONE;
	l->nr = 0;
}

static int push_dir(struct scan *sc, uint32_t dir, tree_node node, struct error *err)
{
	if (sc->nr_stack == sc->alloc_stack) {
		size_t want = sc->alloc_stack ? 2 * sc->alloc_stack : 64;
		struct pending_dir *grown = realloc(sc->stack, want * sizeof(*grown));

		if (!grown)
			return error_nomem(err, "list of folders");
		sc->stack = grown;
		sc->alloc_stack = want;
	}
	sc->stack[sc->nr_stack++] = (struct pending_dir){dir, node};
	return 0;
}

/*
 * The namespaces that every file system shares; others ("system.nfs4_acl", "btrfs.…") are
 * properties of the one that the folder happens to be on.
 */
static bool portable_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
		!strncmp(name, "security.", 9) || !strcmp(name, "system.posix_acl_access") ||
		!strcmp(name, "system.posix_acl_default");
}

/* Where extended attributes are read from: a descriptor, or a path when fd is -1. */
struct xattr_from {
	int fd;
	const char *path;
};

/* The list of names (attr NULL) or a value. */
static ssize_t read_xattr_sized(const struct xattr_from *from, const char *attr, char *buf,
	size_t size)
{
	if (from->fd >= 0)
		return attr ? fgetxattr(from->fd, attr, buf, size)
			    : flistxattr(from->fd, buf, size);
	return attr ? lgetxattr(from->path, attr, buf, size) : llistxattr(from->path, buf, size);
}

static ssize_t read_xattr(const struct xattr_from *from, const char *attr, char buf[XATTR_BYTES])
{
	ssize_t len = read_xattr_sized(from, attr, buf, XATTR_SMALL);

	if (len < 0 && errno == ERANGE)
		len = read_xattr_sized(from, attr, buf, XATTR_BYTES);
	return len;
}

/* name is for messages. */
static int add_xattrs(struct scan *sc, const char *name, tree_node node,
	const struct xattr_from *from, struct error *err)
{
	ssize_t len = read_xattr(from, NULL, sc->names);
	ssize_t value_len;

	if (len < 0 && errno == ENOTSUP)
		return 0;
	if (len < 0)
		return entry_error(sc, name, errno, "list extended attributes of", err);
	for (const char *at = sc->names; at < sc->names + len; at += strlen(at) + 1) {
		if (!portable_xattr(at))
			continue;
		value_len = read_xattr(from, at, sc->value);
		if (value_len < 0)
			return entry_error(sc, name, errno, "read extended attributes of", err);
		if (tree_set_xattr(sc->t, node, at, sc->value, (size_t)value_len, err))
			return -1;
	}
	return 0;
}

/*
 * Those of what cannot be opened for reading without harm (links, devices, FIFOs) are read by
 * path, for lack of an *at() call on older kernels; the path goes through the open folder's
 * descriptor, so that it is short and cannot be led elsewhere.
 */
static int add_xattrs_by_path(struct scan *sc, const char *name, tree_node node, struct error *err)
{
	char path[sizeof("/proc/self/fd/-2147483648/") + TREE_NAME_MAX];
	struct xattr_from from = {.fd = -1, .path = path};

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", sc->fd, name);
	return add_xattrs(sc, name, node, &from, err);
}

static int add_piece(struct scan *sc, tree_node node, uint32_t id, uint64_t off, uint64_t len,
	struct error *err)
{
	struct tree_piece piece = {.off = off, .len = len, .src = &sc->s->base, .id = id,
		.src_off = off};

	return tree_add_piece(sc->t, node, &piece, err);
}

/* Pieces of a file that has holes. */
static int add_sparse(struct scan *sc, const char *name, tree_node node, uint32_t id, int fd,
	off_t size, struct error *err)
{
	off_t hole = 0;

	while (hole < size) {
		off_t data = lseek(fd, hole, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break; /* a hole to the end */
		if (data < 0)
			return entry_error(sc, name, errno, "find the holes of", err);
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return dir_source_changed(sc->s, sc->at.dir, name, err);
		hole = MIN(hole, size);
		if (data < hole &&
			add_piece(sc, node, id, (uint64_t)data, (uint64_t)(hole - data), err))
			return -1;
	}
	return 0;
}

/*
 * A file is opened by the scan: that tells for certain whether it can be read, and extended
 * attributes by descriptor cost half of what they cost by path.
 */
static int add_file(struct scan *sc, const char *name, tree_node node, const struct stat *st,
	struct error *err)
{
	CLEANUP_CLOSE int fd = dir_source_openat(sc->s, sc->fd, name, 0);
	struct xattr_from from = {.fd = fd};
	size_t len;
	uint32_t id;

	if (fd < 0)
		return entry_error(sc, name, errno, "open", err);
	if (add_xattrs(sc, name, node, &from, err))
		return -1;
	if (!st->st_size)
		return 0;
	if (dir_source_add_file(sc->s, sc->at.dir, tree_name(sc->t, node, &len), st, &id, err))
		return -1;
	if (st->st_blocks < (st->st_size + 511) / 512)
		return add_sparse(sc, name, node, id, fd, st->st_size, err);
	return add_piece(sc, node, id, 0, (uint64_t)st->st_size, err);
}

static void fill_attr(const struct scan *sc, const struct stat *st, struct tree_attr *attr)
{
	*attr = (struct tree_attr){.mode = st->st_mode, .uid = sc->root_owner ? 0 : st->st_uid,
		.gid = sc->root_owner ? 0 : st->st_gid, .mtime = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
	if (S_ISREG(st->st_mode))
		attr->size = (uint64_t)st->st_size;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		attr->rdev_major = major(st->st_rdev);
		attr->rdev_minor = minor(st->st_rdev);
	}
}

/*
 * Whether name is now a symbolic link that leads to a directory of the tree; path gets its place.
 */
static int find_dir_link(const struct scan *sc, const char *name, struct buf *path, bool *found,
	struct error *err)
{
	tree_node node = tree_child(sc->t, sc->at.node, name, strlen(name)), dir;

	*found = false;
	if (node == TREE_NONE)
		return 0;
	if (tree_dir_behind_link(sc->t, node, &dir, err))
		return -1;
	*found = dir != TREE_NONE;
	return *found ? tree_path(sc->t, node, path, err) : 0;
}

/*
 * A folder over a link to a directory goes where the link leads. It waits until all else is done,
 * so that the result does not depend on whether "lib" or "usr/lib" of this layer was met first.
 */
static int add_linked_dir(struct scan *sc, const struct tree_attr *attr, uint32_t dir,
	struct buf *path, struct error *err)
{
	if (sc->nr_linked == sc->alloc_linked) {
		size_t want = sc->alloc_linked ? 2 * sc->alloc_linked : 8;
		struct linked_dir *grown = realloc(sc->linked, want * sizeof(*grown));

		if (!grown)
			return error_nomem(err, "list of folders");
		sc->linked = grown;
		sc->alloc_linked = want;
	}
	sc->linked[sc->nr_linked] = (struct linked_dir){.dir = dir, .attr = *attr};
	sc->linked[sc->nr_linked].path = buf_steal(path, err);
	if (!sc->linked[sc->nr_linked].path)
		return -1;
	sc->nr_linked++;
	return 0;
}

static int add_dir(struct scan *sc, const char *name, const struct tree_attr *attr,
	struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);
	tree_node node;
	uint32_t dir;
	size_t len;
	bool linked;

	if (find_dir_link(sc, name, &path, &linked, err))
		return -1;
	if (linked)
		node = tree_child(sc->t, sc->at.node, name, strlen(name));
	else if (tree_add(sc->t, sc->at.node, name, strlen(name), attr, &node, err))
		return -1;
	if (dir_source_add_dir(sc->s, sc->at.dir, tree_name(sc->t, node, &len), &dir, err))
		return -1;
	return linked ? add_linked_dir(sc, attr, dir, &path, err) : push_dir(sc, dir, node, err);
}

/* A new inode, no directory, with all that belongs to it. */
static int add_new(struct scan *sc, const char *name, const struct stat *st, tree_node *node,
	struct error *err)
{
	char target[TREE_SYMLINK_MAX + 1];
	struct tree_attr attr;

	fill_attr(sc, st, &attr);
	if (S_ISLNK(st->st_mode)) {
		ssize_t got = readlinkat(sc->fd, name, target, sizeof(target) - 1);

		if (got < 0)
			return entry_error(sc, name, errno, "read link", err);
		target[got] = '\0';
		attr.target = target;
	}
	if (tree_add(sc->t, sc->at.node, name, strlen(name), &attr, node, err))
		return -1;
	if (S_ISREG(st->st_mode))
		return add_file(sc, name, *node, st, err);
	return add_xattrs_by_path(sc, name, *node, err);
}

static int add_entry(struct scan *sc, const char *name, struct error *err)
{
	char text[DIR_SOURCE_PATH_TEXT];
	struct link_slot *slot;
	struct tree_attr attr;
	struct stat st;
	tree_node node;

	if (fstatat(sc->fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return dir_source_changed(sc->s, sc->at.dir, name, err);
		return entry_error(sc, name, errno, "stat", err);
	}
	if (S_ISSOCK(st.st_mode))
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a socket, which cannot be packed; remove it",
			dir_source_text(sc->s, sc->at.dir, name, text));
	if (S_ISDIR(st.st_mode)) {
		fill_attr(sc, &st, &attr);
		return add_dir(sc, name, &attr, err);
	}
	if (st.st_nlink < 2)
		return add_new(sc, name, &st, &node, err);
	if (grow_links(&sc->links, err))
		return -1;
	slot = find_link(&sc->links, st.st_dev, st.st_ino);
	if (slot->node != TREE_NONE)
		return tree_link(sc->t, sc->at.node, name, strlen(name), slot->node, &node, err);
	if (add_new(sc, name, &st, &node, err))
		return -1;
	*slot = (struct link_slot){st.st_dev, st.st_ino, node};
	sc->links.nr++;
	return 0;
}

static int scan_entries(struct scan *sc, DIR *dir, struct error *err)
{
	const struct dirent *entry;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno ? entry_error(sc, NULL, errno, "read folder", err) : 0;
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
			add_entry(sc, entry->d_name, err))
			return -1;
	}
}

/* A folder's attributes go to the directory that it is laid over. */
static void lay_over(struct tree *t, tree_node node, const struct tree_attr *attr)
{
	tree_chmod(t, node, attr->mode & 07777);
	tree_chown(t, node, attr->uid, attr->gid);
	tree_set_mtime(t, node, attr->mtime, attr->mtime_ns);
	tree_clear_xattrs(t, node);
}

static int add_root(struct scan *sc, struct error *err)
{
	struct tree_attr attr;
	struct stat st;

	if (fstat(sc->fd, &st))
		return entry_error(sc, NULL, errno, "stat", err);
	fill_attr(sc, &st, &attr);
	lay_over(sc->t, sc->at.node, &attr);
	return 0;
}

static int scan_dir(struct scan *sc, struct error *err)
{
	struct xattr_from from;
	DIR *dir;
	int status = 0;

	sc->at = sc->stack[--sc->nr_stack];
	if (dir_source_open_dir(sc->s, sc->at.dir, &sc->fd, err))
		return -1;
	dir = fdopendir(sc->fd);
	if (!dir) {
		close(sc->fd);
		return error_nomem(err, "reading of a folder");
	}
	if (sc->at.dir == DIR_SOURCE_ROOT)
		status = add_root(sc, err);
	from = (struct xattr_from){.fd = sc->fd};
	if (!status)
		status = add_xattrs(sc, NULL, sc->at.node, &from, err);
	if (!status)
		status = scan_entries(sc, dir, err);
	closedir(dir);
	return status;
}

static int scan_stack(struct scan *sc, struct error *err)
{
	while (sc->nr_stack)
		if (scan_dir(sc, err))
			return -1;
	return 0;
}

/* The linked folder whose path is first in byte order: an order of names, not of readdir. */
static struct linked_dir take_linked(struct scan *sc)
{
	struct linked_dir first;
	size_t at = 0;

	for (size_t i = 1; i < sc->nr_linked; i++)
		if (strcmp(sc->linked[i].path, sc->linked[at].path) < 0)
			at = i;
	first = sc->linked[at];
	sc->linked[at] = sc->linked[--sc->nr_linked];
	return first;
}

static int scan_linked(struct scan *sc, struct error *err)
{
	struct linked_dir l = take_linked(sc);
	CLEANUP_FREE char *path = l.path;
	struct tree_attr attr = {.mode = 0};
	const char *name;
	tree_node node, parent;
	size_t len;

	if (tree_lookup(sc->t, path, true, &node, err))
		return -1;
	if (node != TREE_NONE)
		tree_get(sc->t, node, &attr);
	if (S_ISDIR(attr.mode))
		lay_over(sc->t, node, &l.attr);
	else if (tree_make_parents(sc->t, path, &l.attr, &parent, &name, &len, err) ||
		tree_add(sc->t, parent, name, len, &l.attr, &node, err))
		return -1; /* what the link led to has gone meanwhile: the folder is in its place */
	return push_dir(sc, l.dir, node, err);
}

static int scan_all(struct scan *sc, tree_node at, struct error *err)
{
	if (push_dir(sc, DIR_SOURCE_ROOT, at, err) || scan_stack(sc, err))
		return -1;
	while (sc->nr_linked) {
		/* Files that were met before may be replaced now, so nothing is linked to them. */
		forget_links(&sc->links);
		if (scan_linked(sc, err) || scan_stack(sc, err))
			return -1;
	}
	return 0;
}

static void scan_free(struct scan *sc)
{
	for (size_t i = 0; i < sc->nr_linked; i++)
		free(sc->linked[i].path);
	free(sc->linked);
	free(sc->links.slots);
	free(sc->stack);
	free(sc);
}

int tree_dir_add(struct tree *t, tree_node at, const char *path, const struct tree_dir_opts *opts,
	struct error *err)
{
	struct dir_source *s = dir_source_new(path, err);
	struct scan *sc;
	int status;

	if (!s || tree_take_source(t, &s->base, err))
		return -1;
	sc = calloc(1, sizeof(*sc));
	if (!sc)
		return error_nomem(err, "scan of a folder");
	sc->t = t;
	sc->s = s;
	sc->root_owner = opts && opts->root_owner;
	status = scan_all(sc, at, err);
	scan_free(sc);
	return status;
}
