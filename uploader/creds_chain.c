/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where credentials are looked for, and in which order (AWS SDKs and Tools Reference Guide,
 * "Standardized credential providers", in the order that botocore has):
 *
 *   environment -> the profile: role, web identity, single sign-on, keys in the credentials file,
 *   process, keys in the config file -> a container's endpoint -> the instance metadata service
 *
 * A role's source profile goes through the same, so roles form a chain.
 */
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "uploader/creds_internal.h"

/* The profiles on the way to this one. */
struct visit {
	const char *profile;
	const struct visit *up;
};

struct chain {
	struct creds_world *world;
	const struct creds_shared *shared;
};

static struct aws_provider *from_role(const struct chain *c, const char *profile,
	const struct visit *up, struct error *err);

/* *on: whether the profile has that key, in either file. */
static int has_key(const struct chain *c, const char *profile, const char *key, bool *on,
	struct error *err)
{
	CLEANUP_SECRET char *value = NULL;

	if (creds_shared_get(c->shared, profile, key, &value, err) < 0)
		return -1;
	*on = value != NULL;
	return 0;
}

static int has_keys_in(const struct chain *c, const char *profile, bool config, bool *on,
	struct error *err)
{
	CLEANUP_SECRET char *access = NULL, *secret = NULL;

	if (creds_shared_get_in(c->shared, config, profile, "aws_access_key_id", &access, err) < 0 ||
	    creds_shared_get_in(c->shared, config, profile, "aws_secret_access_key", &secret, err) < 0)
		return -1;
	*on = access || secret;
	return 0;
}

/* NULL without an error: the profile (or the environment) has no web identity. */
static struct aws_provider *from_web_identity(const struct chain *c, const char *profile,
	bool use_env, struct error *err)
{
	static const char *const names[][2] = {
		{"AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file"},
		{"AWS_ROLE_ARN", "role_arn"},
		{"AWS_ROLE_SESSION_NAME", "role_session_name"},
	};
	CLEANUP_FREE char *file = NULL, *role = NULL, *session = NULL;
	char **const values[] = {&file, &role, &session};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *text = use_env ? aws_env_get(&c->world->env, names[i][0]) : NULL;

		if (text)
			*values[i] = buf_strf(err, "%s", text);
		else if (creds_shared_get(c->shared, profile, names[i][1], values[i], err) < 0)
			return NULL;
		if (text && !*values[i])
			return NULL;
		if (!file)
			return NULL;
	}
	if (!role)
		return error_null(err, ERROR_USAGE, 0,
			"the web identity token '%s' needs a role: set AWS_ROLE_ARN, or role_arn in profile '%s'",
			file, profile);
	return creds_web_new(c->world, file, role, session, err);
}

/* *p stays NULL when the profile has none. */
static int from_sso(const struct chain *c, const char *profile, struct aws_provider **p,
	struct error *err)
{
	bool account, role;

	if (has_key(c, profile, "sso_account_id", &account, err) < 0 ||
	    has_key(c, profile, "sso_role_name", &role, err) < 0)
		return -1;
	if (!account && !role)
		return 0;
	*p = creds_sso_new(c->world, c->shared, profile, err);
	return *p ? 0 : -1;
}

static int from_process(const struct chain *c, const char *profile, struct aws_provider **p,
	struct error *err)
{
	CLEANUP_SECRET char *command = NULL;

	if (creds_shared_get(c->shared, profile, "credential_process", &command, err) < 0)
		return -1;
	if (!command)
		return 0;
	*p = creds_process_new(c->world, command, profile, err);
	return *p ? 0 : -1;
}

static int from_keys(const struct chain *c, const char *profile, bool config,
	struct aws_provider **p, struct error *err)
{
	bool on;

	if (has_keys_in(c, profile, config, &on, err) < 0)
		return -1;
	if (!on)
		return 0;
	*p = creds_static_new(c->world, profile, config, err);
	return *p ? 0 : -1;
}

/* What console sign-in leaves behind is not documented for others than the SDKs. */
static int refuse_login(const struct chain *c, const char *profile, struct error *err)
{
	bool on;

	if (has_key(c, profile, "login_session", &on, err) < 0)
		return -1;
	if (!on)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"profile '%s' uses login_session, which is not supported: put its credentials into the "
		"environment with `aws configure export-credentials --format env`",
		profile);
}

/* All of a profile but its role. *p stays NULL when it has no credentials. */
static int from_profile(const struct chain *c, const char *profile, bool use_env,
	struct aws_provider **p, struct error *err)
{
	struct error why = ERROR_INIT;

	*p = from_web_identity(c, profile, use_env, &why);
	if (*p)
		return 0;
	if (why.kind != ERROR_NONE) {
		*err = why;
		return -1;
	}
	if (from_sso(c, profile, p, err) < 0 || *p)
		return *p ? 0 : -1;
	if (from_keys(c, profile, false, p, err) < 0 || *p)
		return *p ? 0 : -1;
	if (refuse_login(c, profile, err) < 0 || from_process(c, profile, p, err) < 0 || *p)
		return *p ? 0 : -1;
	return from_keys(c, profile, true, p, err);
}

/* A profile with role_arn; one with a web identity too is of that kind. */
static int is_role(const struct chain *c, const char *profile, bool *on, struct error *err)
{
	bool role, web;

	if (has_key(c, profile, "role_arn", &role, err) < 0 ||
	    has_key(c, profile, "web_identity_token_file", &web, err) < 0)
		return -1;
	*on = role && !web;
	return 0;
}

static int check_loop(const char *source, const struct visit *visit, bool has_keys, struct error *err)
{
	if (strcmp(source, visit->profile) == 0) {
		if (has_keys)
			return 0;
		return error_set(err, ERROR_USAGE, 0,
			"profile '%s' is its own source_profile but has no aws_access_key_id", source);
	}
	for (const struct visit *v = visit->up; v; v = v->up) {
		if (strcmp(source, v->profile) == 0)
			return error_set(err, ERROR_USAGE, 0,
				"the source_profile of profile '%s' leads back to profile '%s'",
				visit->profile, source);
	}
	return 0;
}

static struct aws_provider *source_profile(const struct chain *c, const char *source,
	const struct visit *visit, struct error *err)
{
	struct aws_provider *p = NULL;
	bool config, file, role;

	if (!creds_shared_has(c->shared, source))
		return error_null(err, ERROR_USAGE, 0,
			"the source_profile '%s' of profile '%s' is neither in '%s' nor in '%s'", source,
			visit->profile, c->shared->credentials_path, c->shared->config_path);
	if (has_keys_in(c, source, false, &file, err) < 0 ||
	    has_keys_in(c, source, true, &config, err) < 0 ||
	    is_role(c, source, &role, err) < 0 ||
	    check_loop(source, visit, file || config, err) < 0)
		return NULL;
	if (role && !file && !config)
		return from_role(c, source, visit, err);
	if (from_profile(c, source, false, &p, err) < 0 || p)
		return p;
	return error_null(err, ERROR_USAGE, 0,
		"the source_profile '%s' of profile '%s' has no credentials", source, visit->profile);
}

static struct aws_provider *credential_source(const struct chain *c, const char *name,
	const char *profile, struct error *err)
{
	if (strcasecmp(name, "Environment") == 0)
		return creds_env_new(c->world, err);
	if (strcasecmp(name, "EcsContainer") == 0)
		return creds_container_new(c->world, err);
	if (strcasecmp(name, "Ec2InstanceMetadata") == 0)
		return creds_imds_new(c->world, c->shared, err);
	return error_null(err, ERROR_USAGE, 0,
		"credential_source of profile '%s' is '%s', not one of Environment, EcsContainer, "
		"Ec2InstanceMetadata",
		profile, name);
}

static struct aws_provider *from_role(const struct chain *c, const char *profile,
	const struct visit *up, struct error *err)
{
	const struct visit visit = {profile, up};
	CLEANUP_FREE char *source = NULL, *name = NULL;
	struct aws_provider *p;

	if (creds_shared_get(c->shared, profile, "source_profile", &source, err) < 0 ||
	    creds_shared_get(c->shared, profile, "credential_source", &name, err) < 0)
		return NULL;
	if (!source == !name)
		return error_null(err, ERROR_USAGE, 0,
			"profile '%s' has role_arn and %s source_profile %s credential_source: it needs "
			"one of them",
			profile, source ? "both" : "neither", source ? "and" : "nor");
	p = source ? source_profile(c, source, &visit, err) :
		     credential_source(c, name, profile, err);
	return p ? creds_role_new(c->world, c->shared, profile, p, err) : NULL;
}

static struct aws_provider *not_found(const struct chain *c, struct error *err)
{
	const struct creds_shared *s = c->shared;

	return error_null(err, ERROR_USAGE, 0,
		"no AWS credentials: looked for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
		"environment and for profile '%s' in '%s' and '%s'; the instance metadata service is "
		"switched off",
		s->profile, s->credentials_path, s->config_path);
}

/* Neither environment nor profile: what the machine itself gives. */
static struct aws_provider *from_machine(const struct chain *c, struct error *err)
{
	const struct aws_env *env = &c->world->env;

	if (aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
	    aws_env_get(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI"))
		return creds_container_new(c->world, err);
	if (creds_imds_disabled(env))
		return not_found(c, err);
	return creds_imds_new(c->world, c->shared, err);
}

struct aws_provider *creds_chain(struct creds_world *w, const struct creds_shared *s,
	struct error *err)
{
	const struct chain c = {w, s};
	struct aws_provider *p = NULL;
	bool role;

	if (!s->explicit && (aws_env_get(&w->env, "AWS_ACCESS_KEY_ID") ||
				    aws_env_get(&w->env, "AWS_SECRET_ACCESS_KEY")))
		return creds_env_new(w, err);
	if (s->named && !creds_shared_has(s, s->profile))
		return error_null(err, ERROR_USAGE, 0, "no profile '%s' in '%s' or '%s'", s->profile,
			s->credentials_path, s->config_path);
	if (is_role(&c, s->profile, &role, err) < 0)
		return NULL;
	if (role)
		return from_role(&c, s->profile, NULL, err);
	if (from_profile(&c, s->profile, !s->explicit, &p, err) < 0 || p)
		return p;
	return from_machine(&c, err);
}
