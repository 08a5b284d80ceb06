/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where credentials come from, and that they stay fresh: environment, shared files with roles, web
 * identity, single sign-on, processes, a container's endpoint, the instance metadata service, in the
 * order of the AWS SDKs. Clients ask before each signature.
 *
 * Credentials that expire are renewed before: from 15 minutes before their end (a quarter of the
 * lifetime of short-lived ones) while the old ones stay in use, from 10 minutes (a sixth) calls wait
 * for the new ones. When a service calls credentials expired they are renewed at once, one time for
 * all calls that were told so. What needs network or a program is done by a thread, so that
 * transfers go on meanwhile.
 *
 * One thread uses a provider and its clients.
 */
#ifndef AMIWRIGHT_UPLOADER_AWS_PROVIDER_H
#define AMIWRIGHT_UPLOADER_AWS_PROVIDER_H

#include "base/cleanup.h"
#include "uploader/creds.h"
#include "uploader/http.h"

struct aws_provider;

struct aws_provider_opts {
	const struct aws_env *env;           /* required; copied */
	const struct aws_clock *clock;       /* required; copied */
	const char *profile;                 /* the option's; NULL: by environment */
	const char *region;                  /* for STS; NULL: us-east-1's. Borrowed */
	const struct aws_settings *settings; /* endpoints; required. Borrowed until aws_provider_free() */
	struct http_opts http;               /* texts borrowed likewise */
	bool (*cancelled)(void);             /* may be NULL */
};

/*
 * Finds the source; no network. ERROR_USAGE says where it was looked, or what is wrong with the
 * profile: parts that lack, loops of roles.
 */
struct aws_provider *aws_provider_new(const struct aws_provider_opts *opts, struct error *err)
	MUST_CHECK;
/* Gives these for ever. Copied. */
struct aws_provider *aws_provider_fixed(const struct aws_creds *creds, struct error *err) MUST_CHECK;
/* A renewal under way is told to end and waited for. NULL is fine. */
void aws_provider_free(struct aws_provider *p);
DEFINE_CLEANUP(aws_provider, struct aws_provider, aws_provider_free)

/* Waits for the first credentials, if none came yet; says their origin in the debug log. */
int aws_provider_load(struct aws_provider *p, struct error *err) MUST_CHECK;

enum aws_provider_state { AWS_PROVIDER_FAILED = -1, AWS_PROVIDER_READY, AWS_PROVIDER_WAIT };

/*
 * READY: *creds is borrowed until the next call on p. WAIT: they are being renewed, ask again in
 * some milliseconds. FAILED: they ended and no others came; ERROR_SERVICE with code ExpiredToken.
 */
enum aws_provider_state aws_provider_get(struct aws_provider *p, const struct aws_creds **creds,
	struct error *err) MUST_CHECK;
/* AWS_ACCOUNT_SIZE bytes for whoever finds out whose they are; "" at first. All clients share it. */
char *aws_provider_account(struct aws_provider *p);
/* Changes when other credentials come. */
unsigned aws_provider_generation(const struct aws_provider *p);
/*
 * A service called the credentials of that generation expired. True when there are newer ones, or
 * may be: then the call is worth another attempt.
 */
bool aws_provider_expired(struct aws_provider *p, unsigned generation);
/* Whether those in use have ended by this machine's clock. */
bool aws_provider_is_past(const struct aws_provider *p);
/* For cleaning up after an interruption: while on, cancelled() is not asked. */
void aws_provider_hurry(struct aws_provider *p, bool on);

/*
 * The region of the instance that this machine is, by the instance metadata service; *region stays
 * NULL when that is switched off or does not answer. The caller frees it.
 */
int aws_region_of_instance(const struct aws_provider_opts *opts, char **region, struct error *err)
	MUST_CHECK;

#endif
