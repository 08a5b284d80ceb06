/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token is base64 of "account|role|name|expires|nonce|mac": the mac is HMAC-SHA-256 over what
 * stands before it, in hex.
 */
#include "uploader/region/session.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/token.h"

enum { PAYLOAD_SIZE = 320 };

static bool name_ok(const char *text, size_t min)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				      "_+=,.@-";
	size_t len = strlen(text);

	return len >= min && len < SESSION_NAME_SIZE && strspn(text, allowed) == len;
}

bool session_name_ok(const char *text)
{
	return name_ok(text, 2);
}

bool session_role_ok(const char *text)
{
	return name_ok(text, 1);
}

static int keyed(const uint8_t key[SHA256_SIZE], const char *label, const char *payload,
	uint8_t out[SHA256_SIZE], struct error *err)
{
	char text[PAYLOAD_SIZE + 32];
	int n = snprintf(text, sizeof(text), "session %s %s", label, payload);

	if (n < 0 || (size_t)n >= sizeof(text))
		return error_set(err, ERROR_BUG, 0, "a session of %d bytes", n);
	return hmac_sha256(key, SHA256_SIZE, text, (size_t)n, out, err);
}

static int derive(const uint8_t key[SHA256_SIZE], const char *payload, struct session_creds *out,
	struct error *err)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t id[SHA256_SIZE], secret[SHA256_SIZE];
	char text[SHA256_BASE64_SIZE];

	if (keyed(key, "id", payload, id, err) < 0 || keyed(key, "secret", payload, secret, err) < 0)
		return -1;
	memcpy(out->access_key, "ASIA", 4);
	for (size_t i = 4; i < SESSION_KEY_SIZE - 1; i++)
		out->access_key[i] = letters[id[i] % 32];
	out->access_key[SESSION_KEY_SIZE - 1] = '\0';
	memcpy(out->secret_key, base64_sha256(text, secret), SESSION_SECRET_SIZE - 1);
	out->secret_key[SESSION_SECRET_SIZE - 1] = '\0';
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	return 0;
}

int session_make(const uint8_t key[SHA256_SIZE], const struct session *s, struct session_creds *out,
	struct buf *token, struct error *err)
{
	char payload[PAYLOAD_SIZE], hex[SHA256_HEX_SIZE];
	CLEANUP_FREE char *whole = NULL;
	uint8_t mac[SHA256_SIZE];

	(void)snprintf(payload, sizeof(payload), "%s|%s|%s|%lld|%016llx", s->account, s->role, s->name,
		(long long)s->expires, (unsigned long long)s->nonce);
	if (keyed(key, "mac", payload, mac, err) < 0 || derive(key, payload, out, err) < 0)
		return -1;
	whole = buf_strf(err, "%s|%s", payload, hex_encode(hex, mac, sizeof(mac)));
	return whole ? base64_encode(token, whole, strlen(whole), err) : -1;
}

/* The next field before '|' into out; true when it does not fit. */
static bool take_field(char **rest, char *out, size_t size)
{
	char *field = strsep(rest, "|");

	if (!field || !*rest || strlen(field) >= size)
		return true;
	memcpy(out, field, strlen(field) + 1);
	return false;
}

/* The payload's fields; true when they are not a session's. */
static bool parse(char *payload, struct session *s)
{
	char expires[24], *rest = payload;
	uint64_t number;

	if (take_field(&rest, s->account, sizeof(s->account)) ||
	    take_field(&rest, s->role, sizeof(s->role)) ||
	    take_field(&rest, s->name, sizeof(s->name)) ||
	    take_field(&rest, expires, sizeof(expires)) ||
	    num_parse(expires, INT64_MAX, &number, NULL) < 0)
		return true;
	s->expires = (int64_t)number;
	s->nonce = 0;
	return false;
}

bool session_open(const uint8_t key[SHA256_SIZE], const char *token, struct session *s,
	struct session_creds *out)
{
	CLEANUP_BUF struct buf whole = BUF_INIT(SESSION_TOKEN_MAX);
	char hex[SHA256_HEX_SIZE], *payload, *bar;
	uint8_t mac[SHA256_SIZE];

	if (strlen(token) > SESSION_TOKEN_MAX || base64_decode(&whole, token, NULL) < 0 ||
	    buf_add_char(&whole, '\0', NULL) < 0 || strlen(whole.data) + 1 != whole.len)
		return true;
	payload = whole.data;
	bar = strrchr(payload, '|');
	if (!bar || strlen(bar + 1) != SHA256_HEX_SIZE - 1)
		return true;
	*bar = '\0';
	if (strlen(payload) >= PAYLOAD_SIZE || keyed(key, "mac", payload, mac, NULL) < 0 ||
	    !token_equal(hex_encode(hex, mac, sizeof(mac)), bar + 1, SHA256_HEX_SIZE - 1))
		return true;
	return derive(key, payload, out, NULL) < 0 || parse(payload, s);
}
