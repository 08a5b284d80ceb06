/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of archives as layers: a folder for one program's archives, and trees of them. */
#ifndef AMIWRIGHT_TESTS_LIB_TARTREE_H
#define AMIWRIGHT_TESTS_LIB_TARTREE_H

#include "base/buf.h"
#include "fs/tree_tar.h"

/* A group's setup and teardown. */
int tartree_make(void **state);
int tartree_remove(void **state);

/* Runs a command in the folder; its status. */
int tartree_shell(const char *command);
/* Of a file in the folder; valid until the next call. */
const char *tartree_path(const char *name);
void tartree_write(const char *name, const struct buf *b);

/* An empty tree, the caller's to free. */
struct tree *tartree_new(void);
/*
 * Adds an archive and releases its buffer; the outcome. Both ways of reading must agree: by reference from a file
 * ("x.tar"), and from memory.
 */
int tartree_load(struct tree *t, struct buf *b, const struct tree_tar_opts *opts, struct error *err);
/* TREE_NONE when there is none. */
tree_node tartree_find(const struct tree *t, const char *path);

/* These fail the test when it is not so. */
struct tree_attr tartree_attr(const struct tree *t, const char *path);
/* A plain file with that text. */
void tartree_expect(struct tree *t, const char *path, const char *want);
/* tartree_load() says `what` of `entry`. */
void tartree_expect_refusal(struct buf *b, const char *what, const char *entry);

#endif
