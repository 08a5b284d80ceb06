/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a tree by path, as the spec's inline layers want them. Symbolic links in parents are
 * resolved inside the tree; missing parents are made 0755 root:root. Times are the epoch.
 */
#ifndef AMIWRIGHT_FS_TREE_EDIT_H
#define AMIWRIGHT_FS_TREE_EDIT_H

#include "fs/tree.h"

struct tree_edit_owner {
	uint32_t uid, gid;
};

/*
 * A regular file with this content; replaces what is there (a symbolic link itself, not its
 * target). A directory that is not empty is not replaced: ERROR_INPUT.
 */
int tree_edit_write(struct tree *t, const char *path, const void *data, size_t len, uint32_t mode,
	struct tree_edit_owner owner, int64_t epoch, struct error *err) MUST_CHECK;
/* A directory; one that is there (also by a symbolic link) gets mode and owner, no more. */
int tree_edit_mkdir(struct tree *t, const char *path, uint32_t mode, struct tree_edit_owner owner,
	int64_t epoch, struct error *err) MUST_CHECK;
/* A symbolic link; replaces as tree_edit_write() does. */
int tree_edit_symlink(struct tree *t, const char *path, const char *target,
	struct tree_edit_owner owner, int64_t epoch, struct error *err) MUST_CHECK;
/*
 * Patterns with * ? [] per component (never matching '/'; a leading dot is nothing special).
 * Matching nothing is ERROR_INPUT unless missing_ok; nothing is changed then.
 */
int tree_edit_remove(struct tree *t, const char *pattern, bool missing_ok, struct error *err)
	MUST_CHECK;
/*
 * recursive: all below too; for chmod then directories get x wherever they get r. chmod follows a
 * symbolic link that a path without pattern names, as chmod(1), and leaves other links alone; chown
 * changes links themselves. ERROR_INPUT when nothing matches.
 */
int tree_edit_chmod(struct tree *t, const char *pattern, uint32_t mode, bool recursive,
	struct error *err) MUST_CHECK;
int tree_edit_chown(struct tree *t, const char *pattern, struct tree_edit_owner owner,
	bool recursive, struct error *err) MUST_CHECK;
/*
 * "root", "www-data:adm", "1000:1000" or "1000" by the tree's own /etc/passwd and /etc/group. A
 * user without group gets the user's own primary group (a bare number: the same number).
 * ERROR_INPUT for an unknown name.
 */
int tree_edit_owner(const struct tree *t, const char *text, struct tree_edit_owner *out,
	struct error *err) MUST_CHECK;

#endif
