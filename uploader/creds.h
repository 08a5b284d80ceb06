/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS credentials, and what environment and shared files (~/.aws/credentials, ~/.aws/config) say
 * beside them, as the AWS SDKs read them. Nothing here calls getenv(): the environment is a value.
 * Where credentials come from and how they stay fresh: aws_provider.h.
 */
#ifndef AMIWRIGHT_UPLOADER_CREDS_H
#define AMIWRIGHT_UPLOADER_CREDS_H

#include "base/buf.h"
#include "uploader/aws_env.h"
#include "uploader/aws_service.h"

#include <stdbool.h>
#include <stdint.h>

enum { AWS_ACCOUNT_SIZE = 16 };

struct aws_creds {
	char *access_key;    /* owned */
	char *secret_key;    /* owned; wiped on release; never logged */
	char *session_token; /* owned; NULL without */
	int64_t expires;     /* seconds since 1970 by this machine's clock; 0: never */
	char *origin;        /* owned; "environment", "profile 'x' in /home/…/credentials": for messages */
};

void aws_creds_release(struct aws_creds *c);
/* to must hold nothing. On failure it is empty. */
int aws_creds_copy(struct aws_creds *to, const struct aws_creds *from, struct error *err) MUST_CHECK;

/* Strings are owned; NULL when not set. */
struct aws_settings {
	char *region;                 /* AWS_REGION, AWS_DEFAULT_REGION, the profile's */
	char *endpoint[AWS_SERVICES]; /* AWS_ENDPOINT_URL_EBS …, AWS_ENDPOINT_URL, services sections, endpoint_url */
	bool fips, dualstack;         /* AWS's own endpoints of that kind are wanted */
	bool s3_hosts;                /* the profile's s3 map has addressing_style = virtual */
	char *ca_bundle;
	char *proxy_http, *proxy_https, *no_proxy;
	int max_attempts;             /* 0: not set */
};

/*
 * profile: the option's or NULL (AWS_PROFILE, AWS_DEFAULT_PROFILE, "default"). What can be a secret
 * (a password in the address of a proxy or endpoint) is named to log_redact().
 */
int aws_settings_load(struct aws_settings *s, const struct aws_env *env, const char *profile,
	struct error *err) MUST_CHECK;
void aws_settings_release(struct aws_settings *s);

#endif
