/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EC2 does with encryption when images and snapshots are copied and shared: pure functions,
 * asked before any call, so that what cannot work is refused while nothing has changed. Source:
 * Amazon EC2 User Guide, "Use encryption with EBS-backed AMIs" and "Copy an AMI"; Amazon EBS User
 * Guide, "Copy a snapshot" and "Share a snapshot".
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_ENCRYPTION_H
#define AMIWRIGHT_UPLOADER_EC2_ENCRYPTION_H

#include "base/error.h"

#include <stdbool.h>

/* A snapshot that is to be copied. */
struct ec2_copy_source {
	const char *id; /* for messages */
	bool encrypted;
	bool own;       /* else another account shares it */
};

/* Where it goes, and what the user asks for. */
struct ec2_copy_target {
	const char *region;  /* for messages */
	bool same_region;    /* as the source's */
	bool default_on;     /* the account's encryption by default holds there */
	bool encrypt;        /* Encrypted=true is asked for */
	bool plain;          /* an unencrypted copy is asked for */
	const char *kms_key; /* id, ARN, alias or its ARN; NULL: none given */
};

/* What becomes of the copy. */
enum ec2_copy_key {
	EC2_COPY_REFUSED = -1,
	EC2_COPY_PLAIN,       /* not encrypted */
	EC2_COPY_DEFAULT_KEY, /* the account's default key for EBS in the target's region */
	EC2_COPY_SAME_KEY,    /* the source's key: inside one region only */
	EC2_COPY_GIVEN_KEY,
};

/*
 * EC2_COPY_REFUSED with err: ERROR_POLICY when EC2's rules stand against it, ERROR_USAGE when the
 * wishes contradict each other or the key's ARN is of another region.
 */
enum ec2_copy_key ec2_copy_verdict(const struct ec2_copy_source *source,
	const struct ec2_copy_target *target, struct error *err) MUST_CHECK;

/* Who made a key; KMS tells it. */
enum ec2_key_manager {
	EC2_KEY_UNKNOWN, /* DescribeKey was denied */
	EC2_KEY_AWS,     /* aws/ebs and the like */
	EC2_KEY_CUSTOMER,
};

struct ec2_share_source {
	const char *id;      /* of the snapshot, for messages */
	bool encrypted;
	enum ec2_key_manager manager;
	const char *kms_key; /* for messages; NULL: not known */
};

enum ec2_share_answer {
	EC2_SHARE_REFUSED = -1,
	EC2_SHARE_YES,
	EC2_SHARE_NEEDS_KEY,  /* yes, and the key's policy must let the others use it */
	EC2_SHARE_UNKNOWN,    /* as above if the key is a customer's, which is not known */
};

/* Whether the snapshot may be shared with accounts and organizations, or (is_public) with all. */
enum ec2_share_answer ec2_share_verdict(const struct ec2_share_source *source, bool is_public,
	struct error *err) MUST_CHECK;

/*
 * Whether an image may become public: product_codes: it has some; image_block and snapshot_block:
 * the account's switches ("unblocked", "block-new-sharing", "block-all-sharing"), "" when they are
 * not known; snapshots: they are to be public too. ERROR_POLICY says what stands against it.
 */
int ec2_public_verdict(const char *image, bool product_codes, const char *image_block,
	const char *snapshot_block, bool snapshots, struct error *err) MUST_CHECK;

/*
 * "aws", "aws-cn", "aws-us-gov" …: the partition that a region's name shows. Nothing is copied from
 * one to another.
 */
const char *ec2_partition_of(const char *region);

#endif
