/* SPDX-License-Identifier: Apache-2.0 */
/* Permissions are lists in the records: launchPermission of images, createVolumePermission. */
#include "uploader/region/access.h"

#include <string.h>

/* Whether an entry of the list has that value under that key. */
static bool list_has(const struct json *list, const char *key, const char *value)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (strcmp(json_get_str(json_at(list, i), key, ""), value) == 0)
			return true;
	return false;
}

bool access_owns_image(const struct image *image, const char *account)
{
	return strcmp(image_owner(image), account) == 0;
}

bool access_owns_snapshot(const struct snapshot *snap, const char *account)
{
	return strcmp(snapshot_owner(snap), account) == 0;
}

bool access_image_names(const struct image *image, const char *account)
{
	return list_has(json_get(image->doc, "launchPermission"), "userId", account);
}

bool access_image_by_organization(const struct accounts *a, const struct image *image,
	const char *account)
{
	const struct json *list = json_get(image->doc, "launchPermission");

	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *one = json_at(list, i);
		const char *arn = json_get_str(one, "organizationArn",
			json_get_str(one, "organizationalUnitArn", NULL));

		if (arn && accounts_in_organization(a, arn, account))
			return true;
	}
	return false;
}

bool access_image_is_public(const struct image *image)
{
	return list_has(json_get(image->doc, "launchPermission"), "group", "all");
}

bool access_image(const struct accounts *a, const struct image *image, const char *account)
{
	if (access_owns_image(image, account))
		return true;
	return strcmp(json_get_str(image->doc, "imageState", ""), "available") == 0 &&
	       (access_image_is_public(image) || access_image_names(image, account) ||
		       access_image_by_organization(a, image, account));
}

bool access_snapshot_names(const struct snapshot *snap, const char *account)
{
	return list_has(json_get(snap->doc, "createVolumePermission"), "userId", account);
}

bool access_snapshot_is_public(const struct snapshot *snap)
{
	return list_has(json_get(snap->doc, "createVolumePermission"), "group", "all");
}

bool access_snapshot(const struct snapshot *snap, const char *account)
{
	return access_owns_snapshot(snap, account) || access_snapshot_names(snap, account) ||
	       access_snapshot_is_public(snap);
}
