/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EC2's and KMS's rules say of a spec's wishes, asked before anything is made: how the
 * snapshots of each region will be encrypted, and whether they may be shared then.
 */
#include "builder/publish_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "uploader/ec2_copy.h"
#include "uploader/ec2_share.h"
#include "uploader/kms.h"

static bool has_receivers(const struct spec_share *s)
{
	return s->accounts.nr || s->organizations.nr || s->units.nr || s->everyone;
}

static const char *key_of(const struct publish *p, const struct publish_region *r)
{
	return r->copy ? r->copy->kms_key : p->build->spec.ami.kms_key;
}

/*
 * The key that the spec names. Where DescribeKey is denied an ARN is believed; an alias is not
 * enough for StartSnapshot.
 */
static int describe_key(struct publish *p, struct publish_region *r, struct aws *aws,
	enum ec2_key_manager *manager, struct error *err)
{
	const char *key = key_of(p, r);
	struct kms_key found;

	*manager = EC2_KEY_UNKNOWN;
	if (kms_describe_key(aws, key, &found, err) < 0) {
		if (!strstr(err->code, "AccessDenied") || !strstr(key, ":key/"))
			return error_wrap(err, "the KMS key '%s' in %s", key, r->name);
		error_clear(err);
		snprintf(r->kms_key, sizeof(r->kms_key), "%s", key);
		return 0;
	}
	if (strcmp(found.state, "Enabled"))
		return error_set(err, ERROR_POLICY, 0, "the KMS key '%s' in %s is %s: it must be enabled", key,
			r->name, found.state);
	*manager = found.manager;
	snprintf(r->kms_key, sizeof(r->kms_key), "%s", found.arn);
	return 0;
}

static int judge_home(struct publish *p, struct publish_region *r, bool default_on, struct error *err)
{
	const struct spec *s = &p->build->spec;

	if (s->ami.encrypt_place.line && !s->ami.encrypt && default_on)
		return error_set(err, ERROR_POLICY, 0,
			"%s:%u:%u: 'encrypt: false', but this account encrypts everything in %s (EBS "
			"encryption by default)", s->file, s->ami.encrypt_place.line,
			s->ami.encrypt_place.column, r->name);
	r->key = s->ami.kms_key ? EC2_COPY_GIVEN_KEY :
		 s->ami.encrypt || default_on ? EC2_COPY_DEFAULT_KEY :
						EC2_COPY_PLAIN;
	return 0;
}

static int judge_copy(struct publish *p, struct publish_region *r, bool default_on, struct error *err)
{
	const struct ec2_copy_source source = {
		.id = p->name, .encrypted = p->regions[0].key != EC2_COPY_PLAIN, .own = true};
	const struct ec2_copy_target target = {
		.region = r->name,
		.default_on = default_on,
		.encrypt = r->copy->encrypt > 0 || r->copy->kms_key,
		.plain = r->copy->encrypt == 0,
		.kms_key = r->copy->kms_key,
	};

	r->key = ec2_copy_verdict(&source, &target, err);
	if (r->key == EC2_COPY_REFUSED)
		return error_wrap(err, "%s:%u:%u", p->build->spec.file, r->copy->place.line,
			r->copy->place.column);
	return 0;
}

static int judge_public(struct publish *p, const struct publish_region *r, struct aws *aws,
	struct error *err)
{
	char image[EC2_BLOCK_SIZE], snapshot[EC2_BLOCK_SIZE];

	if (!p->build->spec.ami.share.everyone)
		return 0;
	if (ec2_image_public_block(aws, image, err) < 0 ||
		ec2_snapshot_public_block(aws, snapshot, err) < 0)
		return -1;
	return ec2_public_verdict(p->name, false, image, snapshot, true, err) < 0 ?
		       error_wrap(err, "%s", r->name) :
		       0;
}

static int judge_share(struct publish *p, const struct publish_region *r, struct aws *aws,
	enum ec2_key_manager manager, struct error *err)
{
	const struct ec2_share_source source = {
		.id = p->name,
		.encrypted = r->key != EC2_COPY_PLAIN,
		.manager = r->key == EC2_COPY_GIVEN_KEY ? manager : EC2_KEY_AWS,
		.kms_key = r->kms_key[0] ? r->kms_key : NULL,
	};

	if (!has_receivers(&p->build->spec.ami.share))
		return 0;
	switch (ec2_share_verdict(&source, p->build->spec.ami.share.everyone, err)) {
	case EC2_SHARE_REFUSED:
		return error_wrap(err, "%s", r->name);
	case EC2_SHARE_NEEDS_KEY:
	case EC2_SHARE_UNKNOWN:
		log_info("%s: the policy of %s must let the others use it", r->name, r->kms_key);
		break;
	case EC2_SHARE_YES:
		break;
	}
	return judge_public(p, r, aws, err);
}

static int judge(struct publish *p, struct publish_region *r, struct error *err)
{
	struct aws *aws = context_aws_in(p->ctx, r->name, err);
	enum ec2_key_manager manager = EC2_KEY_UNKNOWN;
	bool default_on;

	if (!aws || ec2_encryption_by_default(aws, &default_on, err) < 0)
		return -1;
	if ((r->copy ? judge_copy(p, r, default_on, err) : judge_home(p, r, default_on, err)) < 0)
		return -1;
	if (key_of(p, r) && describe_key(p, r, aws, &manager, err) < 0)
		return -1;
	r->judged = true;
	return judge_share(p, r, aws, manager, err);
}

/* A spec that says nothing of all this costs no calls. */
int publish_judge(struct publish *p, struct error *err)
{
	const struct spec *s = &p->build->spec;

	if (!s->ami.nr_copies && !s->ami.encrypt_place.line && !s->ami.kms_key &&
		!has_receivers(&s->ami.share))
		return 0;
	for (size_t i = 0; i < p->nr_regions; i++)
		if (judge(p, &p->regions[i], err) < 0)
			return -1;
	return 0;
}
