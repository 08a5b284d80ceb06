/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 and HMAC over OpenSSL's EVP, and the text forms of bytes. The algorithm is fetched once:
 * fetching it anew takes longer than hashing a small message.
 */
#include "base/hash.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/num.h"

enum { SHA256_BLOCK = 64 };

struct sha256 {
	EVP_MD_CTX *ctx;
};

static EVP_MD *algorithm;
static pthread_once_t algorithm_once = PTHREAD_ONCE_INIT;

static void fetch_algorithm(void)
{
	/* Freed by the library's own cleanup at exit. */
	algorithm = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

static const EVP_MD *get_algorithm(struct error *err)
{
	pthread_once(&algorithm_once, fetch_algorithm);
	if (!algorithm)
		error_set(err, ERROR_IO, 0, "the OpenSSL library offers no SHA-256");
	return algorithm;
}

/*
 * Once the algorithm is there, only the library's allocations can fail; it reports them in several
 * ways. Its queue of errors is the thread's: what stayed in it would be blamed on a later call.
 */
static int failed(struct error *err)
{
	ERR_clear_error();
	return error_nomem(err, "a SHA-256");
}

int sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE], struct error *err)
{
	const EVP_MD *md = get_algorithm(err);

	if (!md)
		return -1;
	return EVP_Digest(data, len, out, NULL, md, NULL) == 1 ? 0 : failed(err);
}

int sha1(const void *data, size_t len, uint8_t out[SHA1_SIZE], struct error *err)
{
	if (EVP_Digest(data, len, out, NULL, EVP_sha1(), NULL) == 1)
		return 0;
	ERR_clear_error();
	return error_set(err, ERROR_IO, 0, "the OpenSSL library offers no SHA-1");
}

struct sha256 *sha256_new(struct error *err)
{
	const EVP_MD *md = get_algorithm(err);
	struct sha256 *h;

	if (!md)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h)
		h->ctx = EVP_MD_CTX_new();
	if (!h || !h->ctx || EVP_DigestInit_ex(h->ctx, md, NULL) != 1) {
		sha256_free(h);
		ERR_clear_error();
		error_nomem(err, "a SHA-256");
		return NULL;
	}
	return h;
}

int sha256_update(struct sha256 *h, const void *data, size_t len, struct error *err)
{
	return EVP_DigestUpdate(h->ctx, data, len) == 1 ? 0 : failed(err);
}

int sha256_final(struct sha256 *h, uint8_t out[SHA256_SIZE], struct error *err)
{
	if (EVP_DigestFinal_ex(h->ctx, out, NULL) != 1 ||
		EVP_DigestInit_ex(h->ctx, algorithm, NULL) != 1)
		return failed(err);
	return 0;
}

void sha256_free(struct sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

/* SHA-256 of pad (one block) and data. */
static int padded_sha256(struct sha256 *h, const uint8_t pad[SHA256_BLOCK], const void *data,
	size_t len, uint8_t out[SHA256_SIZE], struct error *err)
{
	if (sha256_update(h, pad, SHA256_BLOCK, err) < 0 || sha256_update(h, data, len, err) < 0)
		return -1;
	return sha256_final(h, out, err);
}

/* Made from the digest: the library's own EVP_MAC looks the digest up by name for every message. */
int hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
	uint8_t out[SHA256_SIZE], struct error *err)
{
	struct sha256 *h = sha256_new(err);
	uint8_t inner[SHA256_BLOCK] = {0}, outer[SHA256_BLOCK], digest[SHA256_SIZE];
	int ret = -1;

	if (!h)
		return -1;
	if (key_len > SHA256_BLOCK) {
		if (sha256(key, key_len, inner, err) < 0)
			goto out;
	} else if (key_len > 0) {
		memcpy(inner, key, key_len);
	}
	for (size_t i = 0; i < SHA256_BLOCK; i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	if (padded_sha256(h, inner, data, len, digest, err) < 0)
		goto out;
	ret = padded_sha256(h, outer, digest, sizeof(digest), out, err);
out:
	OPENSSL_cleanse(inner, sizeof(inner));
	OPENSSL_cleanse(outer, sizeof(outer));
	OPENSSL_cleanse(digest, sizeof(digest));
	sha256_free(h);
	return ret;
}

char *hex_encode(char *out, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(void *out, size_t len, const char *text)
{
	uint8_t *p = out;

	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return true;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * len] != '\0';
}

int base64_encode(struct buf *out, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;
	size_t groups = len / 3 + (len % 3 != 0);
	unsigned char *room;

	if (groups > SIZE_MAX / 4)
		return error_set(err, ERROR_INPUT, 0, "%zu bytes are too many for base64", len);
	room = buf_extend(out, 4 * groups, err);
	if (!room)
		return -1;
	/*
	 * The library counts in int; pieces of whole groups join without a seam. It adds a NUL, as
	 * buf does.
	 */
	while (len > 0) {
		size_t piece = MIN(len, (size_t)3 << 20);

		room += EVP_EncodeBlock(room, p, (int)piece);
		p += piece;
		len -= piece;
	}
	return 0;
}

/* Value of a base64 digit, -1 when it is none. */
static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/*
 * Decodes one group of four characters, `used` of which are no padding. True when it is none; bits
 * that padding leaves over must be zero, so that each byte string has one text.
 */
static bool decode_group(const char *text, unsigned used, uint8_t out[3])
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		int digit = i < used ? base64_digit(text[i]) : 0;

		if (digit < 0)
			return true;
		bits = bits << 6 | (uint32_t)digit;
	}
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	return (used == 2 && (bits & 0xffff)) || (used == 3 && (bits & 0xff));
}

int base64_decode(struct buf *out, const char *text, struct error *err)
{
	size_t len = strlen(text), before = out->len;
	unsigned padding = 0;
	uint8_t *room, group[3];

	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	room = buf_extend(out, len / 4 * 3, err);
	if (!room)
		return -1;
	for (size_t i = 0; i + 4 <= len; i += 4, room += 3) {
		if (decode_group(text + i, i + 4 == len ? 4 - padding : 4, group))
			goto fail;
		memcpy(room, group, sizeof(group));
	}
	if (len % 4 != 0)
		goto fail;
	buf_truncate(out, out->len - padding);
	return 0;
fail:
	buf_truncate(out, before);
	return error_set(err, ERROR_INPUT, 0, "a text is not valid base64");
}

char *base64_sha256(char out[SHA256_BASE64_SIZE], const uint8_t digest[SHA256_SIZE])
{
	EVP_EncodeBlock((unsigned char *)out, digest, SHA256_SIZE);
	return out;
}

int hash_uuid(const char *salt, const char *text, uint8_t out[16], struct error *err)
{
	struct sha256 *h = sha256_new(err);
	uint8_t digest[SHA256_SIZE];
	int ret = -1;

	if (!h)
		return -1;
	/* The salt goes in with its NUL, so that ("ab", "c") and ("a", "bc") differ. */
	if (sha256_update(h, salt, strlen(salt) + 1, err) == 0 &&
		sha256_update(h, text, strlen(text), err) == 0)
		ret = sha256_final(h, digest, err);
	sha256_free(h);
	if (ret < 0)
		return -1;
	memcpy(out, digest, 16);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x80);
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
	return 0;
}

/* Where the dashes of a UUID's text stand. */
static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

char *uuid_format(char out[UUID_TEXT_SIZE], const uint8_t uuid[16])
{
	char hex[33];
	const char *digit = hex_encode(hex, uuid, 16);

	for (size_t i = 0; i < UUID_TEXT_SIZE; i++)
		out[i] = is_dash(i) ? '-' : *digit++;
	return out;
}

bool uuid_from_text(uint8_t out[16], const char *text)
{
	char hex[33];
	size_t used = 0;

	if (strlen(text) != UUID_TEXT_SIZE - 1)
		return true;
	for (size_t i = 0; i < UUID_TEXT_SIZE; i++) {
		if (!is_dash(i))
			hex[used++] = text[i];
		else if (text[i] != '-')
			return true;
	}
	return hex_decode(out, 16, hex);
}
