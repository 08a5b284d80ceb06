/* SPDX-License-Identifier: Apache-2.0 */
/* Inside share*.c. */
#ifndef AMIWRIGHT_BUILDER_SHARE_INTERNAL_H
#define AMIWRIGHT_BUILDER_SHARE_INTERNAL_H

#include "builder/share.h"

/* What EC2 and KMS would refuse, by reading calls; ERROR_POLICY. */
int share_judge(struct aws *aws, const struct ec2_image *image, const struct share_opts *o,
	struct error *err) MUST_CHECK;

#endif
