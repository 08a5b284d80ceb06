/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accounts of a local region: who there is, with which key, and in which organization. They
 * are kept in two files that a user may read and change while no server runs:
 *
 *   DIR/credentials         a shared-credentials file: a profile for each account, with its key and
 *                           aws_account_id; [default] is the first (mode 0600)
 *   DIR/organizations.json  {"ARN of an organization or of a unit": ["account", …], …}
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_ACCOUNTS_H
#define AMIWRIGHT_UPLOADER_REGION_ACCOUNTS_H

#include "base/cleanup.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	ACCOUNT_SIZE = 13,    /* 12 digits */
	ACCOUNTS_MAX = 10,
	ACCOUNTS_DEFAULT = 2, /* so that sharing can be rehearsed without preparation */
};

struct account {
	char *profile, *access_key, *secret_key; /* owned */
	char id[ACCOUNT_SIZE];
};

struct accounts {
	struct account items[ACCOUNTS_MAX];
	size_t nr;
	struct json *organizations; /* owned */
};

/*
 * Reads DIR's files; what is missing, up to `wanted` accounts, is made from random (0 when fine).
 * ERROR_INPUT names the file and the profile that lacks something. Release in any case.
 */
int accounts_load(struct accounts *a, const char *dir, size_t wanted,
	int (*random)(void *buf, size_t len), struct error *err) MUST_CHECK;
void accounts_release(struct accounts *a);

/* Borrowed, or NULL. */
const struct account *accounts_find(const struct accounts *a, const char *id);
const struct account *accounts_find_key(const struct accounts *a, const char *access_key);
const struct account *accounts_find_profile(const struct accounts *a, const char *profile);
/* Whether the account is in the organization or unit of that ARN. */
bool accounts_in_organization(const struct accounts *a, const char *arn, const char *id);
/* "arn:aws…:organizations::<account>:organization/o-…" or "…:ou/o-…/ou-…". */
bool accounts_is_organization_arn(const char *text);

#endif
