/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticode by hand: the DER around one RSA signature. OpenSSL's own PKCS #7 functions put the
 * time of day into every signature, and CMS has no form for Authenticode's content.
 *
 *   ContentInfo signedData
 *     version 1, SHA-256, content SpcIndirectDataContent (the image's digest), certificate
 *     SignerInfo: issuer and serial, SHA-256,
 *                 attributes {contentType, messageDigest}, RSA signature of the attributes as SET
 */
#include "base/crypto_sign.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/file.h"

enum { PEM_MAX = 1 << 20, DER_MAX = 1 << 20, RSA_BITS_MIN = 2048 };
enum { DER_INTEGER = 0x02, DER_OCTETS = 0x04, DER_SEQUENCE = 0x30, DER_SET = 0x31,
	DER_EXPLICIT_0 = 0xa0 };

struct crypto_signer {
	EVP_PKEY *key;
	X509 *certificate;
};

static const uint8_t version_1[] = {DER_INTEGER, 1, 1};

/* AlgorithmIdentifier {SHA-256, NULL} and {rsaEncryption, NULL}. */
static const uint8_t alg_sha256[] = {0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
	0x04, 0x02, 0x01, 0x05, 0x00};
static const uint8_t alg_rsa[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
	0x01, 0x01, 0x01, 0x05, 0x00};

/* 1.2.840.113549.1.7.2 signedData; .9.3 contentType; .9.4 messageDigest */
static const uint8_t oid_signed_data[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x07, 0x02};
static const uint8_t oid_content_type[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x03};
static const uint8_t oid_message_digest[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	0x09, 0x04};

/* 1.3.6.1.4.1.311.2.1.4 SPC_INDIRECT_DATA */
static const uint8_t oid_indirect_data[] = {0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37,
	0x02, 0x01, 0x04};

/*
 * SpcAttributeTypeAndOptionalValue {SPC_PE_IMAGE_DATA (….15), SpcPeImageData {flags {},
 * file "<<<Obsolete>>>" in UTF-16}}: every signature of a PE image has this constant.
 */
static const uint8_t image_data[] = {0x30, 0x33, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82,
	0x37, 0x02, 0x01, 0x0f, 0x30, 0x25, 0x03, 0x01, 0x00, 0xa0, 0x20, 0xa2, 0x1e, 0x80, 0x1c,
	0, '<', 0, '<', 0, '<', 0, 'O', 0, 'b', 0, 's', 0, 'o', 0, 'l', 0, 'e', 0, 't', 0, 'e', 0,
	'>', 0, '>', 0, '>'};

/* Tag, length, content. */
static int der_add(struct buf *out, uint8_t tag, const void *data, size_t len, struct error *err)
{
	uint8_t head[6] = {tag};
	size_t n = 1;

	if (len < 0x80) {
		head[n++] = (uint8_t)len;
	} else {
		size_t bytes = len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;

		head[n++] = (uint8_t)(0x80 | bytes);
		while (bytes--)
			head[n++] = (uint8_t)(len >> (8 * bytes));
	}
	return buf_add(out, head, n, err) < 0 || buf_add(out, data, len, err) < 0 ? -1 : 0;
}

static int der_add_buf(struct buf *out, uint8_t tag, const struct buf *content, struct error *err)
{
	return der_add(out, tag, content->data, content->len, err);
}

static int library_error(struct error *err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return error_set(err, ERROR_INPUT, 0, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

/* Asked for when a file is encrypted: notes it, and gives none. (Without it OpenSSL asks the terminal.) */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static BIO *open_pem(const char *path, struct buf *text, struct error *err)
{
	BIO *bio;

	if (file_read(path, text, err) < 0)
		return NULL;
	bio = BIO_new_mem_buf(buf_str(text), (int)text->len);
	if (!bio)
		error_nomem(err, "a PEM file");
	return bio;
}

static int read_key(struct crypto_signer *s, const char *path, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(PEM_MAX);
	bool asked = false, certificate = false;
	int r = 0;
	BIO *bio = open_pem(path, &text, err);

	if (bio) {
		s->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
		certificate = strstr(buf_str(&text), "-----BEGIN CERTIFICATE-----") != NULL;
		BIO_free(bio);
	}
	if (!bio)
		return -1;
	if (asked)
		r = error_set(err, ERROR_INPUT, 0,
			"the key '%s' is encrypted; give one without a passphrase", path);
	else if (!s->key)
		r = error_set(err, ERROR_INPUT, 0, "'%s' is no private key in PEM%s", path,
			certificate ? " but a certificate" : "");
	else if (EVP_PKEY_get_base_id(s->key) != EVP_PKEY_RSA)
		r = error_set(err, ERROR_INPUT, 0,
			"the key '%s' is no RSA key; UEFI firmware takes no other", path);
	else if (EVP_PKEY_get_bits(s->key) < RSA_BITS_MIN)
		r = error_set(err, ERROR_INPUT, 0, "the key '%s' has %d bits; UEFI wants %d or more",
			path, EVP_PKEY_get_bits(s->key), RSA_BITS_MIN);
	ERR_clear_error();
	return r;
}

/* It may be a key by mistake, so it is wiped as one. */
static int read_certificate(struct crypto_signer *s, const char *path, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(PEM_MAX);
	BIO *bio = open_pem(path, &text, err);
	bool asked = false, key = false;

	if (bio) {
		s->certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked);
		key = strstr(buf_str(&text), "PRIVATE KEY-----") != NULL;
		BIO_free(bio);
	}
	ERR_clear_error();
	if (bio && !s->certificate)
		return error_set(err, ERROR_INPUT, 0, "'%s' is no certificate in PEM%s", path,
			key ? " but a private key" : "");
	return bio ? 0 : -1;
}

static struct crypto_signer *signer_read(const char *key_path, const char *certificate_path,
	struct error *err)
{
	CLEANUP(crypto_signer_cleanup) struct crypto_signer *s = calloc(1, sizeof(*s));

	if (!s) {
		error_nomem(err, "a signing key");
		return NULL;
	}
	if ((key_path && read_key(s, key_path, err) < 0) ||
		(certificate_path && read_certificate(s, certificate_path, err) < 0))
		return NULL;
	if (s->key && s->certificate && X509_check_private_key(s->certificate, s->key) != 1) {
		ERR_clear_error();
		return error_null(err, ERROR_INPUT, 0, "the certificate '%s' is not that of the key '%s'",
			certificate_path, key_path);
	}
	return steal_ptr(&s);
}

struct crypto_signer *crypto_signer_new(const char *key_path, const char *certificate_path,
	struct error *err)
{
	return signer_read(key_path, certificate_path, err);
}

int crypto_signer_check(const char *key_path, const char *certificate_path, struct error *err)
{
	CLEANUP(crypto_signer_cleanup) struct crypto_signer *s =
		signer_read(key_path, certificate_path, err);

	return s ? 0 : -1;
}

void crypto_signer_free(struct crypto_signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->key);
	X509_free(s->certificate);
	free(s);
}

/* The content (without its tag and length, as the message digest wants it). */
static int indirect_data(const uint8_t digest[SHA256_SIZE], struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf info = BUF_INIT(DER_MAX);

	if (buf_add(&info, alg_sha256, sizeof(alg_sha256), err) < 0 ||
		der_add(&info, DER_OCTETS, digest, SHA256_SIZE, err) < 0 ||
		buf_add(out, image_data, sizeof(image_data), err) < 0)
		return -1;
	return der_add_buf(out, DER_SEQUENCE, &info, err);
}

/* Attribute {oid, SET {value}}. */
static int add_attribute(struct buf *out, const uint8_t *oid, size_t oid_len, const struct buf *value,
	struct error *err)
{
	CLEANUP_BUF struct buf attribute = BUF_INIT(DER_MAX);

	if (buf_add(&attribute, oid, oid_len, err) < 0 ||
		der_add_buf(&attribute, DER_SET, value, err) < 0)
		return -1;
	return der_add_buf(out, DER_SEQUENCE, &attribute, err);
}

/* Shorter first, which is DER's order of a SET for these two. */
static int add_attributes(struct buf *out, const struct buf *content, struct error *err)
{
	CLEANUP_BUF struct buf type = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf message = BUF_INIT(DER_MAX);
	uint8_t digest[SHA256_SIZE];

	if (sha256(content->data, content->len, digest, err) < 0 ||
		buf_add(&type, oid_indirect_data, sizeof(oid_indirect_data), err) < 0 ||
		der_add(&message, DER_OCTETS, digest, sizeof(digest), err) < 0 ||
		add_attribute(out, oid_content_type, sizeof(oid_content_type), &type, err) < 0)
		return -1;
	return add_attribute(out, oid_message_digest, sizeof(oid_message_digest), &message, err);
}

/* PKCS #1 v1.5, which has no randomness. */
static int rsa_sign(const struct crypto_signer *s, const struct buf *data, struct buf *out,
	struct error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = (size_t)EVP_PKEY_get_size(s->key);
	uint8_t *sig = buf_extend(out, len, err);
	int r = -1;

	if (!ctx)
		error_nomem(err, "a signature");
	else if (sig)
		r = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key) == 1 &&
				EVP_DigestSign(ctx, sig, &len, (const uint8_t *)data->data,
					data->len) == 1 ?
			0 :
			library_error(err, "cannot sign");
	EVP_MD_CTX_free(ctx);
	return r;
}

/* Appends the DER of an OpenSSL object by its i2d function. */
#define ADD_OBJECT(out, i2d, object, err)                                       \
	({                                                                      \
		uint8_t *der = NULL;                                            \
		int len = i2d(object, &der);                                    \
		int r_ = len < 0 ? library_error(err, "cannot encode a certificate") : \
				   buf_add(out, der, (size_t)len, err);         \
		OPENSSL_free(der);                                              \
		r_;                                                             \
	})

static int add_signer_info(const struct crypto_signer *s, const struct buf *content, struct buf *out,
	struct error *err)
{
	CLEANUP_BUF struct buf issuer = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf attributes = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf set = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf sig = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf info = BUF_INIT(DER_MAX);

	if (ADD_OBJECT(&issuer, i2d_X509_NAME, X509_get_issuer_name(s->certificate), err) < 0 ||
		ADD_OBJECT(&issuer, i2d_ASN1_INTEGER, X509_get0_serialNumber(s->certificate), err) < 0)
		return -1;
	/* Signed as a SET, carried as [0]. */
	if (add_attributes(&attributes, content, err) < 0 ||
		der_add_buf(&set, DER_SET, &attributes, err) < 0 || rsa_sign(s, &set, &sig, err) < 0)
		return -1;
	if (buf_add(&info, version_1, sizeof(version_1), err) < 0 ||
		der_add_buf(&info, DER_SEQUENCE, &issuer, err) < 0 ||
		buf_add(&info, alg_sha256, sizeof(alg_sha256), err) < 0 ||
		der_add_buf(&info, DER_EXPLICIT_0, &attributes, err) < 0 ||
		buf_add(&info, alg_rsa, sizeof(alg_rsa), err) < 0 ||
		der_add_buf(&info, DER_OCTETS, &sig, err) < 0)
		return -1;
	return der_add_buf(out, DER_SEQUENCE, &info, err);
}

/* ContentInfo {SPC_INDIRECT_DATA, [0] content}. */
static int add_content(const struct buf *content, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf sequence = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf info = BUF_INIT(DER_MAX);

	if (der_add_buf(&sequence, DER_SEQUENCE, content, err) < 0 ||
		buf_add(&info, oid_indirect_data, sizeof(oid_indirect_data), err) < 0 ||
		der_add_buf(&info, DER_EXPLICIT_0, &sequence, err) < 0)
		return -1;
	return der_add_buf(out, DER_SEQUENCE, &info, err);
}

static int signed_data(const struct crypto_signer *s, const struct buf *content, struct buf *out,
	struct error *err)
{
	CLEANUP_BUF struct buf certificate = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf signer = BUF_INIT(DER_MAX);

	if (ADD_OBJECT(&certificate, i2d_X509, s->certificate, err) < 0 ||
		add_signer_info(s, content, &signer, err) < 0)
		return -1;
	if (buf_add(out, version_1, sizeof(version_1), err) < 0 ||
		der_add(out, DER_SET, alg_sha256, sizeof(alg_sha256), err) < 0 ||
		add_content(content, out, err) < 0 ||
		der_add_buf(out, DER_EXPLICIT_0, &certificate, err) < 0)
		return -1;
	return der_add_buf(out, DER_SET, &signer, err);
}

int crypto_sign_authenticode(const struct crypto_signer *s, const uint8_t digest[SHA256_SIZE],
	struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf content = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf data = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf sequence = BUF_INIT(DER_MAX);
	CLEANUP_BUF struct buf info = BUF_INIT(DER_MAX);

	if (indirect_data(digest, &content, err) < 0 || signed_data(s, &content, &data, err) < 0 ||
		der_add_buf(&sequence, DER_SEQUENCE, &data, err) < 0)
		return -1;
	if (buf_add(&info, oid_signed_data, sizeof(oid_signed_data), err) < 0 ||
		der_add_buf(&info, DER_EXPLICIT_0, &sequence, err) < 0)
		return -1;
	return der_add_buf(out, DER_SEQUENCE, &info, err);
}
