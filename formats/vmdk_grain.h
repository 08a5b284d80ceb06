/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the VMDK files: compressed grains. Whole ones go to the caller's memory; the last few of
 * which only a part was asked for are kept, so that small reads in a row inflate a grain once.
 */
#ifndef AMIWRIGHT_FORMATS_VMDK_GRAIN_H
#define AMIWRIGHT_FORMATS_VMDK_GRAIN_H

#include "formats/vmdk_header.h"

struct vmdk_grains;

/* Borrows all three. */
struct vmdk_grains *vmdk_grains_new(struct dev *file, const char *path, const struct vmdk_header *h,
	struct error *err) MUST_CHECK;
/* NULL is fine. */
void vmdk_grains_free(struct vmdk_grains *g);

/* len bytes from skip on of the grain that lies at sector; skip + len <= a grain. Thread-safe. */
int vmdk_grains_read(struct vmdk_grains *g, uint64_t grain, uint32_t sector, uint64_t skip, void *buf,
	size_t len, struct error *err) MUST_CHECK;

#endif
