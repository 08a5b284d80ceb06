/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw PKCS #1 v1.5 by OpenSSL. The library context is made without the machine's configuration file,
 * which may forbid SHA-1 or short keys; and SHA-1 is put into its DigestInfo here, for patched
 * libraries refuse it as a digest of signatures whatever the context.
 */
#include "base/crypto_rsa.h"

#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/file.h"

enum { PEM_MAX = 1 << 20, RSA_BITS_MIN = 1024, PADDING_MIN = 11, SECONDS_A_DAY = 86400 };

struct crypto_rsa_key {
	EVP_PKEY *pkey;
};

struct crypto_certificate {
	X509 *x509;
	EVP_PKEY *pkey; /* borrowed from x509 */
	struct crypto_certificate_info info;
};

/* DigestInfo {SHA-1, NULL}, up to the digest (RFC 8017, section 9.2, note 1). */
static const uint8_t sha1_info[] = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a,
	0x05, 0x00, 0x04, 0x14};
enum { INFO_SIZE = sizeof(sha1_info) + SHA1_SIZE };

/* Made once, kept for the life of the process. */
static OSSL_LIB_CTX *library;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void free_library(void)
{
	OSSL_LIB_CTX_free(library);
}

static void make_library(void)
{
	library = OSSL_LIB_CTX_new();
	/* Before OpenSSL's own clean-up at exit, which was registered earlier. */
	if (library)
		atexit(free_library);
}

static OSSL_LIB_CTX *get_library(struct error *err)
{
	pthread_once(&library_once, make_library);
	if (!library)
		error_nomem(err, "OpenSSL's context");
	return library;
}

static int library_failed(struct error *err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	error_set(err, ERROR_INPUT, 0, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	return -1;
}

/* What a passphrase is asked for with. */
struct asking {
	crypto_passphrase_fn ask;
	void *arg;
	const char *path;
	bool asked, failed;
	struct error *err;
};

static int give_passphrase(char *buf, int size, int writing, void *arg)
{
	struct asking *a = arg;
	char text[CRYPTO_PASSPHRASE_MAX] = "";
	size_t len;

	(void)writing;
	a->asked = true;
	if (!a->ask || a->ask(a->arg, a->path, text, sizeof(text), a->err) < 0) {
		a->failed = a->ask != NULL;
		return -1;
	}
	len = strlen(text);
	if (len > (size_t)size)
		len = (size_t)size;
	memcpy(buf, text, len);
	OPENSSL_cleanse(text, sizeof(text));
	return (int)len;
}

static int check_key(const EVP_PKEY *key, const char *path, struct error *err)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return error_set(err, ERROR_INPUT, 0, "'%s' has no RSA key; EC2 takes no other", path);
	if (EVP_PKEY_get_bits(key) < RSA_BITS_MIN || EVP_PKEY_get_bits(key) > 8 * CRYPTO_RSA_MAX)
		return error_set(err, ERROR_INPUT, 0, "the key of '%s' has %d bits; %d to %d are right",
			path, EVP_PKEY_get_bits(key), RSA_BITS_MIN, 8 * CRYPTO_RSA_MAX);
	return 0;
}

/* Why PEM_read_bio_PrivateKey_ex() gave none. */
static int no_key(const struct asking *a, const char *text, struct error *err)
{
	if (a->failed)
		return -1;
	if (a->asked && !a->ask)
		return error_set(err, ERROR_INPUT, 0, "the key '%s' is encrypted", a->path);
	if (a->asked)
		return error_set(err, ERROR_INPUT, 0,
			"the key '%s' cannot be decrypted: the passphrase is wrong, or the file is damaged",
			a->path);
	return error_set(err, ERROR_INPUT, 0, "'%s' is no private key in PEM%s", a->path,
		strstr(text, "-----BEGIN CERTIFICATE-----") ? " but a certificate" : "");
}

static int read_key(struct crypto_rsa_key *k, struct asking *a, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(PEM_MAX);
	OSSL_LIB_CTX *lib = get_library(err);
	BIO *bio = NULL;
	int ret = -1;

	if (!lib || file_read(a->path, &text, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(buf_str(&text), (int)text.len);
	if (!bio) {
		error_nomem(err, "a PEM file");
	} else {
		k->pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, give_passphrase, a, lib, NULL);
		ret = k->pkey ? check_key(k->pkey, a->path, err) : no_key(a, buf_str(&text), err);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ret;
}

struct crypto_rsa_key *crypto_rsa_key_open(const char *path, crypto_passphrase_fn ask, void *arg,
	struct error *err)
{
	struct asking asking = {.ask = ask, .arg = arg, .path = path, .err = err};
	struct crypto_rsa_key *k = calloc(1, sizeof(*k));

	if (!k)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a key");
	if (read_key(k, &asking, err) == 0)
		return k;
	crypto_rsa_key_free(k);
	return NULL;
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
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(library, pkey, NULL);

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

static bool seconds_of(const ASN1_TIME *time, int64_t *out)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool good = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;

	ASN1_TIME_free(epoch);
	*out = (int64_t)days * SECONDS_A_DAY + seconds;
	return good;
}

/* It may be a key by mistake, so it is wiped as one. */
static int read_certificate(struct crypto_certificate *c, const char *path, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(PEM_MAX);
	struct asking nobody = {.path = path};
	OSSL_LIB_CTX *lib = get_library(err);
	BIO *bio;
	bool key;

	if (!lib || file_read(path, &text, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(buf_str(&text), (int)text.len);
	c->x509 = X509_new_ex(lib, NULL);
	if (!bio || !c->x509) {
		BIO_free(bio);
		return error_nomem(err, "a certificate");
	}
	key = strstr(buf_str(&text), "PRIVATE KEY-----") != NULL;
	/* It frees c->x509 and makes it NULL when it fails. */
	if (!PEM_read_bio_X509(bio, &c->x509, give_passphrase, &nobody)) {
		X509_free(c->x509);
		c->x509 = NULL;
	}
	BIO_free(bio);
	ERR_clear_error();
	if (!c->x509)
		return error_set(err, ERROR_INPUT, 0, "'%s' is no certificate in PEM%s", path,
			key ? " but a private key" : "");
	return 0;
}

static int read_info(struct crypto_certificate *c, const char *path, struct error *err)
{
	unsigned len = SHA1_SIZE;

	c->pkey = X509_get0_pubkey(c->x509);
	if (!c->pkey || X509_digest(c->x509, EVP_sha1(), c->info.sha1, &len) != 1 ||
		!seconds_of(X509_get0_notBefore(c->x509), &c->info.not_before) ||
		!seconds_of(X509_get0_notAfter(c->x509), &c->info.not_after)) {
		ERR_clear_error();
		return error_set(err, ERROR_INPUT, 0, "the certificate '%s' is damaged", path);
	}
	c->info.bits = (unsigned)EVP_PKEY_get_bits(c->pkey);
	return check_key(c->pkey, path, err);
}

struct crypto_certificate *crypto_certificate_open(const char *path, struct error *err)
{
	struct crypto_certificate *c = calloc(1, sizeof(*c));

	if (!c)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a certificate");
	if (read_certificate(c, path, err) == 0 && read_info(c, path, err) == 0)
		return c;
	crypto_certificate_free(c);
	return NULL;
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
