/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opaque tokens of the region: pages and blocks. A token is a value and an expiry under a keyed
 * hash of what it is for, in URL-safe base64; so nothing has to be remembered, and a token of one
 * thing does not open another.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_TOKEN_H
#define AMIWRIGHT_UPLOADER_REGION_TOKEN_H

#include "base/error.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_SIZE = 44, TOKEN_PAGE_S = 3600, TOKEN_BLOCK_S = 7 * 24 * 3600 };

/* subject: what it is for ("block snap-0…"), at most 200 bytes. */
int token_make(const uint8_t key[SHA256_SIZE], const char *subject, uint64_t value, int64_t expires,
	char out[TOKEN_SIZE], struct error *err) MUST_CHECK;
/* True when it is not a token for that subject, or is too old. */
bool token_open(const uint8_t key[SHA256_SIZE], const char *subject, const char *token, int64_t now,
	uint64_t *value) MUST_CHECK;

/* Compares without telling by time where they differ. */
bool token_equal(const void *a, const void *b, size_t len);

#endif
