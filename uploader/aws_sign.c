/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing of a call: the headers that AWS wants in every request, and the signature over all of
 * them. The derived key is kept for its day, so a signature costs one SHA-256 and one HMAC over
 * half a kilobyte.
 */
#include "uploader/aws_internal.h"

#include <string.h>

#include "uploader/sigv4.h"

enum { MAX_HEADERS = 32 };

static int payload_hash(const struct aws_call *call, char hex[SHA256_HEX_SIZE], struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	if (call->unsigned_payload) {
		memcpy(hex, "UNSIGNED-PAYLOAD", sizeof("UNSIGNED-PAYLOAD"));
		return 0;
	}
	if (call->payload_hash[0]) {
		memcpy(hex, call->payload_hash, SHA256_HEX_SIZE);
		return 0;
	}
	if (sha256(call->http.body ? call->http.body : "", call->http.body ? call->http.body_len : 0,
		    digest, err) < 0)
		return -1;
	hex_encode(hex, digest, sizeof(digest));
	return 0;
}

static int scope_key(const struct aws_signer *s, enum aws_service service,
	const struct sigv4_scope *scope, const uint8_t **key, struct error *err)
{
	struct aws_keys *keys = s->keys;

	*key = keys->key[service];
	if (strcmp(keys->date[service], scope->date) == 0)
		return 0;
	keys->date[service][0] = '\0';
	if (sigv4_signing_key(s->creds->secret_key, scope, keys->key[service], err) < 0)
		return -1;
	memcpy(keys->date[service], scope->date, sizeof(scope->date));
	return 0;
}

static int add_signed_headers(const struct aws_signer *s, struct aws_call *call,
	const struct sigv4_scope *scope, const char *hash, struct error *err)
{
	struct http_request *http = &call->http;
	CLEANUP_FREE char *host = buf_strf(err, "%s%s%s", call->host_label, call->host_label[0] ? "." : "",
		s->endpoint->authority);

	if (!host || http_add_header(http, "Host", host, err) < 0 ||
	    http_add_header(http, "X-Amz-Date", scope->time, err) < 0)
		return -1;
	/* The credentials of an earlier attempt may have had one. */
	if (!s->creds->session_token)
		http_drop_header(http, "X-Amz-Security-Token");
	else if (http_add_header(http, "X-Amz-Security-Token", s->creds->session_token, err) < 0)
		return -1;
	/* S3 wants the hash as a header, whatever it is. */
	if (call->unsigned_payload || call->service == AWS_S3)
		return http_add_header(http, "X-Amz-Content-SHA256", hash, err);
	return 0;
}

/* Path and query of the request line, from the URL. */
static int split_target(const char *url, char **path, const char **query, struct error *err)
{
	const char *host = strstr(url, "://") + 3, *target = host + strcspn(host, "/");
	const char *mark = strchr(target, '?');

	*query = mark ? mark + 1 : "";
	*path = buf_strf(err, "%.*s", (int)(mark ? mark - target : (long)strlen(target)), target);
	return *path ? 0 : -1;
}

int aws_sign(const struct aws_signer *s, struct aws_call *call, struct error *err)
{
	struct sigv4_scope scope = {
		.region = s->region,
		.service = aws_service_name(call->service),
	};
	struct sigv4_header headers[MAX_HEADERS];
	struct sigv4_request req = {.method = call->http.method, .headers = headers};
	CLEANUP_BUF struct buf value = BUF_INIT(0);
	CLEANUP_FREE char *path = NULL;
	char hash[SHA256_HEX_SIZE];
	const uint8_t *key;

	sigv4_scope_time(&scope, s->now);
	if (payload_hash(call, hash, err) < 0 ||
	    add_signed_headers(s, call, &scope, hash, err) < 0 ||
	    scope_key(s, call->service, &scope, &key, err) < 0 ||
	    split_target(call->http.url, &path, &req.query, err) < 0)
		return -1;
	if (call->http.nr_headers > MAX_HEADERS)
		return error_set(err, ERROR_BUG, 0, "%s has over %d headers", call->operation,
			MAX_HEADERS);
	for (size_t i = 0; i < call->http.nr_headers; i++) {
		headers[i].name = call->http.headers[i].name;
		headers[i].value = call->http.headers[i].value;
	}
	req.path = path;
	req.s3_path = call->service == AWS_S3;
	req.nr_headers = call->http.nr_headers;
	req.payload_hash = hash;
	if (sigv4_authorization(&req, &scope, s->creds->access_key, key, &value, err) < 0)
		return -1;
	return http_add_header(&call->http, "Authorization", buf_str(&value), err);
}

int aws_sign_url(const struct aws_signer *s, enum aws_service service, const char *query,
	unsigned expires_s, struct buf *url, struct error *err)
{
	struct sigv4_scope scope = {.region = s->region, .service = aws_service_name(service)};
	struct sigv4_header host = {"Host", s->endpoint->authority};
	struct sigv4_request req = {.method = "GET", .query = query, .headers = &host,
		.nr_headers = 1};
	CLEANUP_FREE char *path = buf_strf(err, "%s/", s->endpoint->prefix);
	char hash[SHA256_HEX_SIZE];
	uint8_t digest[SHA256_SIZE];
	const uint8_t *key;

	sigv4_scope_time(&scope, s->now);
	if (!path || sha256("", 0, digest, err) < 0 || scope_key(s, service, &scope, &key, err) < 0 ||
	    buf_addf(url, err, "%s%s?", s->endpoint->base, path) < 0)
		return -1;
	req.path = path;
	req.payload_hash = hex_encode(hash, digest, sizeof(digest));
	return sigv4_presign(&req, &scope, s->creds->access_key, s->creds->session_token, key,
		expires_s, url, err);
}
