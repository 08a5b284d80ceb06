/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw image files: written sparse, holes where the device is zero or unused, file ranges copied by
 * copy_file_range() where it helps, under a temporary name until whole.
 */
#ifndef AMIWRIGHT_FORMATS_RAW_H
#define AMIWRIGHT_FORMATS_RAW_H

#include "base/dev.h"
#include "base/progress.h"

struct raw_opts {
	unsigned workers;          /* threads that hash; <= 1: none */
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool durable;              /* fsync before the final name */
	bool (*cancelled)(void);   /* asked now and then; may be NULL */
	/*
	 * Called in block order with the SHA-256 of each aligned 512 KiB block that holds data
	 * (the last is padded with zeros); may be NULL, then nothing is hashed and whole ranges
	 * are copied.
	 */
	int (*block)(void *arg, uint64_t index, const uint8_t digest[32], struct error *err);
	void *block_arg;
};

/* ERROR_IO names path and what failed ("No space left on device"); nothing is left then. */
int raw_write(struct dev *dev, const char *path, const struct raw_opts *opts,
	struct error *err) MUST_CHECK;

#endif
