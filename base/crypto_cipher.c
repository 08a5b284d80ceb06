/* SPDX-License-Identifier: Apache-2.0 */
/* AES by OpenSSL's EVP, which wipes its own state when it is freed. */
#include "base/crypto_cipher.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/num.h"

enum { STEP = 1 << 30 }; /* the library counts in int */

struct crypto_cipher {
	EVP_CIPHER_CTX *ctx;
};

static int failed(struct error *err)
{
	ERR_clear_error();
	return error_set(err, ERROR_IO, 0, "the OpenSSL library cannot do AES-128-CBC");
}

struct crypto_cipher *crypto_cipher_new(bool encrypt, const uint8_t key[CRYPTO_AES_SIZE],
	const uint8_t iv[CRYPTO_AES_SIZE], struct error *err)
{
	struct crypto_cipher *c = calloc(1, sizeof(*c));

	if (!c)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a cipher");
	c->ctx = EVP_CIPHER_CTX_new();
	if (!c->ctx || EVP_CipherInit_ex(c->ctx, EVP_aes_128_cbc(), NULL, key, iv, encrypt) != 1) {
		crypto_cipher_free(c);
		failed(err);
		return NULL;
	}
	return c;
}

void crypto_cipher_free(struct crypto_cipher *c)
{
	if (!c)
		return;
	EVP_CIPHER_CTX_free(c->ctx);
	free(c);
}

int crypto_cipher_update(struct crypto_cipher *c, const void *data, size_t len, struct buf *out,
	struct error *err)
{
	const uint8_t *at = data;

	while (len) {
		size_t step = MIN(len, (size_t)STEP), had = out->len;
		uint8_t *room = buf_extend(out, step + CRYPTO_AES_SIZE, err);
		int used = 0;

		if (!room)
			return -1;
		if (EVP_CipherUpdate(c->ctx, room, &used, at, (int)step) != 1) {
			buf_truncate(out, had);
			return failed(err);
		}
		buf_truncate(out, had + (size_t)used);
		at += step;
		len -= step;
	}
	return 0;
}

int crypto_cipher_final(struct crypto_cipher *c, struct buf *out, struct error *err)
{
	size_t had = out->len;
	uint8_t *room = buf_extend(out, CRYPTO_AES_SIZE, err);
	int used = 0;

	if (!room)
		return -1;
	if (EVP_CipherFinal_ex(c->ctx, room, &used) != 1) {
		buf_truncate(out, had);
		ERR_clear_error();
		return error_set(err, ERROR_INPUT, 0, "what was decrypted does not end as it should");
	}
	buf_truncate(out, had + (size_t)used);
	return 0;
}

void crypto_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}
