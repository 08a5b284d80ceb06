/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KMS keys of a Region, as far as encrypted snapshots need them: DIR/regions/NAME/keys.json. Every
 * account has its aws/ebs key without asking; customer keys are made. With store->lock held.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_KEYS_H
#define AMIWRIGHT_UPLOADER_REGION_KEYS_H

#include "uploader/region/store.h"

enum { KEY_ID_SIZE = 37, KEY_ARN_SIZE = 128 };

/* ARN of the account's aws/ebs key. */
void keys_managed_arn(const struct store *s, const char *account, char out[KEY_ARN_SIZE]);
/* The key that is taken when none is named: the account's choice, else aws/ebs. */
void keys_default_arn(const struct store *s, const char *account, char out[KEY_ARN_SIZE]);
bool keys_is_managed(const struct store *s, const char *arn);
/*
 * The ARN behind a key id, a key's ARN, "alias/…" or an alias's ARN, as the account means it. True
 * when there is no such key here; then out has what was given, cut.
 */
bool keys_resolve(const struct store *s, const char *account, const char *text, char out[KEY_ARN_SIZE]);
/* Whether the account may use it: its own or allowed by its policy, of this Region, enabled. */
bool keys_usable(const struct store *s, const char *account, const char *arn);

/* A customer key's record (borrowed), or NULL: account, state, description, policy, created. */
struct json *keys_find(const struct store *s, const char *arn);
/* KMS's quota is 32 KB; the document is JSON of a few levels, so that nobody's stack is in question. */
enum { KEYS_POLICY_MAX = 32 * 1024 };
enum keys_policy { KEYS_POLICY_OK, KEYS_POLICY_LONG, KEYS_POLICY_MALFORMED };
enum keys_policy keys_policy_check(const char *policy);
/* Makes one; on disk before it returns. policy NULL: the owner's alone; else one that was checked. */
int keys_create(struct store *s, const char *account, const char *description, const char *policy,
	int64_t now, char arn[KEY_ARN_SIZE], struct error *err) MUST_CHECK;
int keys_set_alias(struct store *s, const char *account, const char *alias, const char *arn,
	struct error *err) MUST_CHECK;
/* {alias: ARN} of the account; borrowed, NULL without. */
struct json *keys_aliases(const struct store *s, const char *account);
/* {id: record} of all. */
struct json *keys_all(const struct store *s);
int keys_save(struct store *s, struct error *err) MUST_CHECK;

/* For store.c: reads the file, or begins without one. */
int keys_load(struct store *s, struct error *err) MUST_CHECK;

#endif
