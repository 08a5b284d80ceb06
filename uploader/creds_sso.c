/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single sign-on (IAM Identity Center): the token that `aws sso login` left in the cache, renewed
 * when it can be, is exchanged for a role's credentials. Two forms: a profile with "sso_session",
 * whose token can be renewed, and the older one with "sso_start_url" in the profile. Source: AWS
 * SDKs and Tools Reference Guide, "IAM Identity Center credential provider"; the cache's form is
 * that of the AWS CLI, which reads what is written here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/aws.h"
#include "uploader/aws_internal.h"
#include "uploader/creds_internal.h"
#include "uploader/sigv4.h"

enum { RENEW_S = 15 * 60, MAX_CACHE = 1024 * 1024 };

struct sso {
	char *profile, *session; /* session NULL in the older form */
	char *start_url, *region, *account, *role;
	char *cache; /* path of the token's file */
};

static void sso_free(void *state)
{
	struct sso *s = state;

	free(s->profile);
	free(s->session);
	free(s->start_url);
	free(s->region);
	free(s->account);
	free(s->role);
	free(s->cache);
	free(s);
}

static int log_in(const struct sso *s, const char *what, struct error *err)
{
	return error_set(err, ERROR_USAGE, 0,
		"profile '%s': the single sign-on token %s: run `aws sso login --profile %s`", s->profile,
		what, s->profile);
}

/* The token's object, and its end in seconds since 1970. */
static struct json *read_cache(const struct sso *s, int64_t *expires, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(MAX_CACHE);
	CLEANUP(json_cleanup) struct json *j = NULL;
	struct error why = ERROR_INIT;
	const char *token, *end;

	if (file_read(s->cache, &text, &why) < 0) {
		log_in(s, "is not there", err);
		return NULL;
	}
	j = json_parse(buf_str(&text), text.len, s->cache, NULL);
	token = json_get_str(j, "accessToken", NULL);
	end = json_get_str(j, "expiresAt", NULL);
	if (!token || !end || num_parse_time(end, expires, NULL) < 0) {
		log_in(s, "in the cache cannot be read", err);
		return NULL;
	}
	if (log_redact(token, err) < 0)
		return NULL;
	return steal_ptr(&j);
}

static int redact_answer(const struct json *j, struct error *err)
{
	static const char *const keys[] = {"accessToken", "refreshToken", "clientSecret", "idToken"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *text = json_get_str(j, keys[i], NULL);

		if (text && log_redact(text, err) < 0)
			return -1;
	}
	return 0;
}

/* Runs an unsigned call; the answer's object, or NULL. *seconds: the answer's time by our clock. */
static struct json *call_json(const struct creds_world *w, struct aws_call *call, struct error *err)
{
	struct json *j;

	(void)w;
	call->anonymous = true;
	if (aws_perform(call->aws, call, err) < 0)
		return NULL;
	j = json_parse(buf_str(&call->http.answer), call->http.answer.len, "answer", NULL);
	buf_wipe(&call->http.answer);
	if (j)
		return j;
	return error_null(err, ERROR_NETWORK, 0, "%s: the answer is not JSON", call->operation);
}

static int renew_body(const struct json *cache, struct buf *body, struct error *err)
{
	static const char *const keys[] = {"clientId", "clientSecret", "refreshToken"};
	CLEANUP(json_cleanup) struct json *j = json_new_object(err);

	if (!j || json_set_str(j, "grantType", "refresh_token", err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (json_set_str(j, keys[i], json_get_str(cache, keys[i], ""), err) < 0)
			return -1;
	}
	return json_write(j, false, body, err);
}

static struct json *create_token(const struct sso *s, const struct creds_world *w, struct aws *a,
	const struct json *cache, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf body = BUF_INIT(0);
	struct json *answer = NULL;
	struct aws_call call;

	(void)s;
	if (renew_body(cache, &body, err) < 0 ||
	    aws_call_init(a, &call, AWS_SSO_OIDC, "POST", "/token", "CreateToken", err) < 0)
		return NULL;
	call.http.body = body.data;
	call.http.body_len = body.len;
	if (http_add_header(&call.http, "Content-Type", "application/json", err) == 0)
		answer = call_json(w, &call, err);
	aws_call_release(&call);
	if (answer && redact_answer(answer, err) < 0) {
		json_free(answer);
		return NULL;
	}
	return answer;
}

/* Other programs share the cache: what they could not renew any more would be lost to them. */
static int store(const struct sso *s, struct json *cache, const struct json *answer, int64_t now,
	struct error *err)
{
	const char *token = json_get_str(answer, "accessToken", NULL);
	const char *refresh = json_get_str(answer, "refreshToken", NULL);
	CLEANUP_SECRET_BUF struct buf text = BUF_INIT(0);
	char end[NUM_TIME_TEXT];

	if (!token)
		return error_set(err, ERROR_SERVICE, 0, "CreateToken: the answer has no token");
	num_format_time(end, now + json_get_int(answer, "expiresIn", 0));
	if (json_set_str(cache, "accessToken", token, err) < 0 ||
	    json_set_str(cache, "expiresAt", end, err) < 0 ||
	    (refresh && json_set_str(cache, "refreshToken", refresh, err) < 0) ||
	    json_write(cache, true, &text, err) < 0)
		return -1;
	return file_write_atomic(s->cache, buf_str(&text), text.len, 0600, false, err);
}

static bool can_renew(const struct sso *s, const struct json *cache, int64_t now)
{
	const char *end = json_get_str(cache, "registrationExpiresAt", NULL);
	int64_t registered = INT64_MAX;

	return s->session && json_get_str(cache, "refreshToken", NULL) &&
	       json_get_str(cache, "clientId", NULL) && json_get_str(cache, "clientSecret", NULL) &&
	       (!end || (num_parse_time(end, &registered, NULL) == 0 && registered > now));
}

static int renew(const struct sso *s, const struct creds_world *w, struct aws *a,
	struct json *cache, int64_t now, struct error *err)
{
	CLEANUP(json_cleanup) struct json *answer = NULL;

	if (redact_answer(cache, err) < 0)
		return -1;
	answer = create_token(s, w, a, cache, err);
	return answer ? store(s, cache, answer, now, err) : -1;
}

/* A token that holds, renewed when its end is near. */
static struct json *get_token(const struct sso *s, const struct creds_world *w, struct aws *a,
	struct error *err)
{
	int64_t now = w->clock.wall_s(w->clock.arg), expires = 0;
	CLEANUP(json_cleanup) struct json *cache = read_cache(s, &expires, err);
	struct error why = ERROR_INIT;

	if (!cache)
		return NULL;
	if (expires - now < RENEW_S && can_renew(s, cache, now)) {
		if (renew(s, w, a, cache, now, &why) == 0)
			return steal_ptr(&cache);
		if (why.kind == ERROR_INTERRUPTED) {
			*err = why;
			return NULL;
		}
		log_debug("cannot renew the single sign-on token: %s", why.text);
	}
	if (expires > now)
		return steal_ptr(&cache);
	log_in(s, why.kind ? "has expired and could not be renewed" : "has expired", err);
	return NULL;
}

static int role_path(const struct sso *s, struct buf *path, struct error *err)
{
	if (buf_add_str(path, "/federation/credentials?role_name=", err) < 0 ||
	    sigv4_encode(path, s->role, strlen(s->role), false, err) < 0 ||
	    buf_add_str(path, "&account_id=", err) < 0)
		return -1;
	return sigv4_encode(path, s->account, strlen(s->account), false, err);
}

static int read_role(const struct json *answer, struct aws_creds *out, struct error *err)
{
	const struct json *role = json_get(answer, "roleCredentials");
	const char *access = json_get_str(role, "accessKeyId", NULL);
	const char *secret = json_get_str(role, "secretAccessKey", NULL);

	if (!access || !secret)
		return error_set(err, ERROR_SERVICE, 0, "GetRoleCredentials: the answer has none");
	out->expires = json_get_int(role, "expiration", 0) / 1000;
	return creds_set(out, access, secret, json_get_str(role, "sessionToken", NULL), err);
}

static int get_role(const struct sso *s, const struct creds_world *w, struct aws *a,
	const char *token, struct aws_creds *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *answer = NULL;
	CLEANUP_BUF struct buf path = BUF_INIT(0);
	struct aws_call call;
	int ret = -1;

	if (role_path(s, &path, err) < 0 ||
	    aws_call_init(a, &call, AWS_SSO, "GET", buf_str(&path), "GetRoleCredentials", err) < 0)
		return -1;
	snprintf(call.subject, sizeof(call.subject), "%.20s %.40s", s->account, s->role);
	if (http_add_header(&call.http, "x-amz-sso_bearer_token", token, err) == 0)
		answer = call_json(w, &call, err);
	if (answer)
		ret = read_role(answer, out, err);
	if (ret == 0)
		creds_adjust_expiry(out, &call.http, &w->clock);
	aws_call_release(&call);
	if (ret < 0 && err->http_status == 401)
		return log_in(s, "is refused", err);
	return ret;
}

static int fetch_sso(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	const struct sso *s = state;
	CLEANUP(aws_cleanup) struct aws *a = creds_client(w, s->region, NULL, err);
	CLEANUP(json_cleanup) struct json *cache = NULL;

	if (!a)
		return -1;
	out->origin = buf_strf(err, "single sign-on of profile '%s'", s->profile);
	cache = out->origin ? get_token(s, w, a, err) : NULL;
	if (!cache)
		return -1;
	return get_role(s, w, a, json_get_str(cache, "accessToken", ""), out, err);
}

/* A setting of the session's section, which may stand in the profile too, but then the same. */
static int session_key(const struct creds_shared *shared, const struct sso *s, const char *key,
	char **value, struct error *err)
{
	CLEANUP_FREE char *own = NULL;

	if (creds_shared_section(shared, "sso-session", s->session, key, NULL, value, err) < 0 ||
	    creds_shared_get(shared, s->profile, key, &own, err) < 0)
		return -1;
	if (!*value)
		return error_set(err, ERROR_USAGE, 0,
			"profile '%s' is for single sign-on but sso-session '%s' has no %s",
			s->profile, s->session, key);
	if (!own || strcmp(own, *value) == 0)
		return 0;
	return error_set(err, ERROR_USAGE, 0, "%s of profile '%s' and of sso-session '%s' differ", key,
		s->profile, s->session);
}

static int profile_key(const struct creds_shared *shared, const struct sso *s, const char *key,
	char **value, struct error *err)
{
	if (creds_shared_get(shared, s->profile, key, value, err) < 0)
		return -1;
	if (*value)
		return 0;
	return error_set(err, ERROR_USAGE, 0, "profile '%s' is for single sign-on but has no %s",
		s->profile, key);
}

static int cache_path(struct sso *s, const struct creds_world *w, struct error *err)
{
	const char *key = s->session ? s->session : s->start_url;
	const char *home = aws_env_get(&w->env, "HOME");
	char name[SHA1_HEX_SIZE];
	uint8_t digest[SHA1_SIZE];

	if (sha1(key, strlen(key), digest, err) < 0)
		return -1;
	s->cache = buf_strf(err, "%s/.aws/sso/cache/%s.json", home ? home : "",
		hex_encode(name, digest, sizeof(digest)));
	return s->cache ? 0 : -1;
}

static int load(struct sso *s, const struct creds_world *w, const struct creds_shared *shared,
	const char *profile, struct error *err)
{
	int (*key)(const struct creds_shared *, const struct sso *, const char *, char **,
		struct error *);

	s->profile = buf_strf(err, "%s", profile);
	if (!s->profile || creds_shared_get(shared, profile, "sso_session", &s->session, err) < 0)
		return -1;
	key = s->session ? session_key : profile_key;
	if (key(shared, s, "sso_start_url", &s->start_url, err) < 0 ||
	    key(shared, s, "sso_region", &s->region, err) < 0 ||
	    profile_key(shared, s, "sso_account_id", &s->account, err) < 0 ||
	    profile_key(shared, s, "sso_role_name", &s->role, err) < 0)
		return -1;
	return cache_path(s, w, err);
}

struct aws_provider *creds_sso_new(struct creds_world *w, const struct creds_shared *shared,
	const char *profile, struct error *err)
{
	static const struct creds_kind kind = {.fetch = fetch_sso, .free = sso_free};
	struct sso *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	if (load(s, w, shared, profile, err) == 0)
		return aws_provider_make(w, &kind, s, err);
	sso_free(s);
	return NULL;
}
