/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4, the server's side. Only headers that the caller signed go into the canonical
 * request; derived keys are kept for the day. Signatures are compared in constant time.
 */
#include "uploader/region/auth_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "uploader/region/session.h"
#include "uploader/region/token.h"

static const char *const service_names[AUTH_NR] = {
	[AUTH_EBS] = "ebs",
	[AUTH_EC2] = "ec2",
	[AUTH_STS] = "sts",
	[AUTH_KMS] = "kms",
	[AUTH_S3] = "s3",
};

void auth_init(struct auth *a, const struct accounts *accounts, const uint8_t *session_key)
{
	*a = (struct auth){.accounts = accounts, .session_key = session_key};
	pthread_mutex_init(&a->lock, NULL);
}

void auth_release(struct auth *a)
{
	pthread_mutex_destroy(&a->lock);
	explicit_bzero(a->keys, sizeof(a->keys));
}

static bool is_signed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ';')) {
		at += *at == ';';
		if (strncasecmp(at, name, len) == 0 && (at[len] == ';' || at[len] == '\0'))
			return true;
	}
	return false;
}

/*
 * EBS takes its checksum headers unsigned; every other x-amz-* header has to be under the
 * signature.
 */
static bool must_be_signed(const char *name, enum auth_service service)
{
	if (strcasecmp(name, "host") == 0)
		return true;
	if (strncasecmp(name, "x-amz-", 6) != 0)
		return false;
	return service != AUTH_EBS || strncasecmp(name, "x-amz-checksum", 14) != 0;
}

static enum auth_result check_signed_headers(const struct auth_header *h,
	enum auth_service service, const struct request *req, char text[AUTH_TEXT_SIZE])
{
	if (!request_header(req, "host"))
		return AUTH_INCOMPLETE;
	for (size_t i = 0; i < req->nr_headers; i++) {
		const char *name = req->headers[i].name;

		if (!must_be_signed(name, service) || is_signed(h->signed_headers, name))
			continue;
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"'%.100s' must be a 'SignedHeader' in the AWS Authorization.", name);
		return AUTH_UNSIGNED;
	}
	return AUTH_OK;
}

static enum auth_result check_scope(const struct auth_header *h, enum auth_service service,
	char text[AUTH_TEXT_SIZE])
{
	if (!region_name_known(h->region)) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"Credential should be scoped to a valid region, not '%.60s'.", h->region);
		return AUTH_SCOPE;
	}
	if (strcmp(h->service, service_names[service]) != 0) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"Credential should be scoped to correct service: '%s'.",
			service_names[service]);
		return AUTH_SCOPE;
	}
	if (strlen(h->date) != 8 || strncmp(h->date, h->amz_date, 8) != 0) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
			"from HTTP: '%.20s' != '%.8s', from '%.20s'.",
			h->date, h->amz_date, h->amz_date);
		return AUTH_SCOPE;
	}
	return AUTH_OK;
}

static enum auth_result check_time(const struct auth_header *h, int64_t then, int64_t now,
	char text[AUTH_TEXT_SIZE])
{
	int64_t lifetime = h->presigned ? (int64_t)h->lifetime : AUTH_WINDOW_S;
	bool old = then < now - lifetime;
	struct sigv4_scope limit, clock;

	if (!old && then <= now + AUTH_WINDOW_S)
		return AUTH_OK;
	if (h->presigned && old) {
		(void)snprintf(text, AUTH_TEXT_SIZE, "Request has expired");
		return AUTH_EXPIRED;
	}
	sigv4_scope_time(&limit, old ? now - AUTH_WINDOW_S : now + AUTH_WINDOW_S);
	sigv4_scope_time(&clock, now);
	(void)snprintf(text, AUTH_TEXT_SIZE,
		old ? "Signature expired: %s is now earlier than %s (%s - 15 min.)" :
		      "Signature not yet current: %s is still later than %s (%s + 15 min.)",
		h->amz_date, limit.time, clock.time);
	return AUTH_EXPIRED;
}

/*
 * What stands for the body in the signature, as far as the head says it; NULL when it does not. What
 * S3's streaming forms stand for is checked where the chunks are taken apart.
 */
static const char *payload_claim(const struct auth_header *h, enum auth_service service,
	const struct request *req, char hex[SHA256_HEX_SIZE], enum auth_body *body)
{
	const char *sent = request_header(req, "x-amz-content-sha256");
	uint8_t digest[SHA256_SIZE];

	*body = AUTH_BODY_ANY;
	if (sent && (strcmp(sent, "UNSIGNED-PAYLOAD") == 0 ||
			    (service == AUTH_S3 && strncmp(sent, "STREAMING-", 10) == 0)))
		return sent;
	if (h->presigned && service == AUTH_S3)
		return "UNSIGNED-PAYLOAD";
	*body = sent ? AUTH_BODY_DIGEST : AUTH_BODY_NEEDED;
	if (!sent || strlen(sent) != SHA256_HEX_SIZE - 1 || hex_decode(digest, SHA256_SIZE, sent))
		return sent;
	return hex_encode(hex, digest, SHA256_SIZE); /* in lower case */
}

static bool key_is(const struct auth_key *k, const struct auth_header *h, enum auth_service service)
{
	return k->service == service && strcmp(k->date, h->date) == 0 &&
	       strcmp(k->access_key, h->access_key) == 0 && strcmp(k->region, h->region) == 0;
}

/* Of a day, Region and service; names fit: the scope was checked. */
static int signing_key(struct auth *a, enum auth_service service, const struct auth_header *h,
	const char *secret, const struct sigv4_scope *scope, uint8_t key[SHA256_SIZE],
	struct error *err)
{
	struct auth_key made = {.service = service};
	bool found = false;

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < AUTH_CACHED_KEYS && !found; i++) {
		found = key_is(&a->keys[i], h, service);
		if (found)
			memcpy(key, a->keys[i].key, SHA256_SIZE);
	}
	pthread_mutex_unlock(&a->lock);
	if (found)
		return 0;
	if (sigv4_signing_key(secret, scope, key, err) < 0)
		return -1;
	(void)snprintf(made.access_key, sizeof(made.access_key), "%s", h->access_key);
	(void)snprintf(made.region, sizeof(made.region), "%s", h->region);
	(void)snprintf(made.date, sizeof(made.date), "%s", h->date);
	memcpy(made.key, key, SHA256_SIZE);
	pthread_mutex_lock(&a->lock);
	a->keys[a->next++ % AUTH_CACHED_KEYS] = made;
	pthread_mutex_unlock(&a->lock);
	explicit_bzero(&made, sizeof(made));
	return 0;
}

/* The signature that the request should have. */
static int expected_signature(struct auth *a, enum auth_service service, const struct request *req,
	const struct auth_header *h, const char *secret, const char *hash,
	char signature[SHA256_HEX_SIZE], struct error *err)
{
	struct sigv4_header headers[MESSAGE_MAX_HEADERS];
	struct sigv4_request canon = {.method = req->method, .path = req->path,
		.query = h->query ? h->query : req->query, .headers = headers,
		.payload_hash = hash, .s3_path = service == AUTH_S3};
	struct sigv4_scope scope = {.region = h->region, .service = service_names[service]};
	CLEANUP_BUF struct buf canonical = BUF_INIT(0), to_sign = BUF_INIT(0);
	uint8_t key[SHA256_SIZE];
	int ret;

	memcpy(scope.date, h->amz_date, 8);
	memcpy(scope.time, h->amz_date, 16);
	for (size_t i = 0; i < req->nr_headers; i++)
		if (is_signed(h->signed_headers, req->headers[i].name))
			headers[canon.nr_headers++] = req->headers[i];
	if (sigv4_canonical_request(&canon, &canonical, err) < 0 ||
	    sigv4_string_to_sign(&scope, buf_str(&canonical), &to_sign, err) < 0 ||
	    signing_key(a, service, h, secret, &scope, key, err) < 0)
		return -1;
	ret = sigv4_signature(key, buf_str(&to_sign), signature, err);
	explicit_bzero(key, sizeof(key));
	return ret;
}

static enum auth_result check_signature(struct auth *a, enum auth_service service,
	const struct request *req, const struct auth_header *h, const char *secret, bool has_body,
	enum auth_body *body, char text[AUTH_TEXT_SIZE])
{
	char hex[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];
	const char *hash = payload_claim(h, service, req, hex, body);

	if (!hash && service == AUTH_S3) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"Missing required header for this request: x-amz-content-sha256");
		return AUTH_NO_DIGEST;
	}
	if (!hash && !has_body)
		return AUTH_OK;
	if (!hash)
		hash = hex_encode(hex, req->body_sha256, SHA256_SIZE);
	if (expected_signature(a, service, req, h, secret, hash, signature, NULL) < 0)
		return AUTH_FAILED;
	if (token_equal(signature, h->signature, SHA256_HEX_SIZE - 1))
		return AUTH_OK;
	(void)snprintf(text, AUTH_TEXT_SIZE,
		"The request signature we calculated does not match the signature you provided. "
		"Check your AWS Secret Access Key and signing method. Consult the service "
		"documentation for details.");
	return AUTH_MISMATCH;
}

/* Whose key it is: an account's, or that of a session whose token came along. */
static enum auth_result find_key(const struct auth *a, const struct auth_header *h,
	struct caller *caller, struct session_creds *session, const char **secret, int64_t now)
{
	const struct account *account = accounts_find_key(a->accounts, h->access_key);
	const char *partition = region_name_partition(h->region);
	struct session s;

	if (!h->token && !account)
		return AUTH_UNKNOWN_KEY;
	if (!h->token) {
		memcpy(caller->account, account->id, ACCOUNT_SIZE);
		(void)snprintf(caller->arn, sizeof(caller->arn), "arn:%s:iam::%s:user/%.64s", partition,
			account->id, account->profile);
		*secret = account->secret_key;
		return AUTH_OK;
	}
	if (session_open(a->session_key, h->token, &s, session) ||
	    strcmp(session->access_key, h->access_key) != 0)
		return AUTH_TOKEN;
	memcpy(caller->account, s.account, ACCOUNT_SIZE);
	(void)snprintf(caller->arn, sizeof(caller->arn), "arn:%s:sts::%s:assumed-role/%s/%s", partition,
		s.account, s.role, s.name);
	*secret = session->secret_key;
	return s.expires <= now ? AUTH_TOKEN_EXPIRED : AUTH_OK;
}

/* Where a check puts what it finds. */
struct finding {
	struct caller *caller;
	enum auth_body *body;
	char *text; /* of AUTH_TEXT_SIZE */
};

static enum auth_result check_parsed(struct auth *a, enum auth_service service,
	const struct request *req, const struct auth_header *h, int64_t now, bool has_body,
	const struct finding *f)
{
	struct session_creds session = {.secret_key = ""};
	struct caller *caller = f->caller;
	enum auth_result result;
	const char *secret;
	int64_t then;

	if (auth_header_time(h, &then) || strlen(h->access_key) >= sizeof(caller->access_key))
		return AUTH_INCOMPLETE;
	result = find_key(a, h, caller, &session, &secret, now);
	if (result != AUTH_OK) {
		(void)snprintf(f->text, AUTH_TEXT_SIZE, "The security token included in the request is %s",
			result == AUTH_TOKEN_EXPIRED ? "expired" : "invalid.");
		return result;
	}
	result = check_scope(h, service, f->text);
	if (result == AUTH_OK)
		result = check_time(h, then, now, f->text);
	if (result == AUTH_OK)
		result = check_signed_headers(h, service, req, f->text);
	if (result == AUTH_OK)
		result = check_signature(a, service, req, h, secret, has_body, f->body, f->text);
	if (result == AUTH_OK) {
		memcpy(caller->access_key, h->access_key, strlen(h->access_key) + 1);
		memcpy(caller->region, h->region, strlen(h->region) + 1);
	}
	explicit_bzero(&session, sizeof(session));
	return result;
}

static enum auth_result check(struct auth *a, enum auth_service service, const struct request *req,
	int64_t now, bool has_body, const struct finding *f)
{
	bool present = auth_header_present(req);
	enum auth_result result = AUTH_INCOMPLETE;
	struct auth_header h;

	*f->caller = (struct caller){.account = ""};
	*f->body = AUTH_BODY_NEEDED;
	(void)snprintf(f->text, AUTH_TEXT_SIZE, "%s",
		present ?
			"Authorization header or x-amz-date is missing a part or is malformed." :
			"Missing Authentication Token");
	if (!present)
		return AUTH_MISSING;
	if (!auth_header_parse(&h, req))
		result = check_parsed(a, service, req, &h, now, has_body, f);
	auth_header_release(&h);
	return result;
}

/* Of a session that has ended since then, too. */
static bool fill_seed(struct auth *a, enum auth_service service, const struct auth_header *h,
	struct auth_seed *seed)
{
	struct session_creds session = {.secret_key = ""};
	struct caller caller;
	const char *secret;
	bool failed = find_key(a, h, &caller, &session, &secret, 0) != AUTH_OK ||
		      signing_key(a, service, h, secret, &seed->scope, seed->key, NULL) < 0;

	explicit_bzero(&session, sizeof(session));
	return failed;
}

bool auth_seed(struct auth *a, enum auth_service service, const struct request *req, const char *region,
	struct auth_seed *seed)
{
	struct auth_header h;
	bool failed = auth_header_parse(&h, req);

	*seed = (struct auth_seed){.scope = {.region = region, .service = service_names[service]}};
	if (!failed) {
		memcpy(seed->scope.date, h.amz_date, 8);
		memcpy(seed->scope.time, h.amz_date, 16);
		memcpy(seed->signature, h.signature, SHA256_HEX_SIZE);
		failed = fill_seed(a, service, &h, seed);
	}
	auth_header_release(&h);
	return failed;
}

enum auth_result auth_check_head(struct auth *a, enum auth_service service,
	const struct request *req, int64_t now, struct caller *caller, enum auth_body *body,
	char text[AUTH_TEXT_SIZE])
{
	const struct finding f = {.caller = caller, .body = body, .text = text};

	return check(a, service, req, now, false, &f);
}

enum auth_result auth_check_body(const struct request *req, char text[AUTH_TEXT_SIZE])
{
	const char *sent = request_header(req, "x-amz-content-sha256");
	char hex[SHA256_HEX_SIZE];

	if (sent && strcasecmp(sent, hex_encode(hex, req->body_sha256, SHA256_SIZE)) == 0)
		return AUTH_OK;
	(void)snprintf(text, AUTH_TEXT_SIZE,
		"The provided 'x-amz-content-sha256' header does not match what was computed.");
	return AUTH_DIGEST;
}

enum auth_result auth_check(struct auth *a, enum auth_service service, const struct request *req,
	int64_t now, struct caller *caller, char text[AUTH_TEXT_SIZE])
{
	enum auth_body body;
	const struct finding f = {.caller = caller, .body = &body, .text = text};
	enum auth_result result = check(a, service, req, now, true, &f);

	return result == AUTH_OK && body == AUTH_BODY_DIGEST ? auth_check_body(req, text) : result;
}
