/* SPDX-License-Identifier: Apache-2.0 */
/* A finished tree as text, a line for each node: what tests compare when they compare trees. */
#ifndef AMIWRIGHT_TESTS_TREEDUMP_H
#define AMIWRIGHT_TESTS_TREEDUMP_H

#include "fs/tree.h"

/*
 * Appends "path mode uid:gid mtime.ns inode nlink …" with device, link target, size, pieces
 * (offset+length), extended attributes in hex and a sum of the content. Equal trees give equal
 * text, whatever they were made from.
 */
int treedump(const struct tree *t, struct buf *out, struct error *err) MUST_CHECK;

/* Bytes of a file's content; holes are not counted. */
uint64_t treedump_data_bytes(const struct tree *t, tree_node node);
/* True when both nodes share one set of extended attributes, as those with equal ones must. */
bool treedump_same_xattrs(const struct tree *t, tree_node a, tree_node b);

#endif
