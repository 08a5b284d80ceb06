/* SPDX-License-Identifier: Apache-2.0 */
/* A device whose pages lie encrypted (base/crypto_pages.h) on another one; pages of zeros are zeros there too. */
#ifndef AMIWRIGHT_BASE_SEALED_H
#define AMIWRIGHT_BASE_SEALED_H

#include "base/crypto_pages.h"
#include "base/dev.h"

/*
 * Read-only. Takes inner, also on error: at least size bytes rounded up to a page. The key is copied, and
 * wiped by the close.
 */
struct dev *sealed_open(struct dev *inner, uint64_t size, const uint8_t key[CRYPTO_PAGES_KEY], struct error *err)
	MUST_CHECK;

#endif
