/* SPDX-License-Identifier: Apache-2.0 */
/* AES-128 in CBC mode with PKCS #7 padding (FIPS 197, SP 800-38A, RFC 5652 section 6.3), as a stream. */
#ifndef AMIWRIGHT_BASE_CRYPTO_CIPHER_H
#define AMIWRIGHT_BASE_CRYPTO_CIPHER_H

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdbool.h>

enum { CRYPTO_AES_SIZE = 16 };

struct crypto_cipher;
/* One message under this key and initial vector, both copied; it cannot be begun again. */
struct crypto_cipher *crypto_cipher_new(bool encrypt, const uint8_t key[CRYPTO_AES_SIZE],
	const uint8_t iv[CRYPTO_AES_SIZE], struct error *err) MUST_CHECK;
void crypto_cipher_free(struct crypto_cipher *c);
DEFINE_CLEANUP(crypto_cipher, struct crypto_cipher, crypto_cipher_free)

/* Appends what the next bytes come to: up to one block more or less than they are. */
int crypto_cipher_update(struct crypto_cipher *c, const void *data, size_t len, struct buf *out,
	struct error *err) MUST_CHECK;
/* Appends the last block. ERROR_INPUT when the padding of what was decrypted is none. */
int crypto_cipher_final(struct crypto_cipher *c, struct buf *out, struct error *err) MUST_CHECK;

/* Overwrites a secret; not optimised away. */
void crypto_wipe(void *data, size_t len);

#endif
