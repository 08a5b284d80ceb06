/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption matrix. One direction is closed: nothing that is encrypted becomes plain by a
 * copy, and what the account's default key has encrypted stays in the account.
 */
#include "uploader/ec2_encryption.h"

#include <string.h>

#include "base/num.h"

static enum ec2_copy_key refuse(struct error *err, enum error_kind kind, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static enum ec2_copy_key refuse(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, kind, 0, fmt, ap);
	va_end(ap);
	return EC2_COPY_REFUSED;
}

/* Whether a key that is given as ARN ("arn:aws:kms:REGION:ACCOUNT:key/…") is of that region. */
static bool key_fits(const char *key, const char *region)
{
	size_t len = strlen(region);

	if (strncmp(key, "arn:", 4) != 0)
		return true;
	for (int colons = 0; colons < 3; colons++) {
		key = strchr(key, ':');
		if (!key)
			return false;
		key++;
	}
	return strncmp(key, region, len) == 0 && key[len] == ':';
}

static enum ec2_copy_key plain_verdict(const struct ec2_copy_source *s,
	const struct ec2_copy_target *t, struct error *err)
{
	if (s->encrypted)
		return refuse(err, ERROR_POLICY,
			"snapshot %s is encrypted, and EC2 makes no unencrypted copy of an encrypted "
			"snapshot: leave out --no-encrypt, or download it and upload the image",
			s->id);
	if (t->default_on)
		return refuse(err, ERROR_POLICY,
			"encryption by default is on in %s, so a copy of snapshot %s would be encrypted "
			"there: leave out --no-encrypt, or switch it off for that region",
			t->region, s->id);
	return EC2_COPY_PLAIN;
}

enum ec2_copy_key ec2_copy_verdict(const struct ec2_copy_source *s,
	const struct ec2_copy_target *t, struct error *err)
{
	if (t->kms_key && !t->encrypt)
		return refuse(err, ERROR_USAGE, "a KMS key without encryption has no meaning: add --encrypt");
	if (t->plain && t->encrypt)
		return refuse(err, ERROR_USAGE, "--no-encrypt excludes --encrypt and --kms-key");
	if (t->kms_key && !key_fits(t->kms_key, t->region))
		return refuse(err, ERROR_USAGE,
			"KMS key '%s' is not of region %s: a copy needs a key of the region that it goes to",
			t->kms_key, t->region);
	if (t->plain)
		return plain_verdict(s, t, err);
	if (t->kms_key)
		return EC2_COPY_GIVEN_KEY;
	if (s->encrypted)
		return s->own && t->same_region ? EC2_COPY_SAME_KEY : EC2_COPY_DEFAULT_KEY;
	return t->encrypt || t->default_on ? EC2_COPY_DEFAULT_KEY : EC2_COPY_PLAIN;
}

enum ec2_share_answer ec2_share_verdict(const struct ec2_share_source *s, bool is_public,
	struct error *err)
{
	if (!s->encrypted)
		return EC2_SHARE_YES;
	if (is_public) {
		error_set(err, ERROR_POLICY, 0,
			"snapshot %s is encrypted: what is public must be unencrypted; share it with "
			"accounts or organizations instead",
			s->id);
		return EC2_SHARE_REFUSED;
	}
	if (s->manager == EC2_KEY_AWS) {
		error_set(err, ERROR_POLICY, 0,
			"snapshot %s is encrypted with %s, a key that AWS manages for this account and that "
			"others cannot use: copy the image with --kms-key and a customer managed key, and "
			"share the copy",
			s->id, s->kms_key ? s->kms_key : "the default key");
		return EC2_SHARE_REFUSED;
	}
	return s->manager == EC2_KEY_CUSTOMER ? EC2_SHARE_NEEDS_KEY : EC2_SHARE_UNKNOWN;
}

static bool is_blocked(const char *state)
{
	return strncmp(state, "block-", 6) == 0;
}

int ec2_public_verdict(const char *image, bool product_codes, const char *image_block,
	const char *snapshot_block, bool snapshots, struct error *err)
{
	if (product_codes)
		return error_set(err, ERROR_POLICY, 0,
			"%s has product codes, and an AMI with product codes cannot be public", image);
	if (is_blocked(image_block))
		return error_set(err, ERROR_POLICY, 0,
			"block public access for AMIs is on in this account and region (%s): %s cannot "
			"become public before it is off (aws ec2 disable-image-block-public-access)",
			image_block, image);
	if (snapshots && is_blocked(snapshot_block))
		return error_set(err, ERROR_POLICY, 0,
			"block public access for snapshots is on in this account and region (%s): switch "
			"it off (aws ec2 disable-snapshot-block-public-access), or leave the snapshots as "
			"they are with --image-only",
			snapshot_block);
	return 0;
}

const char *ec2_partition_of(const char *region)
{
	static const struct {
		const char *prefix, *partition;
	} known[] = {
		{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"}, {"us-iso-", "aws-iso"}, {"eu-isoe-", "aws-iso-e"},
		{"eusc-", "aws-eusc"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strncmp(region, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].partition;
	return "aws";
}
