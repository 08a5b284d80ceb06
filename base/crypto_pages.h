/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of a temporary file, each encrypted by itself so that they can be read in any order: AES-128-XTS
 * (IEEE 1619), with a page's number as its tweak. It hides what is there, and does not notice changes.
 */
#ifndef AMIWRIGHT_BASE_CRYPTO_PAGES_H
#define AMIWRIGHT_BASE_CRYPTO_PAGES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRYPTO_PAGE = 4096, CRYPTO_PAGES_KEY = 32 };

/*
 * Encrypts or decrypts in place len bytes, whole pages of which first is the number of the first one. key:
 * random bytes. Safe from many threads at once.
 */
int crypto_pages(bool encrypt, const uint8_t key[CRYPTO_PAGES_KEY], uint64_t first, uint8_t *data, size_t len,
	struct error *err) MUST_CHECK;

#endif
