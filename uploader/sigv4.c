/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 in its header and query form. Each stage is a function of its arguments, so the
 * tests compare each with the published cases; nothing here knows a clock or a connection.
 * The first stage is sigv4_canonical.c.
 *
 *   canonical request   METHOD \n PATH \n QUERY \n (name:value \n)... \n SIGNED \n PAYLOADHASH
 *   string to sign      AWS4-HMAC-SHA256 \n TIME \n DATE/REGION/SERVICE/aws4_request \n hex(sha256(canonical))
 *   key                 HMAC chain over DATE, REGION, SERVICE, "aws4_request", from "AWS4" + secret
 *   chunk to sign       AWS4-HMAC-SHA256-PAYLOAD \n TIME \n SCOPE \n signature before
 *                       \n hex(sha256("")) \n hex(sha256(chunk))
 *   trailer to sign     AWS4-HMAC-SHA256-TRAILER \n TIME \n SCOPE \n signature before \n hex(sha256(trailer))
 */
#include "uploader/sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/num.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

void sigv4_scope_time(struct sigv4_scope *scope, int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		memset(&tm, 0, sizeof(tm));
	strftime(scope->date, sizeof(scope->date), "%Y%m%d", &tm);
	strftime(scope->time, sizeof(scope->time), "%Y%m%dT%H%M%SZ", &tm);
}

int sigv4_string_to_sign(const struct sigv4_scope *scope, const char *canonical, struct buf *out,
	struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (sha256(canonical, strlen(canonical), digest, err) < 0)
		return -1;
	return buf_addf(out, err, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", scope->time,
		scope->date, scope->region, scope->service, hex_encode(hex, digest, sizeof(digest)));
}

int sigv4_signing_key(const char *secret, const struct sigv4_scope *scope, uint8_t key[SHA256_SIZE],
	struct error *err)
{
	const char *const parts[] = {scope->date, scope->region, scope->service, "aws4_request"};
	char *start = buf_strf(err, "AWS4%s", secret);
	uint8_t from[SHA256_SIZE];
	int ret;

	if (!start)
		return -1;
	ret = hmac_sha256(start, strlen(start), parts[0], strlen(parts[0]), key, err);
	for (size_t i = 1; ret == 0 && i < ARRAY_SIZE(parts); i++) {
		memcpy(from, key, sizeof(from));
		ret = hmac_sha256(from, sizeof(from), parts[i], strlen(parts[i]), key, err);
	}
	explicit_bzero(start, strlen(start));
	explicit_bzero(from, sizeof(from));
	free(start);
	return ret;
}

int sigv4_signature(const uint8_t key[SHA256_SIZE], const char *string_to_sign,
	char hex[SHA256_HEX_SIZE], struct error *err)
{
	uint8_t mac[SHA256_SIZE];

	if (hmac_sha256(key, SHA256_SIZE, string_to_sign, strlen(string_to_sign), mac, err) < 0)
		return -1;
	hex_encode(hex, mac, sizeof(mac));
	return 0;
}

/* A chunk has a second digest, of headers that it might have: none. */
int sigv4_link(const struct sigv4_scope *scope, const uint8_t key[SHA256_SIZE], enum sigv4_link link,
	const uint8_t digest[SHA256_SIZE], char signature[SHA256_HEX_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	char hex[SHA256_HEX_SIZE];
	uint8_t none[SHA256_SIZE];

	if (buf_addf(&text, err, ALGORITHM "-%s\n%s\n%s/%s/%s/aws4_request\n%s\n",
		    link == SIGV4_CHUNK ? "PAYLOAD" : "TRAILER", scope->time, scope->date,
		    scope->region, scope->service, signature) < 0 ||
	    (link == SIGV4_CHUNK && (sha256("", 0, none, err) < 0 ||
			buf_addf(&text, err, "%s\n", hex_encode(hex, none, sizeof(none))) < 0)) ||
	    buf_add_str(&text, hex_encode(hex, digest, SHA256_SIZE), err) < 0)
		return -1;
	return sigv4_signature(key, buf_str(&text), signature, err);
}

int sigv4_authorization(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const uint8_t key[SHA256_SIZE], struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf canonical = BUF_INIT(0), text = BUF_INIT(0);
	char signature[SHA256_HEX_SIZE];

	if (sigv4_canonical_request(req, &canonical, err) < 0 ||
	    sigv4_string_to_sign(scope, buf_str(&canonical), &text, err) < 0 ||
	    sigv4_signature(key, buf_str(&text), signature, err) < 0)
		return -1;
	if (buf_addf(out, err, ALGORITHM " Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=",
		    access_key, scope->date, scope->region, scope->service) < 0 ||
	    sigv4_signed_headers(req, out, err) < 0)
		return -1;
	return buf_addf(out, err, ", Signature=%s", signature);
}

static int add_presign_query(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const char *token, unsigned expires_s, struct buf *out,
	struct error *err)
{
	CLEANUP_BUF struct buf names = BUF_INIT(0);

	if (buf_addf(out, err, "%s%sX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=", req->query,
		    req->query[0] ? "&" : "") < 0 ||
	    sigv4_encode(out, access_key, strlen(access_key), false, err) < 0 ||
	    buf_addf(out, err, "%%2F%s%%2F%s%%2F%s%%2Faws4_request&X-Amz-Date=%s&X-Amz-Expires=%u",
		    scope->date, scope->region, scope->service, scope->time, expires_s) < 0)
		return -1;
	if (token && (buf_add_str(out, "&X-Amz-Security-Token=", err) < 0 ||
			     sigv4_encode(out, token, strlen(token), false, err) < 0))
		return -1;
	if (sigv4_signed_headers(req, &names, err) < 0 ||
	    buf_add_str(out, "&X-Amz-SignedHeaders=", err) < 0)
		return -1;
	return sigv4_encode(out, buf_str(&names), names.len, false, err);
}

int sigv4_presign(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const char *token, const uint8_t key[SHA256_SIZE], unsigned expires_s,
	struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf query = BUF_INIT(0), canonical = BUF_INIT(0), text = BUF_INIT(0);
	struct sigv4_request whole = *req;
	char signature[SHA256_HEX_SIZE];

	if (add_presign_query(req, scope, access_key, token, expires_s, &query, err) < 0)
		return -1;
	whole.query = buf_str(&query);
	if (sigv4_canonical_request(&whole, &canonical, err) < 0 ||
	    sigv4_string_to_sign(scope, buf_str(&canonical), &text, err) < 0 ||
	    sigv4_signature(key, buf_str(&text), signature, err) < 0)
		return -1;
	return buf_addf(out, err, "%s&X-Amz-Signature=%s", buf_str(&query), signature);
}
