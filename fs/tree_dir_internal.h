/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory source, between the scan that fills it (fs/tree_dir.c) and the reads that others
 * do later (fs/tree_dir_source.c). It keeps a name, a directory and a fingerprint for each file
 * with content; the names are those of the tree's arena, which outlives the source.
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

#endif
