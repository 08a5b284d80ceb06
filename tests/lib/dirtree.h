/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of folders as layers: a folder for one test, which is the working directory while the test runs. */
#ifndef AMIWRIGHT_TESTS_LIB_DIRTREE_H
#define AMIWRIGHT_TESTS_LIB_DIRTREE_H

#include "fs/tree_dir.h"

/* A test's setup and teardown: the folder, with an empty "src" in it. */
int dirtree_make(void **state);
int dirtree_remove(void **state);

/* All that follows fails the test when it cannot be done. */
void dirtree_write(const char *path, const char *text);
/* The finished tree of a folder, the caller's to free. opts may be NULL. */
struct tree *dirtree_scan(const char *path, const struct tree_dir_opts *opts);
tree_node dirtree_find(const struct tree *t, const char *path);
void dirtree_get(const struct tree *t, const char *path, struct tree_attr *attr);
/* "src" cannot be added to a tree: an error of that kind, with that text in it. */
void dirtree_expect_error(enum error_kind kind, const char *text);

#endif
