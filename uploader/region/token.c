/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens: 32 bytes as 43 characters.
 *
 *    0   8  value, little endian
 *    8   8  expiry, seconds since 1970
 *   16  16  first half of HMAC-SHA-256 over value, expiry and subject
 */
#include "uploader/region/token.h"

#include <string.h>

#include "base/num.h"

enum { TOKEN_RAW = 32, TOKEN_MAC = 16, SUBJECT_MAX = 200 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int token_mac(const uint8_t key[SHA256_SIZE], const char *subject, uint8_t raw[TOKEN_RAW],
	uint8_t mac[SHA256_SIZE], struct error *err)
{
	uint8_t text[TOKEN_RAW - TOKEN_MAC + SUBJECT_MAX];
	size_t len = strlen(subject);

	if (len > SUBJECT_MAX)
		return error_set(err, ERROR_BUG, 0, "token subject of %zu bytes", len);
	memcpy(text, raw, TOKEN_RAW - TOKEN_MAC);
	memcpy(text + TOKEN_RAW - TOKEN_MAC, subject, len);
	return hmac_sha256(key, SHA256_SIZE, text, TOKEN_RAW - TOKEN_MAC + len, mac, err);
}

static void encode(const uint8_t raw[TOKEN_RAW], char out[TOKEN_SIZE])
{
	unsigned bits = 0, have = 0;
	size_t n = 0;

	for (size_t i = 0; i < TOKEN_RAW; i++) {
		bits = bits << 8 | raw[i];
		for (have += 8; have >= 6; have -= 6)
			out[n++] = alphabet[bits >> (have - 6) & 63];
	}
	out[n++] = alphabet[bits << (6 - have) & 63];
	out[n] = '\0';
}

/* True when it is not what encode() gives. */
static bool decode(const char *token, uint8_t raw[TOKEN_RAW])
{
	unsigned bits = 0, have = 0;
	size_t n = 0;

	if (strlen(token) != TOKEN_SIZE - 1)
		return true;
	for (; *token; token++) {
		const char *at = strchr(alphabet, *token);

		if (!at)
			return true;
		bits = (bits << 6 | (unsigned)(at - alphabet)) & 0xffff;
		have += 6;
		if (have >= 8 && n < TOKEN_RAW) {
			have -= 8;
			raw[n++] = (uint8_t)(bits >> have);
		}
	}
	return (bits & ((1u << have) - 1)) != 0;
}

int token_make(const uint8_t key[SHA256_SIZE], const char *subject, uint64_t value, int64_t expires,
	char out[TOKEN_SIZE], struct error *err)
{
	uint8_t raw[TOKEN_RAW], mac[SHA256_SIZE];

	num_put_le64(raw, value);
	num_put_le64(raw + 8, (uint64_t)expires);
	if (token_mac(key, subject, raw, mac, err) < 0)
		return -1;
	memcpy(raw + TOKEN_RAW - TOKEN_MAC, mac, TOKEN_MAC);
	encode(raw, out);
	return 0;
}

bool token_open(const uint8_t key[SHA256_SIZE], const char *subject, const char *token, int64_t now,
	uint64_t *value)
{
	uint8_t raw[TOKEN_RAW], mac[SHA256_SIZE];

	if (decode(token, raw) || token_mac(key, subject, raw, mac, NULL) < 0 ||
	    !token_equal(raw + TOKEN_RAW - TOKEN_MAC, mac, TOKEN_MAC) ||
	    (int64_t)num_get_le64(raw + 8) < now)
		return true;
	*value = num_get_le64(raw);
	return false;
}

bool token_equal(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t differ = 0;

	for (size_t i = 0; i < len; i++)
		differ |= x[i] ^ y[i];
	return differ == 0;
}
