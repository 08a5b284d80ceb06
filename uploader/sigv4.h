/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4, header and query form: canonical request, string to sign, signature, each a
 * function of its arguments alone, so that each stage is tested by itself. Used by the client to
 * sign and by the local region to verify. Source: AWS Identity and Access Management User Guide,
 * "Signature Version 4 for API requests".
 */
#ifndef AMIWRIGHT_UPLOADER_SIGV4_H
#define AMIWRIGHT_UPLOADER_SIGV4_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct sigv4_header {
	const char *name;  /* any case */
	const char *value; /* as sent; spaces are normalised here */
};

struct sigv4_request {
	const char *method;
	const char *path;  /* as on the request line, without the query: already percent-encoded once */
	const char *query; /* as on the request line, without '?'; may be "" */
	const struct sigv4_header *headers;
	size_t nr_headers;
	const char *payload_hash; /* hex SHA-256 of the body, or "UNSIGNED-PAYLOAD" */
	bool s3_path;      /* S3's rule: no normalisation, no second encoding */
};

struct sigv4_scope {
	char date[9];      /* YYYYMMDD */
	char time[17];     /* YYYYMMDDTHHMMSSZ */
	const char *region, *service;
};

/* Fills date and time from seconds since 1970 (UTC). */
void sigv4_scope_time(struct sigv4_scope *scope, int64_t now);

/* "host;x-amz-date": lower case, sorted, the headers that may not be signed left out. Appends. */
int sigv4_signed_headers(const struct sigv4_request *req, struct buf *out, struct error *err)
	MUST_CHECK;
/* The canonical request, appended. */
int sigv4_canonical_request(const struct sigv4_request *req, struct buf *out, struct error *err)
	MUST_CHECK;
/* What is signed in its place, of scope and its digest; appended. */
int sigv4_string_to_sign(const struct sigv4_scope *scope, const char *canonical, struct buf *out,
	struct error *err) MUST_CHECK;
/* The key is constant for a day, region and service: cache it. */
int sigv4_signing_key(const char *secret, const struct sigv4_scope *scope, uint8_t key[SHA256_SIZE],
	struct error *err) MUST_CHECK;
/* The signature, in lower-case hex. */
int sigv4_signature(const uint8_t key[SHA256_SIZE], const char *string_to_sign,
	char hex[SHA256_HEX_SIZE], struct error *err) MUST_CHECK;
/* What a body in signed chunks is made of. */
enum sigv4_link { SIGV4_CHUNK, SIGV4_TRAILER };
/*
 * The signature of a body's next chunk, or of its trailer, by the digest of its bytes (of a trailer:
 * each "name:value\n"). signature: that of what comes before it, the request's at first; gets the new
 * one. Source: Amazon S3 API Reference, "Signature calculations for trailing headers (chunked uploads)"
 * and what it refers to.
 */
int sigv4_link(const struct sigv4_scope *scope, const uint8_t key[SHA256_SIZE], enum sigv4_link link,
	const uint8_t digest[SHA256_SIZE], char signature[SHA256_HEX_SIZE], struct error *err) MUST_CHECK;
/* All of it: appends the value of the Authorization header. */
int sigv4_authorization(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const uint8_t key[SHA256_SIZE], struct buf *out, struct error *err)
	MUST_CHECK;

/*
 * The query form: appends to out the query of req, which has the X-Amz-* parameters of a presigned
 * URL and ends in its signature. req has the headers that are signed (host alone as a rule);
 * token: the session's, NULL when there is none. The payload's hash is that of req.
 */
int sigv4_presign(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const char *token, const uint8_t key[SHA256_SIZE], unsigned expires_s,
	struct buf *out, struct error *err) MUST_CHECK;

/* Percent-encodes all but A-Za-z0-9-_.~ (and '/' with keep_slash). Appends. */
int sigv4_encode(struct buf *out, const char *text, size_t len, bool keep_slash, struct error *err)
	MUST_CHECK;

#endif
