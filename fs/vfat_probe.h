/* SPDX-License-Identifier: Apache-2.0 */
/* For fs/probe*.c: which clusters of a FAT16 or FAT32 file system are free, by its first FAT. */
#ifndef AMIWRIGHT_FS_VFAT_PROBE_H
#define AMIWRIGHT_FS_VFAT_PROBE_H

#include "base/dev.h"

/* Called with free ranges in bytes, ascending, neighbours merged. */
typedef int (*vfat_free_fn)(void *arg, uint64_t off, uint64_t len, struct error *err);

struct vfat_usage {
	bool known; /* false: everything must be taken as used */
	uint64_t size, used; /* bytes, when known */
};

/*
 * Walks the free clusters; each may be NULL. Not known, and no range is called for, when it is
 * FAT12, was not unmounted cleanly, or its numbers do not fit together. -1: reading failed. Cost:
 * one read of a FAT (4 bytes a cluster).
 */
int vfat_probe_usage(struct dev *dev, vfat_free_fn each, void *arg, struct vfat_usage *out,
	struct error *err) MUST_CHECK;

#endif
