/* SPDX-License-Identifier: Apache-2.0 */
/* One own image by id. */
#include "builder/own_image.h"

#include <string.h>

int own_image(struct aws *a, const char *ami, struct ec2_image_list *list, struct error *err)
{
	const char *ids[] = {ami, NULL};
	struct ec2_image_query query = {.owner = "self", .ids = ids};

	memset(list, 0, sizeof(*list));
	if (strncmp(ami, "ami-", 4) != 0)
		return error_set(err, ERROR_USAGE, 0, "'%s' is no AMI id", ami);
	if (ec2_find_images(a, &query, list, err) < 0)
		return -1;
	if (list->nr)
		return 0;
	/* Others' images are found only without the question for own ones. */
	query.owner = NULL;
	if (ec2_find_images(a, &query, list, err) < 0)
		return -1;
	if (!list->nr) {
		error_set(err, ERROR_SERVICE, 0, "there is no AMI %s in %s", ami, aws_region(a));
		if (err)
			memcpy(err->code, "InvalidAMIID.NotFound", sizeof("InvalidAMIID.NotFound"));
		return -1;
	}
	error_set(err, ERROR_POLICY, 0, "%s belongs to account %s: only its owner can do that", ami,
		list->items[0].owner);
	ec2_image_list_release(list);
	return -1;
}

bool own_image_repeats(const char *const *items, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(items[k], items[i]))
			return true;
	return false;
}
