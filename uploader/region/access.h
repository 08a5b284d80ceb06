/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may see and use what: own things, things that are shared with the account, with an
 * organization or unit that it is in, and public things. With store->lock held.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_ACCESS_H
#define AMIWRIGHT_UPLOADER_REGION_ACCESS_H

#include "uploader/region/accounts.h"
#include "uploader/region/store.h"

/* Whether it is the account's own. */
bool access_owns_image(const struct image *image, const char *account);
bool access_owns_snapshot(const struct snapshot *snap, const char *account);

/* Whether the image is shared with just this account id, without organizations and "all". */
bool access_image_names(const struct image *image, const char *account);
/* Whether it is shared with an organization or unit that the account is in. */
bool access_image_by_organization(const struct accounts *a, const struct image *image,
	const char *account);
bool access_image_is_public(const struct image *image);
/* Owner, or one of those three while the image is available. */
bool access_image(const struct accounts *a, const struct image *image, const char *account);

/* Whether createVolumePermission has this user id, or the group "all". */
bool access_snapshot_names(const struct snapshot *snap, const char *account);
bool access_snapshot_is_public(const struct snapshot *snap);
bool access_snapshot(const struct snapshot *snap, const char *account);

#endif
