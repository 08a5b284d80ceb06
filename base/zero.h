/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bytes are all zeros. Data tells itself by its first bytes, so asking costs next to nothing. */
#ifndef AMIWRIGHT_BASE_ZERO_H
#define AMIWRIGHT_BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool zero_all(const void *data, size_t len)
{
	const uint8_t *bytes = data;

	return !len || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

#endif
