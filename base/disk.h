/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk: a virtual block device of any size whose content is
 *   - bytes that were written, kept in chunks in memory up to a limit and in a spool beyond it,
 *   - ranges of sources by reference (file contents are never copied into it), and
 *   - zero and unused ranges, which cost nothing. A new disk is all unused.
 *
 * Contents are exact to the byte; extents of written data are rounded outwards to 512 bytes,
 * those of references and zero ranges are exact. dev_locate() gives a descriptor for pieces of 64
 * KiB and more.
 *
 * Memory: 32 bytes a reference (64 at worst, when they come in disorder), the written chunks (32
 * KiB each, at most mem_limit), and 16 bytes a chunk in tables of 8 KiB. References in ascending
 * order, in one stream or several, are appended in O(1) but for the search; others move at most
 * 16 KiB. A write over a reference hides it. Lookup is a binary search. At most 65535 sources,
 * 128 TiB.
 */
#ifndef AMIWRIGHT_BASE_DISK_H
#define AMIWRIGHT_BASE_DISK_H

#include "base/dev.h"

struct disk_opts {
	uint64_t mem_limit;    /* bytes of written data kept in memory; 0: 32 MiB */
	const char *spool_dir; /* folder for what is beyond; NULL: /var/tmp */
};

/* size in bytes, > 0; opts may be NULL. Close with dev_close(). */
struct dev *disk_new(uint64_t size, const struct disk_opts *opts, struct error *err) MUST_CHECK;

#endif
