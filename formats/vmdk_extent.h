/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the VMDK files: one sparse extent, read. Its directory is in memory (4 bytes a grain
 * table; it must lie in the file), its tables are read as they are asked for. Reading is safe from many
 * threads at once.
 */
#ifndef AMIWRIGHT_FORMATS_VMDK_EXTENT_H
#define AMIWRIGHT_FORMATS_VMDK_EXTENT_H

#include "base/cleanup.h"
#include "formats/vmdk_header.h"

struct vmdk_extent;

/* Borrows file until vmdk_extent_free(), and path for messages. */
struct vmdk_extent *vmdk_extent_new(struct dev *file, const char *path, struct error *err) MUST_CHECK;
void vmdk_extent_free(struct vmdk_extent *x);
DEFINE_CLEANUP(vmdk_extent, struct vmdk_extent, vmdk_extent_free)

const struct vmdk_header *vmdk_extent_header(const struct vmdk_extent *x);
/* Of its part of the disk, in bytes. */
uint64_t vmdk_extent_size(const struct vmdk_extent *x);

/* The range lies within the extent. A whole grain is inflated into buf, a part by way of a small cache. */
int vmdk_extent_pread(
	struct vmdk_extent *x, void *buf, size_t len, uint64_t off, struct error *err) MUST_CHECK;
/* Appends what is there to list, as offsets of the disk: the extent begins at base there. */
int vmdk_extent_list(struct vmdk_extent *x, uint64_t off, uint64_t len, uint64_t base,
	struct extent_list *list, struct error *err) MUST_CHECK;

#endif
