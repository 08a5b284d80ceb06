/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls AWS, and with which settings: environment first, then the profile in the shared files.
 * What the SDKs support and this program does not yet (roles, SSO, processes, containers) is named,
 * so that nobody's call is made with other credentials than the ones meant.
 */
#include "uploader/creds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

enum { MAX_FILE = 4 * 1024 * 1024 };

/* The two shared files, read once, and the profile that is looked for. */
struct shared {
	char *profile;
	bool named; /* somebody asked for this profile: it must exist */
	char *credentials_path, *config_path;
	struct buf credentials, config;
};

static const char *env_get(const struct aws_env *env, const char *name)
{
	const char *value = env->get(env->arg, name);

	return value && value[0] ? value : NULL;
}

static char *copy_text(const char *text, struct error *err)
{
	char *copy = strdup(text);

	if (!copy)
		error_nomem(err, "credentials");
	return copy;
}

/* Path from the environment or below the home folder; NULL without err set cannot happen. */
static char *shared_path(const struct aws_env *env, const char *variable, const char *name,
	struct error *err)
{
	const char *path = env_get(env, variable), *home = env_get(env, "HOME");

	if (path && (path[0] != '~' || path[1] != '/' || !home))
		return copy_text(path, err);
	if (path)
		return buf_strf(err, "%s%s", home, path + 1);
	return buf_strf(err, "%s/.aws/%s", home ? home : "", name);
}

/* A file that is not there is an empty one. */
static int read_optional(const char *path, struct buf *out, struct error *err)
{
	struct error why = ERROR_INIT;

	if (file_read(path, out, &why) == 0) {
		if (strlen(buf_str(out)) == out->len)
			return 0;
		return error_set(err, ERROR_USAGE, 0, "'%s' is not a text file", path);
	}
	buf_clear(out);
	if (why.errnum == ENOENT || why.errnum == ENOTDIR)
		return 0;
	if (err)
		*err = why;
	return -1;
}

static void shared_release(struct shared *s)
{
	if (s->credentials.data)
		explicit_bzero(s->credentials.data, s->credentials.len);
	if (s->config.data)
		explicit_bzero(s->config.data, s->config.len);
	buf_release(&s->credentials);
	buf_release(&s->config);
	free(s->profile);
	free(s->credentials_path);
	free(s->config_path);
	memset(s, 0, sizeof(*s));
}

static int shared_load(struct shared *s, const struct aws_env *env, const char *profile,
	struct error *err)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->credentials, MAX_FILE);
	buf_init(&s->config, MAX_FILE);
	if (!profile || !profile[0])
		profile = env_get(env, "AWS_PROFILE");
	if (!profile)
		profile = env_get(env, "AWS_DEFAULT_PROFILE");
	s->named = profile != NULL;
	s->profile = copy_text(profile ? profile : "default", err);
	if (!s->profile)
		return -1;
	s->credentials_path =
		shared_path(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials", err);
	if (!s->credentials_path)
		return -1;
	s->config_path = shared_path(env, "AWS_CONFIG_FILE", "config", err);
	if (!s->config_path || read_optional(s->credentials_path, &s->credentials, err) < 0)
		return -1;
	return read_optional(s->config_path, &s->config, err);
}

/* "[default]" stands alone in the config file; other profiles are "[profile x]". */
static const char *config_kind(const struct shared *s)
{
	if (strcmp(s->profile, "default") != 0 || creds_ini_has(buf_str(&s->config), "profile", "default"))
		return "profile";
	return NULL;
}

/* A profile's key in the credentials file, else in the config file; *in says where. */
static int profile_get(const struct shared *s, const char *key, char **value, const char **in,
	struct error *err)
{
	if (creds_ini_get(buf_str(&s->credentials), NULL, s->profile, key, NULL, value, err) < 0)
		return -1;
	if (in)
		*in = s->credentials_path;
	if (*value)
		return 0;
	if (in)
		*in = s->config_path;
	return creds_ini_get(buf_str(&s->config), config_kind(s), s->profile, key, NULL, value, err);
}

void aws_creds_release(struct aws_creds *c)
{
	if (c->secret_key)
		explicit_bzero(c->secret_key, strlen(c->secret_key));
	if (c->session_token)
		explicit_bzero(c->session_token, strlen(c->session_token));
	free(c->access_key);
	free(c->secret_key);
	free(c->session_token);
	free(c->origin);
	memset(c, 0, sizeof(*c));
}

/* Header values and the log's redaction depend on this. */
static int check_creds(const struct aws_creds *c, struct error *err)
{
	const char *const texts[] = {c->access_key, c->secret_key, c->session_token};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		for (const char *p = texts[i]; p && *p; p++) {
			if (*p <= ' ' || *p > '~')
				return error_set(err, ERROR_USAGE, 0,
					"the credentials from %s contain a space or a control character",
					c->origin);
		}
	}
	if (strlen(c->secret_key) >= 4 && log_redact(c->secret_key, err) < 0)
		return -1;
	if (c->session_token && strlen(c->session_token) >= 4)
		return log_redact(c->session_token, err);
	return 0;
}

static int from_env(struct aws_creds *c, const struct aws_env *env, struct error *err)
{
	const char *key = env_get(env, "AWS_ACCESS_KEY_ID");
	const char *secret = env_get(env, "AWS_SECRET_ACCESS_KEY");
	const char *token = env_get(env, "AWS_SESSION_TOKEN");
	const char *expires = env_get(env, "AWS_CREDENTIAL_EXPIRATION");

	if (!token)
		token = env_get(env, "AWS_SECURITY_TOKEN");
	if (!key || !secret)
		return error_set(err, ERROR_USAGE, 0, "%s is set but %s is not",
			key ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	if (expires && num_parse_time(expires, &c->expires, err) < 0)
		return error_wrap(err, "AWS_CREDENTIAL_EXPIRATION");
	c->origin = copy_text("environment", err);
	c->access_key = copy_text(key, err);
	c->secret_key = copy_text(secret, err);
	c->session_token = token ? copy_text(token, err) : NULL;
	if (!c->origin || !c->access_key || !c->secret_key || (token && !c->session_token))
		return -1;
	return check_creds(c, err);
}

/* Refuses a profile whose credentials come in a way that is not supported. */
static int refuse_kinds(const struct shared *s, const char *const *keys, size_t nr,
	struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		CLEANUP_FREE char *value = NULL;
		const char *in;

		if (profile_get(s, keys[i], &value, &in, err) < 0)
			return -1;
		if (value)
			return error_set(err, ERROR_USAGE, 0,
				"profile '%s' in '%s' uses %s, which is not supported: give it "
				"aws_access_key_id and aws_secret_access_key, or put temporary "
				"credentials into the environment",
				s->profile, in, keys[i]);
	}
	return 0;
}

static int not_found(const struct shared *s, const struct aws_env *env, struct error *err)
{
	bool exists = creds_ini_has(buf_str(&s->credentials), NULL, s->profile) ||
		      creds_ini_has(buf_str(&s->config), config_kind(s), s->profile);

	if (s->named && !exists)
		return error_set(err, ERROR_USAGE, 0, "no profile '%s' in '%s' or '%s'", s->profile,
			s->credentials_path, s->config_path);
	if (env_get(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
	    env_get(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		return error_set(err, ERROR_USAGE, 0,
			"credentials of a container endpoint are not supported: put temporary "
			"credentials into the environment");
	if (env_get(env, "AWS_WEB_IDENTITY_TOKEN_FILE"))
		return error_set(err, ERROR_USAGE, 0,
			"AWS_WEB_IDENTITY_TOKEN_FILE is not supported: put temporary credentials "
			"into the environment");
	return error_set(err, ERROR_USAGE, 0,
		"no AWS credentials: looked for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
		"environment and for profile '%s' in '%s' and '%s'",
		s->profile, s->credentials_path, s->config_path);
}

/* Static keys of one file; *found false when it has none. */
static int keys_from(struct aws_creds *c, const struct shared *s, const struct buf *file,
	const char *path, const char *kind, bool *found, struct error *err)
{
	const char *text = buf_str(file);

	*found = false;
	if (creds_ini_get(text, kind, s->profile, "aws_access_key_id", NULL, &c->access_key, err) < 0 ||
	    creds_ini_get(text, kind, s->profile, "aws_secret_access_key", NULL, &c->secret_key, err) < 0 ||
	    creds_ini_get(text, kind, s->profile, "aws_session_token", NULL, &c->session_token, err) < 0)
		return -1;
	if (!c->access_key && !c->secret_key)
		return 0;
	if (!c->access_key || !c->secret_key)
		return error_set(err, ERROR_USAGE, 0, "profile '%s' in '%s' has no %s", s->profile, path,
			c->access_key ? "aws_secret_access_key" : "aws_access_key_id");
	c->origin = buf_strf(err, "profile '%s' in %s", s->profile, path);
	if (!c->origin)
		return -1;
	*found = true;
	return check_creds(c, err);
}

static int from_profile(struct aws_creds *c, const struct shared *s, const struct aws_env *env,
	struct error *err)
{
	/* The SDKs ask these before static keys; the others after. */
	static const char *const before[] = {"role_arn", "web_identity_token_file", "sso_session",
		"sso_start_url"};
	static const char *const after[] = {"credential_process", "login_session"};
	bool found;

	if (refuse_kinds(s, before, ARRAY_SIZE(before), err) < 0 ||
	    keys_from(c, s, &s->credentials, s->credentials_path, NULL, &found, err) < 0)
		return -1;
	if (found)
		return 0;
	aws_creds_release(c);
	if (refuse_kinds(s, after, ARRAY_SIZE(after), err) < 0 ||
	    keys_from(c, s, &s->config, s->config_path, config_kind(s), &found, err) < 0)
		return -1;
	return found ? 0 : not_found(s, env, err);
}

int aws_creds_load(struct aws_creds *c, const struct aws_env *env, const char *profile,
	struct error *err)
{
	struct shared s;
	int ret;

	memset(c, 0, sizeof(*c));
	if ((!profile || !profile[0]) &&
	    (env_get(env, "AWS_ACCESS_KEY_ID") || env_get(env, "AWS_SECRET_ACCESS_KEY"))) {
		ret = from_env(c, env, err);
	} else {
		ret = shared_load(&s, env, profile, err);
		if (ret == 0)
			ret = from_profile(c, &s, env, err);
		shared_release(&s);
	}
	if (ret < 0)
		aws_creds_release(c);
	return ret;
}

/*
 * First of: the variables in order (NULL-terminated), the profile's key. *value stays NULL without.
 */
static int setting(const struct shared *s, const struct aws_env *env, const char *const *variables,
	const char *key, char **value, struct error *err)
{
	for (; *variables; variables++) {
		const char *text = env_get(env, *variables);

		if (text) {
			*value = copy_text(text, err);
			return *value ? 0 : -1;
		}
	}
	return profile_get(s, key, value, NULL, err);
}

/* The profile's "services = X" names a section with a nested map for each service. */
static int service_endpoint(const struct shared *s, const char *service, char **value,
	struct error *err)
{
	CLEANUP_FREE char *section = NULL;

	if (profile_get(s, "services", &section, NULL, err) < 0)
		return -1;
	if (!section)
		return 0;
	return creds_ini_get(buf_str(&s->config), "services", section, service, "endpoint_url",
		value, err);
}

static int endpoint(const struct shared *s, const struct aws_env *env, const char *variable,
	const char *service, char **value, struct error *err)
{
	const char *const variables[] = {variable, "AWS_ENDPOINT_URL", NULL};

	if (!env_get(env, variable) && !env_get(env, "AWS_ENDPOINT_URL")) {
		if (service_endpoint(s, service, value, err) < 0)
			return -1;
		if (*value)
			return 0;
	}
	return setting(s, env, variables, "endpoint_url", value, err);
}

static const char *const endpoint_variables[AWS_SERVICES] = {
	[AWS_EBS] = "AWS_ENDPOINT_URL_EBS",
	[AWS_EC2] = "AWS_ENDPOINT_URL_EC2",
	[AWS_STS] = "AWS_ENDPOINT_URL_STS",
	[AWS_KMS] = "AWS_ENDPOINT_URL_KMS",
	[AWS_S3] = "AWS_ENDPOINT_URL_S3",
};

static int endpoints(struct aws_settings *out, const struct shared *s, const struct aws_env *env,
	struct error *err)
{
	static const char *const none[] = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", NULL};
	CLEANUP_FREE char *ignore = NULL;

	if (setting(s, env, none, "ignore_configured_endpoint_urls", &ignore, err) < 0)
		return -1;
	if (ignore && strcmp(ignore, "true") == 0)
		return 0;
	for (int i = 0; i < AWS_SERVICES; i++) {
		if (endpoint(s, env, endpoint_variables[i], aws_service_name((enum aws_service)i),
			    &out->endpoint[i], err) < 0)
			return -1;
	}
	return 0;
}

static int fill_settings(struct aws_settings *out, const struct shared *s,
	const struct aws_env *env, struct error *err)
{
	static const char *const region[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};
	static const char *const bundle[] = {"AWS_CA_BUNDLE", NULL};
	static const char *const attempts[] = {"AWS_MAX_ATTEMPTS", NULL};
	CLEANUP_FREE char *text = NULL;
	uint64_t number = 0;

	if (setting(s, env, region, "region", &out->region, err) < 0 ||
	    setting(s, env, bundle, "ca_bundle", &out->ca_bundle, err) < 0 ||
	    endpoints(out, s, env, err) < 0 ||
	    setting(s, env, attempts, "max_attempts", &text, err) < 0)
		return -1;
	if (text && (num_parse(text, 1000, &number, err) < 0 || number == 0))
		return error_set(err, ERROR_USAGE, 0,
			"the number of attempts (AWS_MAX_ATTEMPTS, max_attempts) is '%s', not a number "
			"from 1 to 1000",
			text);
	out->max_attempts = (int)number;
	return 0;
}

int aws_settings_load(struct aws_settings *out, const struct aws_env *env, const char *profile,
	struct error *err)
{
	struct shared s;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = shared_load(&s, env, profile, err);
	if (ret == 0)
		ret = fill_settings(out, &s, env, err);
	shared_release(&s);
	if (ret < 0)
		aws_settings_release(out);
	return ret;
}

void aws_settings_release(struct aws_settings *s)
{
	free(s->region);
	for (int i = 0; i < AWS_SERVICES; i++)
		free(s->endpoint[i]);
	free(s->ca_bundle);
	memset(s, 0, sizeof(*s));
}
