/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA as instance-store bundles want it: PKCS #1 v1.5 (RFC 8017, sections 7.2 and 8.2) with SHA-1
 * and keys of 1024 bits. Both are too weak for anything new; EC2 reads nothing else. So these
 * operations use a library context of their own, which no security level of the machine's
 * configuration forbids, and nobody else uses it.
 */
#ifndef AMIWRIGHT_BASE_CRYPTO_RSA_H
#define AMIWRIGHT_BASE_CRYPTO_RSA_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"

enum { CRYPTO_RSA_MAX = 2048, CRYPTO_PASSPHRASE_MAX = 1024 }; /* bytes: keys of up to 16384 bits */

/* A private key. */
struct crypto_rsa_key;

/*
 * Called when a key is encrypted, at most once: puts its passphrase (with a NUL, at most size bytes)
 * into out.
 */
typedef int (*crypto_passphrase_fn)(void *arg, const char *path, char *out, size_t size,
	struct error *err);

/*
 * Reads a PEM file. ask NULL: an encrypted key is ERROR_INPUT. ERROR_INPUT naming the file when it
 * holds no RSA private key, or one that is damaged.
 */
struct crypto_rsa_key *crypto_rsa_key_open(const char *path, crypto_passphrase_fn ask, void *arg,
	struct error *err) MUST_CHECK;
void crypto_rsa_key_free(struct crypto_rsa_key *k);
DEFINE_CLEANUP(crypto_rsa_key, struct crypto_rsa_key, crypto_rsa_key_free)

/* Appends the RSASSA-PKCS1-v1_5 signature of a SHA-1 digest. */
int crypto_rsa_sign_sha1(const struct crypto_rsa_key *k, const uint8_t digest[SHA1_SIZE],
	struct buf *out, struct error *err) MUST_CHECK;
/* Appends the decrypted message. ERROR_INPUT when it was not encrypted for this key. */
int crypto_rsa_decrypt(const struct crypto_rsa_key *k, const void *data, size_t len, struct buf *out,
	struct error *err) MUST_CHECK;

/* An X.509 certificate with an RSA key. Nothing of it is judged: neither issuer nor dates. */
struct crypto_certificate;

struct crypto_certificate_info {
	uint8_t sha1[SHA1_SIZE]; /* of the DER form: what is called its fingerprint */
	int64_t not_before, not_after; /* seconds since 1970 */
	unsigned bits;           /* of its key */
};

/* Reads a PEM file. ERROR_INPUT naming the file when it is anything else. */
struct crypto_certificate *crypto_certificate_open(const char *path, struct error *err) MUST_CHECK;
void crypto_certificate_free(struct crypto_certificate *c);
DEFINE_CLEANUP(crypto_certificate, struct crypto_certificate, crypto_certificate_free)
const struct crypto_certificate_info *crypto_certificate_info(const struct crypto_certificate *c);
/* Whether they are a pair. */
bool crypto_certificate_fits(const struct crypto_certificate *c, const struct crypto_rsa_key *k);

/*
 * Appends RSAES-PKCS1-v1_5 of len bytes. fill gives the bytes of padding: any values, it is called
 * again for those that are zero (the padding may have none).
 */
typedef int (*crypto_fill_fn)(void *arg, uint8_t *out, size_t len, struct error *err);
int crypto_rsa_encrypt(const struct crypto_certificate *c, const void *data, size_t len,
	crypto_fill_fn fill, void *arg, struct buf *out, struct error *err) MUST_CHECK;
/* ERROR_INPUT when it is not the signature of digest by the certificate's key. */
int crypto_rsa_verify_sha1(const struct crypto_certificate *c, const uint8_t digest[SHA1_SIZE],
	const void *signature, size_t len, struct error *err) MUST_CHECK;

#endif
