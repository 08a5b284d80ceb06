/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory source, between the scan that fills it (fs/tree_dir.c, with what it knows of links and
 * extended attributes) and the reads that others do later (fs/tree_dir_source.c). It keeps a name, a
 * directory and a fingerprint for each file with content; the names are those of the tree's arena, which
 * outlives the source.
 */
#ifndef AMIWRIGHT_FS_TREE_DIR_INTERNAL_H
#define AMIWRIGHT_FS_TREE_DIR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/tree_internal.h"

enum { DIR_SOURCE_ROOT = 0, DIR_SOURCE_FDS = 32, DIR_SOURCE_PATH_TEXT = 512 };

/* A folder. Number 0 is the source's own. */
struct source_dir {
	const char *name; /* borrowed from the tree */
	uint32_t parent;
};

/* A regular file; its number is the id of its content. */
struct source_file {
	const char *name; /* borrowed from the tree */
	uint64_t fingerprint;
	uint32_t dir;
};

/* An open descriptor that is kept for the next reader; fd -1: free. */
struct kept_fd {
	int fd;
	uint32_t key, users;
	uint64_t last_use;
};

struct fd_cache {
	struct kept_fd slots[DIR_SOURCE_FDS];
	uint64_t clock;
};

struct dir_source {
	struct source base;
	char *path;   /* as the user gave it, for messages */
	int root_fd;
	struct chunk_array dirs, files;
	atomic_bool atime; /* O_NOATIME was refused once: not tried again */
	pthread_mutex_t lock; /* of what follows */
	struct fd_cache dir_fds, file_fds;
};

/* Opens the folder. */
struct dir_source *dir_source_new(const char *path, struct error *err) MUST_CHECK;

/*
 * Make a folder, a file with content known; *out gets its number. name is borrowed as above; st: as the
 * scan saw it, which every read is held against.
 */
int dir_source_add_dir(struct dir_source *s, uint32_t parent, const char *name, uint32_t *out,
	struct error *err) MUST_CHECK;
int dir_source_add_file(struct dir_source *s, uint32_t dir, const char *name, const struct stat *st,
	uint32_t *out, struct error *err) MUST_CHECK;

/* Opens a folder for listing; the caller closes it. */
int dir_source_open_dir(struct dir_source *s, uint32_t dir, int *fd, struct error *err) MUST_CHECK;
/*
 * openat() for reading, with O_NOATIME as long as the kernel lets us, never following a link. -1
 * with errno.
 */
int dir_source_openat(struct dir_source *s, int dir_fd, const char *name, int flags);

/* "path/a/b/name" (name may be NULL), cut at the front when it is long. Returns out. */
const char *dir_source_text(const struct dir_source *s, uint32_t dir, const char *name,
	char out[DIR_SOURCE_PATH_TEXT]);
/* Sets the error for a file that is not what it was. */
int dir_source_changed(
	const struct dir_source *s, uint32_t dir, const char *name, struct error *err);
/* "cannot WHAT 'path/a/b/name'", with the text of errnum. */
int dir_source_error(const struct dir_source *s, uint32_t dir, const char *name, int errnum,
	const char *what, struct error *err);

/* A file with several links, by device and inode. */
struct dir_link {
	dev_t dev;
	ino_t ino;
	tree_node node; /* TREE_NONE: free slot */
};

/* Those that the scan has met. Zeroed to begin with. */
struct dir_links {
	struct dir_link *slots; /* open addressing, a power of two of slots, at most half full; owned */
	size_t nr, size;
};

/*
 * The slot of st's inode, borrowed until the next call: its node, or TREE_NONE when it was not met;
 * then dir_links_fill() makes it known.
 */
int dir_links_find(struct dir_links *l, const struct stat *st, struct dir_link **out,
	struct error *err) MUST_CHECK;
void dir_links_fill(struct dir_links *l, struct dir_link *slot, const struct stat *st, tree_node node);
/* Empties the table. */
void dir_links_forget(struct dir_links *l);
void dir_links_release(struct dir_links *l);

/* The kernel's limit of a value, and of a list of names. */
enum { DIR_XATTR_BYTES = 65536 };

/* From a folder's files to the tree; t and s are borrowed. */
struct dir_xattrs {
	struct tree *t;
	const struct dir_source *s;
	char names[DIR_XATTR_BYTES], value[DIR_XATTR_BYTES];
};

/*
 * Gives node the portable extended attributes of an open file. dir and name (NULL: the folder itself)
 * are for messages. A file system without such attributes is fine.
 */
int dir_xattrs_of_file(struct dir_xattrs *x, uint32_t dir, const char *name, int fd, tree_node node,
	struct error *err) MUST_CHECK;
/*
 * The same of what cannot be opened for reading without harm (links, devices, FIFOs), by its name in
 * the open folder.
 */
int dir_xattrs_of_name(struct dir_xattrs *x, uint32_t dir, int dir_fd, const char *name,
	tree_node node, struct error *err) MUST_CHECK;

#endif
