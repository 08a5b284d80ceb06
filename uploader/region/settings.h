/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an account has switched on in a Region (encryption by default, block public access …), in
 * DIR/regions/NAME/settings.json: {account: {key: value}}. With store->lock held.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_SETTINGS_H
#define AMIWRIGHT_UPLOADER_REGION_SETTINGS_H

#include "uploader/region/store.h"

#define SETTING_ENCRYPTION "ebsEncryptionByDefault"       /* "true" or absent */
#define SETTING_DEFAULT_KEY "ebsDefaultKmsKeyId"          /* ARN, or absent: aws/ebs */
#define SETTING_IMAGE_BLOCK "imageBlockPublicAccess"      /* "block-new-sharing" or absent */
#define SETTING_SNAPSHOT_BLOCK "snapshotBlockPublicAccess" /* the same, or "block-all-sharing" */

/* Borrowed until it is changed; NULL when it is not set. */
const char *settings_get(const struct store *s, const char *account, const char *key);
/* value NULL: as it was at first. On disk before it returns; as it was when that fails. */
int settings_set(struct store *s, const char *account, const char *key, const char *value,
	struct error *err) MUST_CHECK;

/* For store.c: reads the file, or begins without one. */
int settings_load(struct store *s, struct error *err) MUST_CHECK;

#endif
