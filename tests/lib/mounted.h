/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel as oracle: an image mounted by loop, compared with the tree that it was made from.
 * Whatever is not as it should be ends the program with a message.
 */
#ifndef AMIWRIGHT_TESTS_LIB_MOUNTED_H
#define AMIWRIGHT_TESTS_LIB_MOUNTED_H

#include "fs/tree.h"

/* Mounts for reading at dir (made); false when we may not or the kernel does not know the type. */
bool mounted_at(const char *image, const char *type, const char *dir);
void mounted_end(const char *dir);

/*
 * Everything below root: types, permissions, owners, times in whole seconds, links, devices,
 * targets, extended attributes, contents (around the pieces in files over 16 MiB), and nothing else
 * but "lost+found". Returns the number of names.
 */
unsigned mounted_compare(const char *dir, const struct tree *t, tree_node root);

#endif
