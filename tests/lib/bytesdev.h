/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in memory as a read-only device: an image file without a file. */
#ifndef AMIWRIGHT_TESTS_LIB_BYTESDEV_H
#define AMIWRIGHT_TESTS_LIB_BYTESDEV_H

#include <stdatomic.h>

#include "base/dev.h"

struct bytesdev {
	struct dev dev;
	const uint8_t *bytes;   /* borrowed */
	_Atomic uint64_t reads; /* calls so far, of all threads */
};

/* In the caller's storage: closing it does nothing. */
void bytesdev_init(struct bytesdev *b, const void *bytes, size_t len);
/* On the heap, for what takes a device: closing it frees it. NULL when memory is out. */
struct dev *bytesdev_new(const void *bytes, size_t len);

#endif
