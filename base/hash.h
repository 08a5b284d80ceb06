/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256, HMAC-SHA-256, base64 and hex, over OpenSSL's EVP. Errors can come only from the
 * library's allocation or configuration (a FIPS provider without the algorithm).
 */
#ifndef AMIWRIGHT_BASE_HASH_H
#define AMIWRIGHT_BASE_HASH_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 65, SHA256_BASE64_SIZE = 45 };
enum { SHA1_SIZE = 20, SHA1_HEX_SIZE = 41 };

/* One-shot and streaming SHA-256 (FIPS 180-4). */
int sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE], struct error *err) MUST_CHECK;

struct sha256;
/* Messages piece by piece: update() as often as wanted, then final(). */
struct sha256 *sha256_new(struct error *err) MUST_CHECK;
int sha256_update(struct sha256 *h, const void *data, size_t len, struct error *err) MUST_CHECK;
/* Gives the digest and makes the object ready for a new message. */
int sha256_final(struct sha256 *h, uint8_t out[SHA256_SIZE], struct error *err) MUST_CHECK;
void sha256_free(struct sha256 *h);

/* SHA-1, for formats that name things by it; it protects nothing. */
int sha1(const void *data, size_t len, uint8_t out[SHA1_SIZE], struct error *err) MUST_CHECK;

/* HMAC-SHA-256 (RFC 2104). */
int hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
	uint8_t out[SHA256_SIZE], struct error *err) MUST_CHECK;

/* Lower-case hex with a NUL: out has 2 * len + 1 bytes. Returns out. */
char *hex_encode(char *out, const void *data, size_t len);
/* The value of a hex digit of either case; -1 when it is none. */
int hex_digit(char c);
/* Exactly 2 * len hex digits (either case) and a NUL; true when it is anything else. */
bool hex_decode(void *out, size_t len, const char *text) MUST_CHECK;

/* RFC 4648 with padding. base64_encode appends; base64_decode takes exactly one encoded text. */
int base64_encode(struct buf *out, const void *data, size_t len, struct error *err) MUST_CHECK;
int base64_decode(struct buf *out, const char *text, struct error *err) MUST_CHECK;
/* A SHA-256 as 44 characters and a NUL. Returns out. */
char *base64_sha256(char out[SHA256_BASE64_SIZE], const uint8_t digest[SHA256_SIZE]);

/*
 * A UUID derived from text (RFC 9562 version 8 layout: SHA-256 of salt, NUL, text, first 16 bytes
 * with version and variant bits set), as 16 bytes in text order.
 */
int hash_uuid(const char *salt, const char *text, uint8_t out[16], struct error *err) MUST_CHECK;
enum { UUID_TEXT_SIZE = 37 };
/* "8-4-4-4-12" lower case. Returns out. */
char *uuid_format(char out[UUID_TEXT_SIZE], const uint8_t uuid[16]);
/*
 * True when text is not a UUID. (Not uuid_parse(): libuuid, which libfdisk calls, has that name.)
 */
bool uuid_from_text(uint8_t out[16], const char *text) MUST_CHECK;

#endif
