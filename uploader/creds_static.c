/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials that stand somewhere as they are: in the environment, or as keys of a profile. Files
 * are read again when a service calls the keys expired: another program may have renewed them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/creds_internal.h"

struct keys {
	char *profile; /* "" for the environment */
	bool config;
};

static void keys_free(void *state)
{
	struct keys *k = state;

	free(k->profile);
	free(k);
}

static struct keys *keys_new(const char *profile, bool config, struct error *err)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (!k)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	k->config = config;
	k->profile = buf_strf(err, "%s", profile);
	if (k->profile)
		return k;
	free(k);
	return NULL;
}

static int fetch_env(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	const char *key = aws_env_get(&w->env, "AWS_ACCESS_KEY_ID");
	const char *secret = aws_env_get(&w->env, "AWS_SECRET_ACCESS_KEY");
	const char *token = aws_env_get(&w->env, "AWS_SESSION_TOKEN");
	const char *expires = aws_env_get(&w->env, "AWS_CREDENTIAL_EXPIRATION");

	(void)state;
	if (!token)
		token = aws_env_get(&w->env, "AWS_SECURITY_TOKEN");
	if (!key && !secret)
		return error_set(err, ERROR_USAGE, 0,
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
	if (!key || !secret)
		return error_set(err, ERROR_USAGE, 0, "%s is set but %s is not",
			key ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	/* Nobody can change our environment: when they end, the services say so. Only the form counts. */
	if (expires && num_parse_time(expires, &out->expires, err) < 0)
		return error_wrap(err, "AWS_CREDENTIAL_EXPIRATION");
	out->origin = buf_strf(err, "environment");
	return out->origin ? creds_set(out, key, secret, token, err) : -1;
}

struct aws_provider *creds_env_new(struct creds_world *w, struct error *err)
{
	static const struct creds_kind kind = {
		.quick = true,
		.keeps_expired = true,
		.fetch = fetch_env,
		.free = keys_free,
	};

	return aws_provider_make(w, &kind, keys_new("", false, err), err);
}

static int read_keys(const struct creds_shared *s, const struct keys *k, struct aws_creds *out,
	struct error *err)
{
	if (creds_shared_get_in(s, k->config, k->profile, "aws_access_key_id", &out->access_key,
		    err) < 0 ||
	    creds_shared_get_in(s, k->config, k->profile, "aws_secret_access_key", &out->secret_key,
		    err) < 0)
		return -1;
	return creds_shared_get_in(s, k->config, k->profile, "aws_session_token",
		&out->session_token, err);
}

static int fetch_keys(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	const struct keys *k = state;
	struct creds_shared s;
	const char *path;
	int ret;

	ret = creds_shared_load(&s, &w->env, k->profile, err);
	if (ret == 0)
		ret = read_keys(&s, k, out, err);
	path = k->config ? s.config_path : s.credentials_path;
	if (ret == 0 && (!out->access_key || !out->secret_key))
		ret = error_set(err, ERROR_USAGE, 0, "profile '%s' in '%s' has no %s", k->profile, path,
			out->access_key ? "aws_secret_access_key" : "aws_access_key_id");
	if (ret == 0)
		out->origin = buf_strf(err, "profile '%s' in %s", k->profile, path);
	if (!out->origin)
		ret = -1;
	creds_shared_release(&s);
	return ret;
}

struct aws_provider *creds_static_new(struct creds_world *w, const char *profile, bool config,
	struct error *err)
{
	static const struct creds_kind kind = {
		.quick = true,
		.fetch = fetch_keys,
		.free = keys_free,
	};

	return aws_provider_make(w, &kind, keys_new(profile, config, err), err);
}
