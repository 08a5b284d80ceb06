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

#endif
