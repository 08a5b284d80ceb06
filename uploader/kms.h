/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KMS, as far as sharing and copying ask it: DescribeKey. JSON 1.1, "TrentService". Source: AWS Key
 * Management Service API Reference.
 */
#ifndef AMIWRIGHT_UPLOADER_KMS_H
#define AMIWRIGHT_UPLOADER_KMS_H

#include "uploader/aws.h"

#include "uploader/ec2_encryption.h"

struct kms_key {
	char arn[256];
	char state[32]; /* Enabled, Disabled, PendingDeletion … */
	enum ec2_key_manager manager;
};

/* key: id, ARN, alias or alias ARN of a key in the client's region. */
int kms_describe_key(struct aws *a, const char *key, struct kms_key *out, struct error *err)
	MUST_CHECK;

#endif
