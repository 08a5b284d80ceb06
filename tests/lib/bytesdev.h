/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in memory as a read-only device: an image file without a file. */
#ifndef AMIWRIGHT_TESTS_LIB_BYTESDEV_H
#define AMIWRIGHT_TESTS_LIB_BYTESDEV_H

#include "base/dev.h"

/* Borrows the bytes until it is closed. NULL when memory is out. */
struct dev *bytesdev_new(const void *bytes, size_t len);

#endif
