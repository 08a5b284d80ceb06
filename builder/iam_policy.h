/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least IAM policy that publishing a spec needs: an identity policy (version 2012-10-17) whose
 * actions are the calls that this spec leads to, in the regions that it names. Actions, resource
 * types and condition keys are those of the Service Authorization Reference ("Actions, resources,
 * and condition keys for Amazon EC2", "… for Amazon Elastic Block Store", "… for AWS KMS").
 */
#ifndef AMIWRIGHT_BUILDER_IAM_POLICY_H
#define AMIWRIGHT_BUILDER_IAM_POLICY_H

#include "base/json.h"
#include "builder/spec.h"

/*
 * region: where the spec is published. clean_up: also what `publish --cleanup` needs. The document is
 * the caller's.
 */
struct json *iam_policy(const struct spec *s, const char *region, bool clean_up, struct error *err)
	MUST_CHECK;

#endif
