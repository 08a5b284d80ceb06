/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS credentials and settings: environment and shared files (~/.aws/credentials, ~/.aws/config),
 * as the AWS SDKs read them. Nothing here calls getenv(): the environment is a value.
 */
#ifndef AMIWRIGHT_UPLOADER_CREDS_H
#define AMIWRIGHT_UPLOADER_CREDS_H

#include "base/buf.h"
#include "uploader/aws_service.h"

#include <stdint.h>

/* Looks a variable up: the value or NULL (borrowed). builder/ passes getenv's. */
struct aws_env {
	const char *(*get)(void *arg, const char *name);
	void *arg;
};

struct aws_creds {
	char *access_key;    /* owned */
	char *secret_key;    /* owned; wiped on release; never logged */
	char *session_token; /* owned; NULL without */
	int64_t expires;     /* seconds since 1970; 0: never */
	char *origin;        /* owned; "environment", "profile 'x' in /home/…/credentials": for messages */
};

void aws_creds_release(struct aws_creds *c);

/*
 * The chain: environment (unless profile is given by option), then the profile's static keys in the
 * credentials and config files. profile: option or NULL (AWS_PROFILE, AWS_DEFAULT_PROFILE,
 * "default"). The secret is named to log_redact(). ERROR_USAGE says where it looked; a profile of a
 * kind that is not supported (role_arn, sso…) is named.
 */
int aws_creds_load(struct aws_creds *c, const struct aws_env *env, const char *profile,
	struct error *err) MUST_CHECK;

/* What profile and environment say beside credentials. Strings are owned; NULL when not set. */
struct aws_settings {
	char *region;
	char *endpoint[AWS_SERVICES]; /* from AWS_ENDPOINT_URL_EBS …, AWS_ENDPOINT_URL, profile endpoint_url */
	char *ca_bundle;
	int max_attempts; /* 0: not set */
};
int aws_settings_load(struct aws_settings *s, const struct aws_env *env, const char *profile,
	struct error *err) MUST_CHECK;
void aws_settings_release(struct aws_settings *s);

#endif
