/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates out of PEM files, and what to say of files that hold something else. */
#include "base/crypto_rsa_internal.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/file.h"
#include "base/num.h"

enum { PEM_MAX = 1 << 20, SECONDS_A_DAY = 86400 };

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

OSSL_LIB_CTX *crypto_rsa_library(struct error *err)
{
	pthread_once(&library_once, make_library);
	if (!library)
		error_nomem(err, "OpenSSL's context");
	return library;
}

/* What a passphrase is asked for with. */
struct asking {
	crypto_passphrase_fn ask;
	void *arg;
	const char *path;
	bool asked, failed;
	struct error *err;
};

/* What people mistake for what is wanted, by PEM's labels, and what helps. */
static const struct {
	const char *label, *is;
} mistaken[] = {
	{"-----BEGIN OPENSSH PRIVATE KEY-----",
		" but OpenSSH's own form: 'ssh-keygen -p -m PEM -f FILE' makes it one"},
	{"-----BEGIN CERTIFICATE-----", " but a certificate"},
	{"PRIVATE KEY-----", " but a private key"},
	{"-----BEGIN PUBLIC KEY-----", " but a public key"},
};

enum { DER_SEQUENCE = 0x30 };

/* The end of "'PATH' is no … in PEM": what it is instead; "" when nobody knows. */
static const char *what_else(const struct buf *text, const char *label, const char *der)
{
	const char *openssh = mistaken[0].label;

	if (strstr(buf_str(text), label) && !strstr(buf_str(text), openssh))
		return " that is whole";
	for (size_t i = 0; i < ARRAY_SIZE(mistaken); i++)
		if (strstr(buf_str(text), mistaken[i].label))
			return mistaken[i].is;
	return text->len && (uint8_t)text->data[0] == DER_SEQUENCE ? der : "";
}

static int give_passphrase(char *buf, int size, int writing, void *arg)
{
	struct asking *a = arg;
	char text[CRYPTO_PASSPHRASE_MAX] = "";
	size_t len;

	(void)writing;
	/* The library tries one decoder after the other, and each asks: nobody wants to refuse twice. */
	if (a->failed)
		return -1;
	a->asked = true;
	if (!a->ask || a->ask(a->arg, a->path, text, sizeof(text), a->err) < 0) {
		OPENSSL_cleanse(text, sizeof(text));
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

/* With 1 whoever has the manifest has the key; an even one can be undone by nobody. */
static bool good_exponent(const EVP_PKEY *key)
{
	BIGNUM *e = NULL;
	bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
		    !BN_is_one(e);

	BN_free(e);
	return good;
}

static int check_key(const EVP_PKEY *key, const char *path, struct error *err)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return error_set(err, ERROR_INPUT, 0, "'%s' has no RSA key; EC2 takes no other", path);
	if (EVP_PKEY_get_bits(key) < CRYPTO_RSA_BITS_MIN ||
		EVP_PKEY_get_bits(key) > 8 * CRYPTO_RSA_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"the key of '%s' has %d bits; %d to %d are right", path,
			EVP_PKEY_get_bits(key), CRYPTO_RSA_BITS_MIN, 8 * CRYPTO_RSA_MAX);
	if (!good_exponent(key))
		return error_set(err, ERROR_INPUT, 0,
			"the key of '%s' has an even public exponent or 1, which encrypts nothing",
			path);
	return 0;
}

/* Whether the library lacks what the key was encrypted with: single DES, RC2 and the like. */
static bool lacks_cipher(void)
{
	unsigned long code;
	bool lacks = false;

	while ((code = ERR_get_error()))
		lacks = lacks || (ERR_GET_LIB(code) == ERR_LIB_EVP &&
					 ERR_GET_REASON(code) == ERR_R_UNSUPPORTED);
	return lacks;
}

/* Why PEM_read_bio_PrivateKey_ex() gave none. */
static int no_key(const struct asking *a, const struct buf *text, struct error *err)
{
	if (a->failed)
		return -1;
	if (a->asked && !a->ask)
		return error_set(err, ERROR_INPUT, 0, "the key '%s' is encrypted", a->path);
	if (a->asked && lacks_cipher())
		return error_set(err, ERROR_INPUT, 0,
			"the key '%s' is encrypted with an algorithm that OpenSSL %s no longer offers: "
			"'openssl pkcs8 -topk8 -provider legacy -provider default -in FILE' makes it a newer one",
			a->path, OpenSSL_version(OPENSSL_VERSION_STRING));
	if (a->asked)
		return error_set(err, ERROR_INPUT, 0,
			"the key '%s' cannot be decrypted: the passphrase is wrong, or the file is damaged",
			a->path);
	return error_set(err, ERROR_INPUT, 0, "'%s' is no private key in PEM%s", a->path,
		what_else(text, "PRIVATE KEY-----",
			" but DER perhaps: 'openssl pkey -inform DER -in FILE' makes it one"));
}

static int read_key(struct crypto_rsa_key *k, struct asking *a, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(PEM_MAX);
	OSSL_LIB_CTX *lib = crypto_rsa_library(err);
	BIO *bio = NULL;
	int ret = -1;

	if (!lib || file_read(a->path, &text, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(buf_str(&text), (int)text.len);
	if (!bio) {
		error_nomem(err, "a PEM file");
	} else {
		k->pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, give_passphrase, a, lib, NULL);
		ret = k->pkey ? check_key(k->pkey, a->path, err) : no_key(a, &text, err);
	}
	BIO_free(bio);
	ERR_clear_error();
	return ret;
}

struct crypto_rsa_key *crypto_rsa_key_open(
	const char *path, crypto_passphrase_fn ask, void *arg, struct error *err)
{
	struct asking asking = {.ask = ask, .arg = arg, .path = path, .err = err};
	struct crypto_rsa_key *k = calloc(1, sizeof(*k));

	if (!k)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a key");
	if (read_key(k, &asking, err) == 0 && crypto_rsa_check(k, path, err) == 0)
		return k;
	crypto_rsa_key_free(k);
	return NULL;
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
	OSSL_LIB_CTX *lib = crypto_rsa_library(err);
	BIO *bio;

	if (!lib || file_read(path, &text, err) < 0)
		return -1;
	bio = BIO_new_mem_buf(buf_str(&text), (int)text.len);
	c->x509 = X509_new_ex(lib, NULL);
	if (!bio || !c->x509) {
		BIO_free(bio);
		return error_nomem(err, "a certificate");
	}
	/* With the trust settings that may stand behind it. Frees c->x509 and makes it NULL when it fails. */
	if (!PEM_read_bio_X509_AUX(bio, &c->x509, give_passphrase, &nobody)) {
		X509_free(c->x509);
		c->x509 = NULL;
	}
	BIO_free(bio);
	if (!c->x509)
		error_set(err, ERROR_INPUT, 0, "'%s' is no certificate in PEM%s", path,
			what_else(&text, "CERTIFICATE-----",
				" but DER perhaps: 'openssl x509 -inform DER -in FILE' makes it one"));
	ERR_clear_error();
	return c->x509 ? 0 : -1;
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
