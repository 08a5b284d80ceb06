/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in memory as a read-only device. */
#ifndef AMIWRIGHT_TESTS_LIB_MEMDEV_H
#define AMIWRIGHT_TESTS_LIB_MEMDEV_H

#include "base/dev.h"

struct memdev {
	struct dev dev;
	const uint8_t *data; /* borrowed */
	uint64_t reads;      /* calls so far */
};

/* Closing it does nothing. */
void memdev_init(struct memdev *m, const void *data, size_t len);

#endif
