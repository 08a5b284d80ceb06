/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: an in-memory file tree with names, modes, owners, times, extended attributes, hard
 * links, device nodes, and contents by reference. Sources fill it (fs/tree_dir.h, tree_tar.h,
 * tree_debian.h), edits change it (tree_edit.h), file-system writers read it. Nothing is ever
 * unpacked on the host.
 *
 * An inode holds all but the name; a node is a name in a directory that leads to an inode. Hard
 * links are several nodes with one inode. Both are small numbers, so that a million files fit in
 * 300 MiB: 32 bytes a node, 56 an inode, its name, and 40 a file with content (measured: 180 in
 * all, with what a directory source keeps).
 *
 * Layers: whatever is added later wins. Adding a non-directory over anything, or a directory over
 * a non-directory, replaces it (and all below it); a directory over a directory keeps the children
 * and takes the new attributes (its extended attributes are dropped, for new ones to be set). What
 * is replaced or removed is gone at once, and its number may be given to the next node.
 *
 * Names are bytes: 1 to 255 of them, no NUL, no '/', not "." or "..". tree_finish() sorts the
 * children of each directory by bytes; until then their order is undefined.
 */
#ifndef AMIWRIGHT_FS_TREE_H
#define AMIWRIGHT_FS_TREE_H

#include "base/buf.h"
#include "base/source.h"
#include "base/spool.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct tree;

/* Index of a node; TREE_NONE is none, TREE_ROOT the root directory. */
typedef uint32_t tree_node;
#define TREE_NONE UINT32_MAX
#define TREE_ROOT 0u

enum { TREE_NAME_MAX = 255, TREE_PATH_MAX = 4096, TREE_SYMLINK_MAX = 4095 };

/*
 * What a new node is to be, and what an existing one is. Everything is a value; pointers are
 * borrowed.
 */
struct tree_attr {
	uint32_t mode;     /* S_IFMT and permission bits */
	uint32_t uid, gid;
	int64_t mtime;     /* seconds since 1970, may be negative */
	uint32_t mtime_ns; /* 0..999999999 */
	uint32_t rdev_major, rdev_minor; /* for S_IFCHR and S_IFBLK */
	uint64_t size;     /* bytes, for S_IFREG; length of the target for S_IFLNK */
	const char *target; /* for S_IFLNK, NUL-terminated; 1..TREE_SYMLINK_MAX bytes */
	uint32_t nlink;    /* nodes with this inode (tree_get only); for directories 1 */
	uint32_t inode;    /* its number (tree_get after tree_finish): 0.., < tree_nr_inodes() */
	bool mount_point;  /* another file system is mounted here (tree_set_mount_point) */
};

/*
 * A piece of a file's content: [off, off+len) of the file is at src_off of content id of src. What
 * no piece covers is a hole.
 */
struct tree_piece {
	uint64_t off, len;
	struct source *src; /* owned by the tree */
	uint64_t id, src_off;
};

/* spool_dir: where contents that cannot be referred to in place are kept (NULL: /var/tmp). */
struct tree *tree_new(const char *spool_dir, struct error *err) MUST_CHECK;
void tree_free(struct tree *t);

/* The root directory is there from the start: 0755, 0:0, time 0. */

/*
 * Adds name in directory dir, replacing as the layer rule says. The result is the node (an
 * existing directory's own node when one is kept). ERROR_INPUT for a bad name (over 255 bytes, "/"
 * inside …), naming it. attr->size for a regular file is set here; pieces come by
 * tree_add_piece().
 */
int tree_add(struct tree *t, tree_node dir, const char *name, size_t name_len,
	const struct tree_attr *attr, tree_node *out, struct error *err) MUST_CHECK;

/* A further name for target's inode. ERROR_INPUT when target is a directory. */
int tree_link(struct tree *t, tree_node dir, const char *name, size_t name_len, tree_node target,
	tree_node *out, struct error *err) MUST_CHECK;

/*
 * Takes the node and all below it out; contents of inodes with no name left go too. Not the root.
 */
void tree_remove(struct tree *t, tree_node node);

/*
 * Says where content lies. Pieces of one file come in ascending order, without overlap, inside its
 * size; adjoining ones of one content are merged. src must belong to the tree (tree_take_source,
 * tree_spool).
 */
int tree_add_piece(struct tree *t, tree_node node, const struct tree_piece *piece,
	struct error *err) MUST_CHECK;
/* Sets size and drops all pieces of a regular file. */
int tree_set_size(struct tree *t, tree_node node, uint64_t size, struct error *err) MUST_CHECK;

/* One extended attribute ("security.capability" …; the full name). Replaces one of that name.
 * At most 64 KiB of value. ACLs are in the kernel's xattr form (system.posix_acl_access). */
int tree_set_xattr(struct tree *t, tree_node node, const char *name, const void *value, size_t len,
	struct error *err) MUST_CHECK;
/* Drops all of them. */
void tree_clear_xattrs(struct tree *t, tree_node node);

/* Permissions are the lower 12 bits of a mode. Times: seconds since 1970, and ns below 10^9. */
void tree_chmod(struct tree *t, tree_node node, uint32_t permissions);
void tree_chown(struct tree *t, tree_node node, uint32_t uid, uint32_t gid);
void tree_set_mtime(struct tree *t, tree_node node, int64_t mtime, uint32_t ns);
/*
 * Marks a directory as mount point: writers take it as empty, and its children for another file
 * system.
 */
void tree_set_mount_point(struct tree *t, tree_node node);

/* The tree owns src from now on (freed with it), also when it fails. */
int tree_take_source(struct tree *t, struct source *src, struct error *err) MUST_CHECK;
/* The tree's own spool, made at first use. Borrowed. */
struct spool *tree_spool(struct tree *t, struct error *err) MUST_CHECK;

/* The child called name, or TREE_NONE. O(1). */
tree_node tree_child(const struct tree *t, tree_node dir, const char *name, size_t name_len);
/*
 * Resolves a path inside the tree ("/a/b" or "a/b"), never leaving it: ".." at the root stays
 * there. Symbolic links in every component but the last are followed inside the tree; with
 * follow_last in the last too. *out = TREE_NONE when it does not exist; ERROR_INPUT for loops (40
 * links) and names too long.
 */
int tree_lookup(const struct tree *t, const char *path, bool follow_last, tree_node *out,
	struct error *err) MUST_CHECK;
/*
 * As `mkdir -p` for all but the last component of path, resolving symbolic links inside the tree:
 * *dir is the directory, *name and *name_len the last component inside path. New directories get
 * attr's mode, owner and time. ERROR_INPUT when a component is a file, or path has no last
 * component.
 */
int tree_make_parents(struct tree *t, const char *path, const struct tree_attr *attr,
	tree_node *dir, const char **name, size_t *name_len, struct error *err) MUST_CHECK;

/* Whole attributes of a node. Pointers are borrowed until the next change. */
void tree_get(const struct tree *t, tree_node node, struct tree_attr *attr);
/* "" for the root; NUL-terminated; len may be NULL. Valid until tree_free(), even when the node goes. */
const char *tree_name(const struct tree *t, tree_node node, size_t *len);
tree_node tree_parent(const struct tree *t, tree_node node); /* root's parent is root */
/* Number of pieces, and one of them. */
uint32_t tree_nr_pieces(const struct tree *t, tree_node node);
void tree_piece(const struct tree *t, tree_node node, uint32_t index, struct tree_piece *piece);
/*
 * Extended attributes in byte order of their names. False past the end. Borrowed until the next
 * change.
 */
bool tree_xattr(const struct tree *t, tree_node node, uint32_t index, const char **name,
	const void **value, size_t *len);
/* Appends "/usr/bin/env" ("/" for the root). */
int tree_path(const struct tree *t, tree_node node, struct buf *out, struct error *err) MUST_CHECK;

/*
 * Makes the tree final: sorts each directory, gives inodes their numbers in the order of a walk
 * (the order is a function of names alone), clamps times later than epoch (pass INT64_MAX for
 * none), flushes the spool. Changes after it are allowed and need another tree_finish().
 */
int tree_finish(struct tree *t, int64_t epoch, struct error *err) MUST_CHECK;

/* After tree_finish(): children in byte order of their names. */
tree_node tree_first_child(const struct tree *t, tree_node dir);
tree_node tree_next_sibling(const struct tree *t, tree_node node);
/* Number of inodes and nodes. */
uint32_t tree_nr_inodes(const struct tree *t);
uint32_t tree_nr_nodes(const struct tree *t);

/* Reads [off, off+len) of a regular file, holes as zeros; the range must lie inside its size. */
int tree_pread(const struct tree *t, tree_node node, void *buf, size_t len, uint64_t off,
	struct error *err) MUST_CHECK;

#endif
