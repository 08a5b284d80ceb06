/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw PKCS #1 v1.5 by OpenSSL, in a library context that no machine's configuration reaches; and SHA-1
 * is put into its DigestInfo here, for patched libraries refuse it as a digest of signatures whatever the
 * context.
 */
#include "base/crypto_rsa_internal.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

enum { PADDING_MIN = 11 };

/* DigestInfo {SHA-1, NULL}, up to the digest (RFC 8017, section 9.2, note 1). */
static const uint8_t sha1_info[] = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a,
	0x05, 0x00, 0x04, 0x14};
enum { INFO_SIZE = sizeof(sha1_info) + SHA1_SIZE };

static int library_failed(struct error *err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	error_set(err, ERROR_INPUT, 0, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	return -1;
}

void crypto_rsa_key_free(struct crypto_rsa_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

static void sha1_digest_info(const uint8_t digest[SHA1_SIZE], uint8_t out[INFO_SIZE])
{
	memcpy(out, sha1_info, sizeof(sha1_info));
	memcpy(out + sizeof(sha1_info), digest, SHA1_SIZE);
}

static EVP_PKEY_CTX *begin(EVP_PKEY *pkey, int (*init)(EVP_PKEY_CTX *), int padding, struct error *err)
{
	OSSL_LIB_CTX *library = crypto_rsa_library(err);
	EVP_PKEY_CTX *ctx = library ? EVP_PKEY_CTX_new_from_pkey(library, pkey, NULL) : NULL;

	if (!library)
		return NULL;
	if (ctx && init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	library_failed(err, "the OpenSSL library cannot do RSA");
	return NULL;
}

int crypto_rsa_sign_sha1(const struct crypto_rsa_key *k, const uint8_t digest[SHA1_SIZE],
	struct buf *out, struct error *err)
{
	EVP_PKEY_CTX *ctx = begin(k->pkey, EVP_PKEY_sign_init, RSA_PKCS1_PADDING, err);
	size_t had = out->len, len = (size_t)EVP_PKEY_get_size(k->pkey);
	uint8_t info[INFO_SIZE], *room;
	int ret = -1;

	if (!ctx)
		return -1;
	sha1_digest_info(digest, info);
	room = buf_extend(out, len, err);
	if (room && EVP_PKEY_sign(ctx, room, &len, info, sizeof(info)) == 1)
		ret = 0;
	else if (room)
		library_failed(err, "cannot sign");
	buf_truncate(out, ret < 0 ? had : had + len);
	EVP_PKEY_CTX_free(ctx);
	return ret;
}

/*
 * A key that does not fit may be told by an error or, with newer libraries, by a message of random
 * bytes: callers look at what they get.
 */
int crypto_rsa_decrypt(const struct crypto_rsa_key *k, const void *data, size_t len, struct buf *out,
	struct error *err)
{
	EVP_PKEY_CTX *ctx = begin(k->pkey, EVP_PKEY_decrypt_init, RSA_PKCS1_PADDING, err);
	size_t had = out->len, size = (size_t)EVP_PKEY_get_size(k->pkey);
	uint8_t *room;
	int ret = -1;

	if (!ctx)
		return -1;
	room = buf_extend(out, size, err);
	if (room && EVP_PKEY_decrypt(ctx, room, &size, data, len) == 1)
		ret = 0;
	else if (room)
		error_set(err, ERROR_INPUT, 0, "it was not encrypted for this key");
	ERR_clear_error();
	buf_truncate(out, ret < 0 ? had : had + size);
	EVP_PKEY_CTX_free(ctx);
	return ret;
}

void crypto_certificate_free(struct crypto_certificate *c)
{
	if (!c)
		return;
	X509_free(c->x509);
	free(c);
}

const struct crypto_certificate_info *crypto_certificate_info(const struct crypto_certificate *c)
{
	return &c->info;
}

bool crypto_certificate_fits(const struct crypto_certificate *c, const struct crypto_rsa_key *k)
{
	bool fits = EVP_PKEY_eq(c->pkey, k->pkey) == 1;

	ERR_clear_error();
	return fits;
}

/* 0, 2, bytes that are not zero, 0, message: RFC 8017, section 7.2.1. */
static int pad(uint8_t *block, size_t size, const void *data, size_t len, crypto_fill_fn fill,
	void *arg, struct error *err)
{
	size_t padding = size - len - 3;

	block[0] = 0;
	block[1] = 2;
	if (fill(arg, block + 2, padding, err) < 0)
		return -1;
	for (size_t i = 2; i < 2 + padding; i++)
		while (!block[i])
			if (fill(arg, block + i, 1, err) < 0)
				return -1;
	block[2 + padding] = 0;
	memcpy(block + 3 + padding, data, len);
	return 0;
}

int crypto_rsa_encrypt(const struct crypto_certificate *c, const void *data, size_t len,
	crypto_fill_fn fill, void *arg, struct buf *out, struct error *err)
{
	size_t size = (size_t)EVP_PKEY_get_size(c->pkey), had = out->len;
	uint8_t block[CRYPTO_RSA_MAX], *room;
	EVP_PKEY_CTX *ctx;
	int ret = -1;

	if (len + PADDING_MIN > size)
		return error_set(err, ERROR_BUG, 0, "a message is too long for a key");
	ctx = begin(c->pkey, EVP_PKEY_encrypt_init, RSA_NO_PADDING, err);
	if (!ctx)
		return -1;
	room = buf_extend(out, size, err);
	if (room && pad(block, size, data, len, fill, arg, err) == 0) {
		ret = EVP_PKEY_encrypt(ctx, room, &size, block, size) == 1 ?
			0 : library_failed(err, "cannot encrypt");
	}
	OPENSSL_cleanse(block, sizeof(block));
	buf_truncate(out, ret < 0 ? had : had + size);
	EVP_PKEY_CTX_free(ctx);
	return ret;
}

int crypto_rsa_verify_sha1(const struct crypto_certificate *c, const uint8_t digest[SHA1_SIZE],
	const void *signature, size_t len, struct error *err)
{
	EVP_PKEY_CTX *ctx = begin(c->pkey, EVP_PKEY_verify_init, RSA_PKCS1_PADDING, err);
	uint8_t info[INFO_SIZE];
	int ok;

	if (!ctx)
		return -1;
	sha1_digest_info(digest, info);
	ok = EVP_PKEY_verify(ctx, signature, len, info, sizeof(info));
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok == 1 ? 0 : error_set(err, ERROR_INPUT, 0, "the signature is not of this certificate's key");
}

/* A key that was put together wrongly, or damaged on a disk, signs without any error. */
int crypto_rsa_check(const struct crypto_rsa_key *k, const char *path, struct error *err)
{
	static const uint8_t digest[SHA1_SIZE] = "any digest will do";
	const struct crypto_certificate own = {.pkey = k->pkey};
	CLEANUP_BUF struct buf signature = BUF_INIT(CRYPTO_RSA_MAX);

	if (crypto_rsa_sign_sha1(k, digest, &signature, NULL) == 0 &&
		crypto_rsa_verify_sha1(&own, digest, signature.data, signature.len, NULL) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"the key '%s' is damaged: what it signs is not what its public half verifies",
		path);
}
