/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before a copy: what the source is, and whether EC2's rules let it go to each region. Only reading
 * calls are made here.
 */
#include "builder/copy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "uploader/ec2_copy.h"
#include "uploader/ec2_encryption.h"
#include "uploader/kms.h"

enum { MAX_TAGS = 50 };

int copy_make_tags(const struct copy *c, const struct ec2_tag_list *of, const char *origin,
	struct aws_tag **out, size_t *nr, struct error *err)
{
	const struct copy_opts *o = c->opts;
	struct aws_tag *tags = calloc(o->nr_tags + of->nr + 1, sizeof(*tags));
	size_t n = 0;

	*out = tags;
	*nr = 0;
	if (!tags)
		return error_nomem(err, "tags");
	for (size_t i = 0; i < o->nr_tags; i++)
		tags[n++] = o->tags[i];
	for (size_t i = 0; i < of->nr && !o->no_tags; i++) {
		const struct ec2_tag *tag = &of->items[i];
		bool given = !strcmp(tag->key, COPY_TAG) || !strncmp(tag->key, "aws:", 4);

		for (size_t k = 0; k < o->nr_tags; k++)
			given = given || !strcmp(o->tags[k].key, tag->key);
		if (!given)
			tags[n++] = (struct aws_tag){tag->key, tag->value};
	}
	tags[n++] = (struct aws_tag){COPY_TAG, origin};
	if (n > MAX_TAGS)
		return error_set(err, ERROR_USAGE, 0,
			"a copy of %s would have %zu tags with " COPY_TAG ", and EC2 takes %d: give fewer, "
			"or --no-tags", origin, n, MAX_TAGS);
	*nr = n;
	return 0;
}

int copy_add_tags(struct aws *a, const char *id, const struct ec2_tag_list *has,
	const struct aws_tag *tags, size_t nr, struct error *err)
{
	CLEANUP_FREE struct aws_tag *missing = calloc(nr + 1, sizeof(*missing));
	size_t n = 0;

	if (!missing)
		return error_nomem(err, "tags");
	for (size_t i = 0; i < nr; i++)
		if (!ec2_tag_value(has, tags[i].key))
			missing[n++] = tags[i];
	return ec2_create_tags(a, id, missing, n, err);
}

/* Whether a key as the user wrote it is that ARN; a key that KMS does not show is believed. */
static bool is_key(const struct copy_dest *d, const char *arn)
{
	struct kms_key key;
	struct error why = ERROR_INIT;

	if (strstr(d->key, ":key/"))
		return !strcmp(d->key, arn);
	if (kms_describe_key(d->aws, d->key, &key, &why) < 0) {
		log_debug("%s: the key of the copy that is there is not compared: %s", d->region,
			why.text);
		return true;
	}
	return !strcmp(key.arn, arn);
}

int copy_check_encryption(const struct copy *c, const struct copy_dest *d, const char *id,
	bool encrypted, const char *kms_key, struct error *err)
{
	const char *whence = d->existing ? "is there already" : "has been made";

	if (c->opts->plain && encrypted)
		return error_set(err, ERROR_POLICY, 0,
			"%s: %s %s and encrypted: remove it, or leave out --no-encrypt", d->region, id,
			whence);
	if (d->encrypt && !encrypted)
		return error_set(err, ERROR_POLICY, 0,
			"%s: %s %s and not encrypted: remove it, or choose another --name", d->region, id,
			whence);
	if (d->encrypt && d->key[0] && kms_key[0] && !is_key(d, kms_key))
		return error_set(err, ERROR_POLICY, 0,
			"%s: %s %s, encrypted with %s and not with %s: remove it, or choose another --name",
			d->region, id, whence, kms_key, d->key);
	return 0;
}

/* The source's own account knows more of it; others' images come in the second query. */
static int find_source(struct copy *c, struct aws *aws, struct ec2_image_list *list,
	struct error *err)
{
	const char *ids[] = {c->opts->source, NULL};
	struct ec2_image_query query = {.owner = "self", .ids = ids};

	if (ec2_find_images(aws, &query, list, err) < 0 && strcmp(err->code, "InvalidAMIID.NotFound"))
		return -1;
	c->own = list->nr > 0;
	if (c->own)
		return 0;
	error_clear(err);
	query.owner = NULL;
	query.deprecated = true;
	ec2_image_list_release(list);
	if (ec2_find_images(aws, &query, list, err) < 0)
		return -1;
	if (!list->nr) {
		error_set(err, ERROR_SERVICE, 0, "there is no AMI %s in %s", c->opts->source, c->region);
		return -1;
	}
	return 0;
}

static int add_volume(struct copy *c, struct aws *aws, const struct ec2_mapping *m, struct error *err)
{
	struct copy_volume *v = &c->volumes[c->nr_volumes++];

	snprintf(v->device, sizeof(v->device), "%s", m->device);
	snprintf(v->snapshot, sizeof(v->snapshot), "%s", m->snapshot);
	snprintf(v->origin, sizeof(v->origin), "%s/%s", c->region, m->snapshot);
	v->encrypted = m->encrypted > 0;
	v->size_gib = m->size_gib;
	if (!c->own || c->opts->no_tags)
		return 0;
	return ec2_snapshot_tags(aws, v->snapshot, &v->tags, err);
}

static int take_image(struct copy *c, struct aws *aws, struct ec2_image *image, struct error *err)
{
	if (strcmp(image->state, "available"))
		return error_set(err, ERROR_SERVICE, 0, "%s is %s and cannot be copied", image->id,
			image->state);
	if (!strcmp(image->root_type, "instance-store") && (c->opts->encrypt || c->opts->nr_keys))
		return error_set(err, ERROR_USAGE, 0,
			"%s is an instance-store AMI: encryption has no meaning for it", image->id);
	snprintf(c->name, sizeof(c->name), "%s", c->opts->name ? c->opts->name : image->name);
	snprintf(c->description, sizeof(c->description), "%s",
		c->opts->description ? c->opts->description : image->description);
	c->tags = image->tags;
	memset(&image->tags, 0, sizeof(image->tags));
	c->volumes = calloc(image->nr_mappings + 1, sizeof(*c->volumes));
	if (!c->volumes)
		return error_nomem(err, "the volumes of an image");
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (image->mappings[i].snapshot[0] && add_volume(c, aws, &image->mappings[i], err) < 0)
			return -1;
	return 0;
}

static int read_image(struct copy *c, struct aws *aws, struct error *err)
{
	struct ec2_image_list list = {0};
	int ret = find_source(c, aws, &list, err);

	if (!ret)
		ret = take_image(c, aws, &list.items[0], err);
	ec2_image_list_release(&list);
	return ret;
}

static int read_snapshot(struct copy *c, struct aws *aws, struct error *err)
{
	char account[AWS_ACCOUNT_SIZE] = "";
	struct ec2_snapshot s;
	struct copy_volume *v = calloc(1, sizeof(*v));

	c->volumes = v;
	if (!v)
		return error_nomem(err, "a snapshot");
	c->nr_volumes = 1;
	if (c->opts->name)
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot has no name of its own: give --tag Name=%s", c->opts->name);
	if (ec2_describe_snapshot(aws, c->opts->source, &s, err) < 0)
		return -1;
	if (strcmp(s.state, "completed"))
		return error_set(err, ERROR_SERVICE, 0, "snapshot %s is %s and cannot be copied", s.id,
			s.state);
	if (s.encrypted && aws_account(aws, account, err) < 0)
		return -1;
	c->own = !s.encrypted || !strcmp(account, s.owner);
	snprintf(v->snapshot, sizeof(v->snapshot), "%s", s.id);
	snprintf(c->description, sizeof(c->description), "%s",
		c->opts->description ? c->opts->description : s.description);
	v->encrypted = s.encrypted;
	v->size_gib = s.size_gib;
	return c->opts->no_tags ? 0 : ec2_snapshot_tags(aws, s.id, &c->tags, err);
}

static const char *key_for(const struct copy_opts *o, const char *region)
{
	const char *common = NULL;

	for (size_t i = 0; i < o->nr_keys; i++) {
		if (!o->keys[i].region)
			common = o->keys[i].key;
		else if (!strcmp(o->keys[i].region, region))
			return o->keys[i].key;
	}
	return common;
}

/*
 * An encrypted source that leaves its region, or comes from another account, gets a key that is
 * named: the target's default one when none is given.
 */
static int choose_key(struct copy_dest *d, bool must_name, const char *given, struct error *err)
{
	if (given) {
		snprintf(d->key, sizeof(d->key), "%s", given);
		return 0;
	}
	if (!must_name)
		return 0;
	d->encrypt = true;
	if (ec2_default_key(d->aws, d->key, err) < 0)
		return error_wrap(err,
			"%s: the default key for EBS cannot be found out; name one with --kms-key %s=KEY",
			d->region, d->region);
	return 0;
}

static int judge(const struct copy *c, struct copy_dest *d, struct error *err)
{
	const char *key = key_for(c->opts, d->region);
	struct ec2_copy_target target = {
		.region = d->region,
		.same_region = !strcmp(c->region, d->region),
		.encrypt = c->opts->encrypt || key,
		.plain = c->opts->plain,
		.kms_key = key,
	};
	bool must_name = false;

	if (target.plain && c->nr_volumes &&
		ec2_encryption_by_default(d->aws, &target.default_on, err) < 0)
		return error_wrap(err, "%s", d->region);
	for (size_t i = 0; i < c->nr_volumes; i++) {
		const struct copy_volume *v = &c->volumes[i];
		struct ec2_copy_source source = {v->snapshot, v->encrypted, c->own};
		enum ec2_copy_key verdict = ec2_copy_verdict(&source, &target, err);

		if (verdict == EC2_COPY_REFUSED)
			return -1;
		must_name |= v->encrypted && verdict == EC2_COPY_DEFAULT_KEY;
	}
	d->encrypt = target.encrypt;
	return choose_key(d, must_name, key, err);
}

static int check_regions(const struct copy *c, struct error *err)
{
	const struct copy_opts *o = c->opts;

	for (size_t i = 0; i < o->nr_regions; i++) {
		const char *region = o->regions[i];

		if (strcmp(ec2_partition_of(region), ec2_partition_of(c->region)))
			return error_set(err, ERROR_POLICY, 0,
				"%s is in partition %s and %s in %s: nothing is copied from one partition to "
				"another; upload the image there", c->region, ec2_partition_of(c->region), region,
				ec2_partition_of(region));
		if (c->image && !strcmp(region, c->region) && !o->name)
			return error_set(err, ERROR_USAGE, 0,
				"a copy of %s in its own region needs a name of its own: give --name", o->source);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(o->regions[k], region))
				return error_set(err, ERROR_USAGE, 0, "region '%s' is given twice", region);
	}
	for (size_t i = 0; i < o->nr_keys; i++) {
		bool known = !o->keys[i].region;

		for (size_t k = 0; k < o->nr_regions && !known; k++)
			known = !strcmp(o->keys[i].region, o->regions[k]);
		if (!known)
			return error_set(err, ERROR_USAGE, 0,
				"--kms-key names region '%s', to which nothing is copied", o->keys[i].region);
	}
	return 0;
}

/* A rule's refusal ends the whole; a region that does not answer, or denies, is that region's. */
static int note_region(struct copy_dest *d, struct error *err)
{
	if (err->kind != ERROR_SERVICE && err->kind != ERROR_NETWORK)
		return -1;
	d->error = *err;
	d->state = COPY_FAILED;
	error_clear(err);
	return 0;
}

int copy_prepare(struct copy *c, struct error *err)
{
	struct aws *aws = context_aws(c->ctx, err);

	if (!aws)
		return -1;
	snprintf(c->region, sizeof(c->region), "%s", aws_region(aws));
	snprintf(c->origin, sizeof(c->origin), "%s/%s", c->region, c->opts->source);
	if (check_regions(c, err) < 0 ||
		(c->image ? read_image(c, aws, err) : read_snapshot(c, aws, err)) < 0)
		return -1;
	for (size_t i = 0; i < c->nr_dests; i++) {
		struct copy_dest *d = &c->dests[i];

		d->region = c->opts->regions[i];
		d->aws = context_aws_in(c->ctx, d->region, err);
		if (!d->aws || (judge(c, d, err) < 0 && note_region(d, err) < 0))
			return -1;
	}
	return 0;
}
