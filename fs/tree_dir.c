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

#include "base/array.h"
#include "base/num.h"
#include "fs/tree_dir_internal.h"

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
	struct dir_links links;
	struct dir_xattrs xattrs;
	struct pending_dir *stack;
	size_t nr_stack, alloc_stack;
	struct linked_dir *linked;
	size_t nr_linked, alloc_linked;
	struct pending_dir at; /* the folder that is open */
	int fd;
};

static int push_dir(struct scan *sc, uint32_t dir, tree_node node, struct error *err)
{
	if (ARRAY_GROW(sc->stack, sc->nr_stack + 1, sc->alloc_stack, "list of folders", err) < 0)
		return -1;
	sc->stack[sc->nr_stack++] = (struct pending_dir){dir, node};
	return 0;
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
			return dir_source_error(sc->s, sc->at.dir, name, errno, "find the holes of", err);
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
	size_t len;
	uint32_t id;

	if (fd < 0)
		return dir_source_error(sc->s, sc->at.dir, name, errno, "open", err);
	if (dir_xattrs_of_file(&sc->xattrs, sc->at.dir, name, fd, node, err))
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
	if (ARRAY_GROW(sc->linked, sc->nr_linked + 1, sc->alloc_linked, "list of folders", err) < 0)
		return -1;
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
			return dir_source_error(sc->s, sc->at.dir, name, errno, "read link", err);
		target[got] = '\0';
		attr.target = target;
	}
	if (tree_add(sc->t, sc->at.node, name, strlen(name), &attr, node, err))
		return -1;
	if (S_ISREG(st->st_mode))
		return add_file(sc, name, *node, st, err);
	return dir_xattrs_of_name(&sc->xattrs, sc->at.dir, sc->fd, name, *node, err);
}

static int add_entry(struct scan *sc, const char *name, struct error *err)
{
	char text[DIR_SOURCE_PATH_TEXT];
	struct dir_link *slot;
	struct tree_attr attr;
	struct stat st;
	tree_node node;

	if (fstatat(sc->fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return dir_source_changed(sc->s, sc->at.dir, name, err);
		return dir_source_error(sc->s, sc->at.dir, name, errno, "stat", err);
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
	if (dir_links_find(&sc->links, &st, &slot, err))
		return -1;
	if (slot->node != TREE_NONE)
		return tree_link(sc->t, sc->at.node, name, strlen(name), slot->node, &node, err);
	if (add_new(sc, name, &st, &node, err))
		return -1;
	dir_links_fill(&sc->links, slot, &st, node);
	return 0;
}

static int scan_entries(struct scan *sc, DIR *dir, struct error *err)
{
	const struct dirent *entry;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return errno ? dir_source_error(sc->s, sc->at.dir, NULL, errno, "read folder", err) : 0;
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
		return dir_source_error(sc->s, sc->at.dir, NULL, errno, "stat", err);
	fill_attr(sc, &st, &attr);
	lay_over(sc->t, sc->at.node, &attr);
	return 0;
}

static int scan_dir(struct scan *sc, struct error *err)
{
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
	if (!status)
		status = dir_xattrs_of_file(&sc->xattrs, sc->at.dir, NULL, sc->fd, sc->at.node, err);
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
		dir_links_forget(&sc->links);
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
	dir_links_release(&sc->links);
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
	sc->xattrs.t = t;
	sc->xattrs.s = s;
	sc->root_owner = opts && opts->root_owner;
	status = scan_all(sc, at, err);
	scan_free(sc);
	return status;
}
