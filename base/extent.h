/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents: which parts of a device are data, zero or unused.
 *
 *   data    bytes that somebody wrote or that are referred to
 *   zero    somebody will read it and must find zeros (an inode table, a hole of a file's allocated range)
 *   unused  nobody reads it (free blocks, gaps); reads as zeros here, but may be left out of a snapshot
 *
 * The difference between zero and unused is what lets the uploader leave blocks out safely: a block
 * that a snapshot lacks reads as random bytes on an encrypted volume.
 */
#ifndef AMIWRIGHT_BASE_EXTENT_H
#define AMIWRIGHT_BASE_EXTENT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum extent_kind { EXTENT_UNUSED = 0, EXTENT_ZERO = 1, EXTENT_DATA = 2 };

struct extent {
	uint64_t off, len; /* bytes; len > 0 */
	enum extent_kind kind;
};

/* An ordered list without gaps or overlaps; neighbours of one kind are merged. */
struct extent_list {
	struct extent *items; /* owned */
	size_t nr, alloc;
};

#define EXTENT_LIST_INIT {NULL, 0, 0}

void extent_list_release(struct extent_list *list);
/* Empties it, keeps the memory. */
void extent_list_clear(struct extent_list *list);

/*
 * Appends [off, off+len). It must begin where the list ends (anywhere when it is empty); merged
 * into the last one when the kind is the same. len 0 does nothing.
 */
int extent_list_add(struct extent_list *list, uint64_t off, uint64_t len, enum extent_kind kind,
	struct error *err) MUST_CHECK;

#endif
