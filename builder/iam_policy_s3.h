/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least IAM policies for what goes to S3. Actions and resource types are those of the Service Authorization
 * Reference ("Actions, resources, and condition keys for Amazon S3", "… for Amazon EC2"); which action a call needs
 * is in "Required permissions for Amazon S3 API operations" (S3 User Guide).
 */
#ifndef AMIWRIGHT_BUILDER_IAM_POLICY_S3_H
#define AMIWRIGHT_BUILDER_IAM_POLICY_S3_H

#include "base/json.h"
#include "uploader/s3.h"

enum iam_policy_s3 {
	IAM_POLICY_BUNDLE, /* bundles below a prefix: sent, fetched, registered */
	IAM_POLICY_OBJECT, /* `convert` to that object */
};

/*
 * where: key is the prefix ("" for the whole bucket) or the object. clean_up: also to replace and delete bundles. The
 * document is the caller's.
 */
struct json *iam_policy_s3(enum iam_policy_s3 kind, const struct s3_url *where, const char *region, bool clean_up,
	struct error *err) MUST_CHECK;

#endif
