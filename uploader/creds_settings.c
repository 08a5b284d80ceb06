/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What environment and profile say beside credentials. For each setting the environment goes before
 * the profile, and what is special before what is general, in the order of the AWS SDKs ("AWS SDKs
 * and Tools Reference Guide", "Service-specific endpoints").
 */
#include "uploader/creds.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"
#include "uploader/creds_shared.h"

static const char *const endpoint_variables[AWS_SERVICES] = {
	[AWS_EBS] = "AWS_ENDPOINT_URL_EBS",
	[AWS_EC2] = "AWS_ENDPOINT_URL_EC2",
	[AWS_STS] = "AWS_ENDPOINT_URL_STS",
	[AWS_KMS] = "AWS_ENDPOINT_URL_KMS",
	[AWS_S3] = "AWS_ENDPOINT_URL_S3",
	[AWS_SSO] = "AWS_ENDPOINT_URL_SSO",
	[AWS_SSO_OIDC] = "AWS_ENDPOINT_URL_SSO_OIDC",
};

struct sources {
	const struct creds_shared *shared;
	const struct aws_env *env;
};

/* First of: the variables in order (NULL-terminated), the profile's key. *value stays NULL without. */
static int setting(const struct sources *s, const char *const *variables, const char *key,
	char **value, struct error *err)
{
	*value = NULL;
	for (; *variables; variables++) {
		const char *text = aws_env_get(s->env, *variables);

		if (text) {
			*value = buf_strf(err, "%s", text);
			return *value ? 0 : -1;
		}
	}
	if (!key)
		return 0;
	return creds_shared_get(s->shared, s->shared->profile, key, value, err);
}

static int switch_setting(const struct sources *s, const char *variable, const char *key, bool *on,
	struct error *err)
{
	const char *const variables[] = {variable, NULL};
	CLEANUP_FREE char *text = NULL;

	if (setting(s, variables, key, &text, err) < 0)
		return -1;
	*on = text && strcasecmp(text, "true") == 0;
	return 0;
}

/* The profile's "services = X" names a section with a nested map for each service. */
static int service_endpoint(const struct sources *s, const char *service, char **value,
	struct error *err)
{
	CLEANUP_FREE char *section = NULL;

	if (creds_shared_get(s->shared, s->shared->profile, "services", &section, err) < 0)
		return -1;
	if (!section)
		return 0;
	return creds_shared_section(s->shared, "services", section, service, "endpoint_url", value,
		err);
}

static int find_endpoint(const struct sources *s, enum aws_service service, char **value,
	struct error *err)
{
	const char *const variables[] = {endpoint_variables[service], "AWS_ENDPOINT_URL", NULL};

	if (!aws_env_get(s->env, variables[0]) && !aws_env_get(s->env, variables[1])) {
		if (service_endpoint(s, aws_service_name(service), value, err) < 0)
			return -1;
		if (*value)
			return 0;
	}
	return setting(s, variables, "endpoint_url", value, err);
}

/* "http://user:password@host": user and password are not for the log. */
static int redact_address(const char *url, struct error *err)
{
	const char *start = url ? strstr(url, "://") : NULL, *at, *colon;
	CLEANUP_FREE char *user = NULL;

	start = start ? start + 3 : url;
	at = start ? memchr(start, '@', strcspn(start, "/")) : NULL;
	if (!at)
		return 0;
	user = buf_strf(err, "%.*s", (int)(at - start), start);
	if (!user || log_redact(user, err) < 0)
		return -1;
	colon = strchr(user, ':');
	return colon ? log_redact(colon + 1, err) : 0;
}

static int endpoint(const struct sources *s, enum aws_service service, char **value,
	struct error *err)
{
	if (find_endpoint(s, service, value, err) < 0)
		return -1;
	return redact_address(*value, err);
}

static int endpoints(struct aws_settings *out, const struct sources *s, struct error *err)
{
	bool ignore;

	if (switch_setting(s, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", &out->fips, err) < 0 ||
	    switch_setting(s, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint",
		    &out->dualstack, err) < 0 ||
	    switch_setting(s, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		    "ignore_configured_endpoint_urls", &ignore, err) < 0)
		return -1;
	for (int i = 0; i < AWS_SERVICES && !ignore; i++) {
		if (endpoint(s, (enum aws_service)i, &out->endpoint[i], err) < 0)
			return -1;
	}
	return 0;
}

/* "s3 =" with "addressing_style = virtual" in the profile: what a given endpoint is asked by. */
static int addressing(struct aws_settings *out, const struct sources *s, struct error *err)
{
	CLEANUP_FREE char *text = NULL;

	if (creds_shared_nested(s->shared, s->shared->profile, "s3", "addressing_style", &text, err) < 0)
		return -1;
	out->s3_hosts = text && strcmp(text, "virtual") == 0;
	if (!text || out->s3_hosts || strcmp(text, "path") == 0 || strcmp(text, "auto") == 0)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"the profile's S3 addressing_style is '%s', not virtual, path or auto", text);
}

/* Lower-case names first, as curl and Python have it. */
static int proxies(struct aws_settings *out, const struct sources *s, struct error *err)
{
	static const char *const http[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL};
	static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
	static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};

	if (setting(s, http, NULL, &out->proxy_http, err) < 0 ||
	    setting(s, https, NULL, &out->proxy_https, err) < 0 ||
	    setting(s, none, NULL, &out->no_proxy, err) < 0)
		return -1;
	if (redact_address(out->proxy_http, err) < 0)
		return -1;
	return redact_address(out->proxy_https, err);
}

static int fill_settings(struct aws_settings *out, const struct sources *s, struct error *err)
{
	static const char *const region[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};
	static const char *const bundle[] = {"AWS_CA_BUNDLE", NULL};
	static const char *const attempts[] = {"AWS_MAX_ATTEMPTS", NULL};
	CLEANUP_FREE char *text = NULL;
	uint64_t number = 0;

	if (setting(s, region, "region", &out->region, err) < 0 ||
	    setting(s, bundle, "ca_bundle", &out->ca_bundle, err) < 0 ||
	    endpoints(out, s, err) < 0 || addressing(out, s, err) < 0 || proxies(out, s, err) < 0 ||
	    setting(s, attempts, "max_attempts", &text, err) < 0)
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
	struct creds_shared shared;
	struct sources s = {&shared, env};
	int ret;

	memset(out, 0, sizeof(*out));
	ret = creds_shared_load(&shared, env, profile, err);
	if (ret == 0)
		ret = fill_settings(out, &s, err);
	creds_shared_release(&shared);
	if (ret < 0)
		aws_settings_release(out);
	return ret;
}

void aws_settings_release(struct aws_settings *s)
{
	for (int i = 0; i < AWS_SERVICES; i++)
		free(s->endpoint[i]);
	free(s->region);
	free(s->ca_bundle);
	creds_wipe_text(s->proxy_http);
	creds_wipe_text(s->proxy_https);
	free(s->no_proxy);
	memset(s, 0, sizeof(*s));
}
