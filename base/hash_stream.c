/* SPDX-License-Identifier: Apache-2.0 */
/* Message digests by EVP; the CRCs by one table a stream, made from the reflected polynomial. */
#include "base/hash_stream.h"

#include <openssl/err.h>
#include <openssl/evp.h>

struct hash_stream {
	EVP_MD_CTX *ctx; /* NULL: a CRC */
	uint64_t table[256], crc, mask;
	size_t len;
};

static void crc_begin(struct hash_stream *h, uint64_t polynomial, size_t len)
{
	h->len = len;
	h->mask = len == 8 ? UINT64_MAX : UINT32_MAX;
	h->crc = h->mask;
	for (unsigned i = 0; i < 256; i++) {
		uint64_t value = i;

		for (unsigned bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ polynomial : value >> 1;
		h->table[i] = value;
	}
}

static int failed(struct error *err)
{
	ERR_clear_error();
	return error_set(err, ERROR_IO, 0, "the OpenSSL library cannot make a digest");
}

static int evp_begin(struct hash_stream *h, const EVP_MD *md, struct error *err)
{
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, md, NULL) != 1)
		return failed(err);
	h->len = (size_t)EVP_MD_get_size(md);
	return 0;
}

static int begin(struct hash_stream *h, enum hash_kind kind, struct error *err)
{
	switch (kind) {
	case HASH_MD5:
		return evp_begin(h, EVP_md5(), err);
	case HASH_SHA1:
		return evp_begin(h, EVP_sha1(), err);
	case HASH_SHA256:
		return evp_begin(h, EVP_sha256(), err);
	case HASH_SHA512:
		return evp_begin(h, EVP_sha512(), err);
	case HASH_CRC32:
		crc_begin(h, UINT64_C(0xedb88320), 4);
		break;
	case HASH_CRC32C:
		crc_begin(h, UINT64_C(0x82f63b78), 4);
		break;
	case HASH_CRC64NVME:
		crc_begin(h, UINT64_C(0x9a6c9329ac4bc9b5), 8);
		break;
	}
	return 0;
}

struct hash_stream *hash_stream_new(enum hash_kind kind, struct error *err)
{
	struct hash_stream *h = calloc(1, sizeof(*h));

	if (!h)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a digest");
	if (begin(h, kind, err) < 0) {
		hash_stream_free(h);
		return NULL;
	}
	return h;
}

int hash_stream_update(struct hash_stream *h, const void *data, size_t len, struct error *err)
{
	const uint8_t *at = data;

	if (h->ctx)
		return EVP_DigestUpdate(h->ctx, data, len) == 1 ? 0 : failed(err);
	for (size_t i = 0; i < len; i++)
		h->crc = h->crc >> 8 ^ h->table[(h->crc ^ at[i]) & 0xff];
	return 0;
}

int hash_stream_final(struct hash_stream *h, uint8_t out[HASH_STREAM_MAX], size_t *len,
	struct error *err)
{
	*len = h->len;
	if (h->ctx)
		return EVP_DigestFinal_ex(h->ctx, out, NULL) == 1 ? 0 : failed(err);
	h->crc ^= h->mask;
	for (size_t i = 0; i < h->len; i++)
		out[i] = (uint8_t)(h->crc >> (8 * (h->len - 1 - i)));
	return 0;
}

void hash_stream_free(struct hash_stream *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}
