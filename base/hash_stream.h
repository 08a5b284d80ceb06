/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of streams, of the kinds that S3 and OVAs speak of: MD5 (RFC 1321), SHA-1, SHA-256, SHA-512 by OpenSSL,
 * and the reflected CRCs CRC-32, CRC-32C and CRC-64/NVME, whose digest is big-endian.
 */
#ifndef AMIWRIGHT_BASE_HASH_STREAM_H
#define AMIWRIGHT_BASE_HASH_STREAM_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum hash_kind { HASH_MD5, HASH_SHA1, HASH_SHA256, HASH_SHA512, HASH_CRC32, HASH_CRC32C, HASH_CRC64NVME };
enum { HASH_STREAM_MAX = 64 };

struct hash_stream;
/* One digest, piece by piece. Errors are those of OpenSSL: a kind that it is forbidden to have. */
struct hash_stream *hash_stream_new(enum hash_kind kind, struct error *err) MUST_CHECK;
int hash_stream_update(struct hash_stream *h, const void *data, size_t len, struct error *err)
	MUST_CHECK;
/* Once, at the end; *len gets the digest's length in bytes. */
int hash_stream_final(struct hash_stream *h, uint8_t out[HASH_STREAM_MAX], size_t *len,
	struct error *err) MUST_CHECK;
void hash_stream_free(struct hash_stream *h);
DEFINE_CLEANUP(hash_stream, struct hash_stream, hash_stream_free)

#endif
