/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's XTS: a page is a data unit, so its number goes in as the initialisation vector. */
#include "base/crypto_pages.h"

#include <assert.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/num.h"

static bool run(EVP_CIPHER_CTX *ctx, uint64_t number, uint8_t *page)
{
	uint8_t tweak[16] = {0};
	int len = 0;

	num_put_le64(tweak, number);
	return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, tweak, -1) == 1 &&
		EVP_CipherUpdate(ctx, page, &len, page, CRYPTO_PAGE) == 1 && len == CRYPTO_PAGE;
}

int crypto_pages(bool encrypt, const uint8_t key[CRYPTO_PAGES_KEY], uint64_t first, uint8_t *data, size_t len,
	struct error *err)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_128_xts(), NULL, key, NULL, encrypt) == 1;

	assert(len % CRYPTO_PAGE == 0);
	for (size_t at = 0; good && at < len; at += CRYPTO_PAGE)
		good = run(ctx, first++, data + at);
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	return good ? 0 : error_set(err, ERROR_IO, 0, "the OpenSSL library cannot do AES-128-XTS");
}
