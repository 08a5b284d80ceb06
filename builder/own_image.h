/* SPDX-License-Identifier: Apache-2.0 */
/* An AMI of this account, for commands that only its owner can give. */
#ifndef AMIWRIGHT_BUILDER_OWN_IMAGE_H
#define AMIWRIGHT_BUILDER_OWN_IMAGE_H

#include "uploader/ec2.h"

/*
 * list has exactly that image, or is empty on error: ERROR_USAGE when it is no AMI id, ERROR_POLICY
 * when it is another account's, ERROR_SERVICE with code InvalidAMIID.NotFound or .Unavailable when it
 * is not there. Release the list.
 */
int own_image(struct aws *a, const char *ami, struct ec2_image_list *list, struct error *err)
	MUST_CHECK;
/* Whether items[i] stands in the list before: who names one twice means it once. */
bool own_image_repeats(const char *const *items, size_t i);

#endif
