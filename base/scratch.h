/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary files without a name: nothing is left of them by any kind of death. As a bare descriptor,
 * or as what is written from start to end, with holes for zeros, and then read as a device.
 */
#ifndef AMIWRIGHT_BASE_SCRATCH_H
#define AMIWRIGHT_BASE_SCRATCH_H

#include "base/cleanup.h"
#include "base/dev.h"

/* A file in dir (NULL: /var/tmp), open for reading and writing. The caller's to close. */
int scratch_open(const char *dir, struct error *err) MUST_CHECK;

struct scratch;
/*
 * An empty one in dir (NULL: /var/tmp). key: CRYPTO_PAGES_KEY random bytes (base/crypto_pages.h) to encrypt what is
 * written with; NULL: it is not.
 */
struct scratch *scratch_new(const char *dir, const uint8_t *key, struct error *err) MUST_CHECK;
void scratch_free(struct scratch *s);
DEFINE_CLEANUP(scratch, struct scratch, scratch_free)

/* Appends. Whole pages of zeros become holes. */
int scratch_write(struct scratch *s, const void *data, size_t len, struct error *err) MUST_CHECK;
/* Appends len zeros, which cost nothing. */
int scratch_zeros(struct scratch *s, uint64_t len, struct error *err) MUST_CHECK;
uint64_t scratch_size(const struct scratch *s);
/* All that was written, as a device of its own (ERROR_INPUT when that is nothing). name for messages. */
struct dev *scratch_dev(struct scratch *s, const char *name, struct error *err) MUST_CHECK;

#endif
