/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read RSA keys and that use them. */
#ifndef AMIWRIGHT_BASE_CRYPTO_RSA_INTERNAL_H
#define AMIWRIGHT_BASE_CRYPTO_RSA_INTERNAL_H

#include "base/crypto_rsa.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { CRYPTO_RSA_BITS_MIN = 1024 };

struct crypto_rsa_key {
	EVP_PKEY *pkey;
};

struct crypto_certificate {
	X509 *x509;
	EVP_PKEY *pkey; /* borrowed from x509 */
	struct crypto_certificate_info info;
};

/*
 * OpenSSL's context of these operations: made once, without the machine's configuration file, which may forbid
 * SHA-1 or short keys. Who has a key or a certificate has it.
 */
OSSL_LIB_CTX *crypto_rsa_library(struct error *err) MUST_CHECK;
/* ERROR_INPUT when what the key signs does not verify: a private half that is not of the public one. */
int crypto_rsa_check(
	const struct crypto_rsa_key *k, const char *path, struct error *err) MUST_CHECK;

#endif
