/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4, the server's side. The header is parsed strictly; only headers that the
 * caller signed go into the canonical request; the derived key is kept for the day. Signatures are
 * compared in constant time.
 */
#include "uploader/region/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/num.h"
#include "uploader/region/token.h"

static const char algorithm[] = "AWS4-HMAC-SHA256";
static const char *const service_names[AUTH_NR] = {[AUTH_EBS] = "ebs", [AUTH_EC2] = "ec2"};

/* The Authorization header in parts; pointers into text. */
struct auth_header {
	char *text; /* owned */
	char *access_key, *date, *region, *service, *terminator;
	char *signed_headers, *signature;
};

void auth_init(struct auth *a, const char *access_key, const char *secret_key, const char *region)
{
	*a = (struct auth){.access_key = access_key, .secret_key = secret_key, .region = region};
	pthread_mutex_init(&a->lock, NULL);
}

void auth_release(struct auth *a)
{
	pthread_mutex_destroy(&a->lock);
	explicit_bzero(a->keys, sizeof(a->keys));
}

/* The value of "name=value" when item is that. */
static char *item_value(char *item, const char *name)
{
	size_t len = strlen(name);

	while (*item == ' ')
		item++;
	return strncmp(item, name, len) == 0 && item[len] == '=' ? item + len + 1 : NULL;
}

/* "KEY/date/region/service/aws4_request"; true when it is not. */
static bool credential_parse(struct auth_header *h, char *credential)
{
	char **parts[] = {&h->access_key, &h->date, &h->region, &h->service, &h->terminator};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!credential || *credential == '\0')
			return true;
		*parts[i] = strsep(&credential, "/");
	}
	return credential != NULL || strcmp(h->terminator, "aws4_request") != 0;
}

/* True when the header is not one of ours to check. */
static bool header_parse(struct auth_header *h, const char *value)
{
	char *rest, *item, *credential = NULL;

	*h = (struct auth_header){.text = strdup(value)};
	if (!h->text || strncmp(h->text, algorithm, sizeof(algorithm) - 1) != 0 ||
	    h->text[sizeof(algorithm) - 1] != ' ')
		return true;
	rest = h->text + sizeof(algorithm);
	while ((item = strsep(&rest, ","))) {
		char *found;

		if ((found = item_value(item, "Credential")) && !credential)
			credential = found;
		else if ((found = item_value(item, "SignedHeaders")) && !h->signed_headers)
			h->signed_headers = found;
		else if ((found = item_value(item, "Signature")) && !h->signature)
			h->signature = found;
		else
			return true;
	}
	return !credential || !h->signed_headers || !h->signature ||
	       strlen(h->signature) != SHA256_HEX_SIZE - 1 || credential_parse(h, credential);
}

static int digits(const char *text, int nr)
{
	int value = 0;

	for (; nr > 0; nr--)
		value = value * 10 + (*text++ - '0');
	return value;
}

/* "20261123T090000Z"; true when it is not a time. */
static bool amz_date_parse(const char *text, int64_t *seconds)
{
	static const char shape[] = "ddddddddTddddddZ";
	struct tm tm = {0};

	if (strlen(text) != sizeof(shape) - 1)
		return true;
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
			return true;
	tm.tm_year = digits(text, 4) - 1900;
	tm.tm_mon = digits(text + 4, 2) - 1;
	tm.tm_mday = digits(text + 6, 2);
	tm.tm_hour = digits(text + 9, 2);
	tm.tm_min = digits(text + 11, 2);
	tm.tm_sec = digits(text + 13, 2);
	if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return true;
	*seconds = (int64_t)timegm(&tm);
	return false;
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

static enum auth_result check_scope(const struct auth *a, const struct auth_header *h,
	enum auth_service service, const char *amz_date, char text[AUTH_TEXT_SIZE])
{
	if (strcmp(h->region, a->region) != 0) {
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
	if (strlen(h->date) != 8 || strncmp(h->date, amz_date, 8) != 0) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
			"from HTTP: '%.20s' != '%.8s', from '%.20s'.",
			h->date, amz_date, amz_date);
		return AUTH_SCOPE;
	}
	return AUTH_OK;
}

static enum auth_result check_time(const char *amz_date, int64_t then, int64_t now,
	char text[AUTH_TEXT_SIZE])
{
	bool old = then < now - AUTH_WINDOW_S;
	struct sigv4_scope limit, clock;

	if (!old && then <= now + AUTH_WINDOW_S)
		return AUTH_OK;
	sigv4_scope_time(&limit, old ? now - AUTH_WINDOW_S : now + AUTH_WINDOW_S);
	sigv4_scope_time(&clock, now);
	(void)snprintf(text, AUTH_TEXT_SIZE,
		old ? "Signature expired: %s is now earlier than %s (%s - 15 min.)" :
		      "Signature not yet current: %s is still later than %s (%s + 15 min.)",
		amz_date, limit.time, clock.time);
	return AUTH_EXPIRED;
}

/* The hash that the caller signed for the body; NULL when the one it sent is not the body's. */
static const char *payload_hash(const struct request *req, char hex[SHA256_HEX_SIZE])
{
	const char *sent = request_header(req, "x-amz-content-sha256");

	if (sent && strcmp(sent, "UNSIGNED-PAYLOAD") == 0)
		return sent;
	hex_encode(hex, req->body_sha256, SHA256_SIZE);
	return !sent || strcasecmp(sent, hex) == 0 ? hex : NULL;
}

static int signing_key(struct auth *a, enum auth_service service, const struct sigv4_scope *scope,
	uint8_t key[SHA256_SIZE], struct error *err)
{
	int ret = 0;

	pthread_mutex_lock(&a->lock);
	if (strcmp(a->keys[service].date, scope->date) != 0) {
		ret = sigv4_signing_key(a->secret_key, scope, a->keys[service].key, err);
		memcpy(a->keys[service].date, ret == 0 ? scope->date : "", ret == 0 ? 9 : 1);
	}
	memcpy(key, a->keys[service].key, SHA256_SIZE);
	pthread_mutex_unlock(&a->lock);
	return ret;
}

/* The signature that the request should have. */
static int expected_signature(struct auth *a, enum auth_service service, const struct request *req,
	const struct auth_header *h, const char *amz_date, const char *hash,
	char signature[SHA256_HEX_SIZE], struct error *err)
{
	struct sigv4_header headers[MESSAGE_MAX_HEADERS];
	struct sigv4_request canon = {.method = req->method, .path = req->path,
		.query = req->query, .headers = headers, .payload_hash = hash};
	struct sigv4_scope scope = {.region = a->region, .service = service_names[service]};
	CLEANUP_BUF struct buf canonical = BUF_INIT(0), to_sign = BUF_INIT(0);
	uint8_t key[SHA256_SIZE];
	int ret;

	memcpy(scope.date, amz_date, 8);
	memcpy(scope.time, amz_date, 16);
	for (size_t i = 0; i < req->nr_headers; i++)
		if (is_signed(h->signed_headers, req->headers[i].name))
			headers[canon.nr_headers++] = req->headers[i];
	if (sigv4_canonical_request(&canon, &canonical, err) < 0 ||
	    sigv4_string_to_sign(&scope, buf_str(&canonical), &to_sign, err) < 0 ||
	    signing_key(a, service, &scope, key, err) < 0)
		return -1;
	ret = sigv4_signature(key, buf_str(&to_sign), signature, err);
	explicit_bzero(key, sizeof(key));
	return ret;
}

static enum auth_result check_signature(struct auth *a, enum auth_service service,
	const struct request *req, const struct auth_header *h, const char *amz_date,
	char text[AUTH_TEXT_SIZE])
{
	char hex[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];
	const char *hash = payload_hash(req, hex);

	if (!hash) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"The value of x-amz-content-sha256 is not the SHA-256 of the body.");
		return AUTH_MISMATCH;
	}
	if (expected_signature(a, service, req, h, amz_date, hash, signature, NULL) < 0)
		return AUTH_FAILED;
	if (token_equal(signature, h->signature, SHA256_HEX_SIZE - 1))
		return AUTH_OK;
	(void)snprintf(text, AUTH_TEXT_SIZE,
		"The request signature we calculated does not match the signature you provided. "
		"Check your AWS Secret Access Key and signing method. Consult the service "
		"documentation for details.");
	return AUTH_MISMATCH;
}

static enum auth_result check_parsed(struct auth *a, enum auth_service service,
	const struct request *req, const struct auth_header *h, int64_t now,
	char text[AUTH_TEXT_SIZE])
{
	const char *amz_date = request_header(req, "x-amz-date");
	enum auth_result result;
	int64_t then;

	if (!amz_date || amz_date_parse(amz_date, &then))
		return AUTH_INCOMPLETE;
	if (strcmp(h->access_key, a->access_key) != 0 ||
	    request_header(req, "x-amz-security-token")) {
		(void)snprintf(text, AUTH_TEXT_SIZE,
			"The security token included in the request is invalid.");
		return AUTH_UNKNOWN_KEY;
	}
	result = check_scope(a, h, service, amz_date, text);
	if (result == AUTH_OK)
		result = check_time(amz_date, then, now, text);
	if (result == AUTH_OK)
		result = check_signed_headers(h, service, req, text);
	if (result == AUTH_OK)
		result = check_signature(a, service, req, h, amz_date, text);
	return result;
}

enum auth_result auth_check(struct auth *a, enum auth_service service, const struct request *req,
	int64_t now, char text[AUTH_TEXT_SIZE])
{
	const char *value = request_header(req, "authorization");
	enum auth_result result = AUTH_INCOMPLETE;
	struct auth_header h;

	(void)snprintf(text, AUTH_TEXT_SIZE, "%s",
		value ? "Authorization header or x-amz-date is missing a part or is malformed." :
			"Missing Authentication Token");
	if (!value)
		return AUTH_MISSING;
	if (!header_parse(&h, value))
		result = check_parsed(a, service, req, &h, now, text);
	free(h.text);
	return result;
}
