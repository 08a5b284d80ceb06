/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that write bundles. */
#ifndef AMIWRIGHT_FORMATS_BUNDLE_INTERNAL_H
#define AMIWRIGHT_FORMATS_BUNDLE_INTERNAL_H

#include "formats/bundle.h"

#include "base/crypto_cipher.h"

/* What the seed gives; wiped by its owner. */
struct bundle_keys {
	uint8_t key[CRYPTO_AES_SIZE], iv[CRYPTO_AES_SIZE];
	struct buf user_key, user_iv, ec2_key, ec2_iv; /* wrapped */
};

int bundle_keys_make(struct bundle_keys *k, const struct bundle_opts *opts, struct error *err)
	MUST_CHECK;
void bundle_keys_release(struct bundle_keys *k);

/* The names and digests of all parts, as the manifest has them: XML. */
int bundle_manifest_add_part(struct buf *parts, const struct bundle_part *part, struct error *err)
	MUST_CHECK;
/* The signed manifest into out. */
int bundle_manifest_make(const struct bundle_opts *opts, const struct bundle_keys *keys,
	const struct bundle_result *r, const struct buf *parts, struct buf *out, struct error *err)
	MUST_CHECK;

#endif
