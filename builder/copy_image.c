/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of AMIs. EC2 copies the snapshots by itself; their tags are given when the AMI is
 * available, device by device.
 */
#include "builder/copy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/retire.h"
#include "uploader/ec2_copy.h"

enum { FRESH_MS = 120000 }; /* how long a new id may stay unknown */

static bool is_copy(const struct copy *c, const struct ec2_image *image)
{
	const char *tag = ec2_tag_value(&image->tags, COPY_TAG);

	if (tag && !strcmp(tag, c->origin))
		return true;
	return !strcmp(image->source, c->opts->source) && !strcmp(image->source_region, c->region);
}

static bool is_encrypted(const struct ec2_image *image)
{
	bool all = true, any = false;

	for (size_t i = 0; i < image->nr_mappings; i++) {
		if (!image->mappings[i].snapshot[0])
			continue;
		any = true;
		all = all && image->mappings[i].encrypted > 0;
	}
	return any && all;
}

/* The key of the first snapshot; "" when it is not told. */
static void key_of(struct copy_dest *d, const struct ec2_image *image, char *key, size_t size)
{
	struct ec2_snapshot s;
	struct error ignored;

	key[0] = '\0';
	for (size_t i = 0; i < image->nr_mappings; i++) {
		if (!image->mappings[i].snapshot[0])
			continue;
		if (!ec2_describe_snapshot(d->aws, image->mappings[i].snapshot, &s, &ignored))
			snprintf(key, size, "%s", s.kms_key);
		return;
	}
}

/* Whether an available copy is encrypted as is asked for; ERROR_POLICY when not. */
static int check_encryption(struct copy *c, struct copy_dest *d, const struct ec2_image *image,
	struct error *err)
{
	char key[EC2_KEY_SIZE] = "";

	if (d->key[0])
		key_of(d, image, key, sizeof(key));
	return copy_check_encryption(c, d, image->id, is_encrypted(image), key, err);
}

/*
 * A failed copy is ours by its tag or source, and what EC2 had copied of its snapshots has no other
 * use. Those that cannot be deleted are told, and do not hold up the new copy.
 */
static int remove_failed(struct copy *c, struct copy_dest *d, const struct ec2_image *image,
	struct error *err)
{
	/* An available copy's snapshots have their own origins there: so only failed ones have this. */
	const struct aws_tag mark = {COPY_TAG, c->origin};
	const struct retire_opts how = {.snapshots = true, .shared = true, .used = true, .mark = &mark};
	struct retire_result r = {0};
	int ret;

	if (c->opts->dry_run)
		return 0;
	ret = retire_image(d->aws, image, &how, &r, err);
	if (ret < 0 && r.image == RETIRE_DONE && err->kind != ERROR_INTERRUPTED) {
		log_warn("%s: %s", d->region, err->text);
		error_clear(err);
		ret = 0;
	}
	retire_result_release(&r);
	return ret < 0 ? error_wrap(err, "%s", d->region) : 0;
}

/* One snapshot that a failed copy left, with all others of that copy. */
static int remove_rest(struct copy_dest *d, const char *snapshot, struct error *err)
{
	const struct retire_opts how = {.snapshots = true, .shared = true, .used = true};
	struct ec2_tag_list tags = {0};
	struct retire_result r = {0};
	const char *ami;
	int ret = ec2_snapshot_tags(d->aws, snapshot, &tags, err);

	ami = ret ? NULL : ec2_tag_value(&tags, RETIRE_TAG);
	if (ami) {
		log_info("%s: deleting what an earlier run left of the failed copy %s", d->region, ami);
		/* EC2 would answer the token of that one with its id, which nobody knows any more. */
		snprintf(d->salt, sizeof(d->salt), "%.*s", EC2_ID_SIZE - 1, ami);
		ret = retire_find_rest(d->aws, ami, &how, &r, err);
		if (!ret)
			ret = retire_rest(d->aws, ami, &how, &r, err);
	}
	retire_result_release(&r);
	ec2_tag_list_release(&tags);
	return ret;
}

/*
 * A run that was killed while it removed a failed copy may have left its snapshots, and no AMI that
 * would lead to them: they are known by the two marks. What cannot be deleted is told, and does not
 * hold up the copy.
 */
static int remove_rests(struct copy *c, struct copy_dest *d, struct error *err)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	struct error why = ERROR_INIT;
	size_t nr = 0;
	int ret;

	if (c->opts->dry_run)
		return 0;
	ret = ec2_find_snapshots(d->aws, COPY_TAG, c->origin, &list, &nr, &why);
	for (size_t i = 0; i < nr && !ret; i++) {
		ret = remove_rest(d, list[i].id, &why);
		/* It went with one before it. */
		if (ret < 0 && !strcmp(why.code, "InvalidSnapshot.NotFound")) {
			error_clear(&why);
			ret = 0;
		}
	}
	if (!ret)
		return 0;
	if (why.kind == ERROR_INTERRUPTED) {
		*err = why;
		return error_wrap(err, "%s", d->region);
	}
	log_warn("%s: of a failed copy, snapshots may stay: %s", d->region, why.text);
	return 0;
}

static int take_existing(struct copy *c, struct copy_dest *d, const struct ec2_image *image,
	struct error *err)
{
	if (!is_copy(c, image))
		return error_set(err, ERROR_POLICY, 0,
			"%s: the name '%s' is taken by %s, which is no copy of %s: choose another --name",
			d->region, c->name, image->id, c->opts->source);
	if (!strcmp(image->state, "failed")) {
		log_warn("%s: an earlier copy, %s, failed (%s); it holds the name: removing it with its "
			 "snapshots and beginning another", d->region, image->id,
			image->reason[0] ? image->reason : "EC2 gives no reason");
		snprintf(d->salt, sizeof(d->salt), "%s", image->id);
		return remove_failed(c, d, image, err);
	}
	d->existing = true;
	/* What is pending says neither: finish() looks. */
	if (!strcmp(image->state, "available") && check_encryption(c, d, image, err) < 0)
		return -1;
	snprintf(d->id, sizeof(d->id), "%s", image->id);
	return 0;
}

static int find(struct copy *c, struct copy_dest *d, struct error *err)
{
	struct ec2_filter by_name = {"name", c->name};
	struct ec2_image_list list = {0};
	int ret = remove_rests(c, d, err);

	if (!ret)
		ret = ec2_describe_images(d->aws, NULL, &by_name, 1, &list, err);
	for (size_t i = 0; i < list.nr && !ret && !d->id[0]; i++)
		/* Wildcards in a name would match others. */
		if (!strcmp(list.items[i].name, c->name))
			ret = take_existing(c, d, &list.items[i], err);
	ec2_image_list_release(&list);
	return ret;
}

/*
 * What is asked for, as a token: a repeat whose answer was lost gives the same copy. The id of an
 * earlier one that failed or was deregistered goes in, for else EC2 would answer with that.
 */
static int make_token(const struct copy *c, const struct copy_dest *d, const struct aws_tag *tags,
	size_t nr, char token[SHA256_HEX_SIZE], struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE];

	if (buf_addf(&text, err, "%s\n%s\n%s\n%s\n%d\n%s\n%s\n", c->origin, d->region, c->name,
		    c->description, d->encrypt, d->key, d->salt) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (buf_addf(&text, err, "%zu %s %zu %s\n", strlen(tags[i].key), tags[i].key,
			    strlen(tags[i].value), tags[i].value) < 0)
			return -1;
	if (sha256(text.data, text.len, digest, err) < 0)
		return -1;
	hex_encode(token, digest, sizeof(digest));
	return 0;
}

static int begin(struct copy *c, struct copy_dest *d, struct error *err)
{
	CLEANUP_FREE struct aws_tag *tags = NULL;
	char token[SHA256_HEX_SIZE];
	struct ec2_copy_opts o = {
		.source = c->opts->source,
		.source_region = c->region,
		.name = c->name,
		.description = c->description,
		.token = token,
		.encrypt = d->encrypt,
		.kms_key = d->key[0] ? d->key : NULL,
		.dry_run = c->opts->dry_run,
	};

	if (copy_make_tags(c, &c->tags, c->origin, &tags, &o.nr_tags, err) < 0 ||
		make_token(c, d, tags, o.nr_tags, token, err) < 0)
		return -1;
	o.tags = tags;
	return ec2_copy_image(d->aws, &o, d->id, err);
}

static const struct copy_volume *volume_of(const struct copy *c, const char *device)
{
	for (size_t i = 0; i < c->nr_volumes; i++)
		if (!strcmp(c->volumes[i].device, device))
			return &c->volumes[i];
	return NULL;
}

static int tag_snapshot(struct copy *c, struct copy_dest *d, const struct ec2_mapping *m,
	struct error *err)
{
	const struct copy_volume *v = volume_of(c, m->device);
	CLEANUP_FREE struct aws_tag *tags = NULL;
	struct ec2_tag_list has = {0};
	size_t nr;
	int ret;

	if (!v)
		return 0;
	ret = copy_make_tags(c, &v->tags, v->origin, &tags, &nr, err);
	if (!ret)
		ret = ec2_snapshot_tags(d->aws, m->snapshot, &has, err);
	if (!ret)
		ret = copy_add_tags(d->aws, m->snapshot, &has, tags, nr, err);
	ec2_tag_list_release(&has);
	return ret;
}

/* It is available: what tags lacks, it gets. */
static int finish(struct copy *c, struct copy_dest *d, const struct ec2_image *image,
	struct error *err)
{
	CLEANUP_FREE struct aws_tag *tags = NULL;
	size_t nr;

	if (check_encryption(c, d, image, err) < 0 ||
		copy_make_tags(c, &c->tags, c->origin, &tags, &nr, err) < 0 ||
		copy_add_tags(d->aws, d->id, &image->tags, tags, nr, err) < 0)
		return -1;
	for (size_t i = 0; i < image->nr_mappings; i++)
		if (image->mappings[i].snapshot[0] &&
			tag_snapshot(c, d, &image->mappings[i], err) < 0)
			return -1;
	d->percent = 100;
	d->encrypted = is_encrypted(image);
	d->state = COPY_DONE;
	return 0;
}

/* Progress is that of its snapshots, once EC2 shows them; a failure to see it is none. */
static void measure(struct copy *c, struct copy_dest *d, const struct ec2_image *image)
{
	unsigned sum = 0, nr = 0;
	struct ec2_snapshot s;
	struct error ignored;

	for (size_t i = 0; i < image->nr_mappings; i++) {
		if (!image->mappings[i].snapshot[0])
			continue;
		nr++;
		if (!ec2_describe_snapshot(d->aws, image->mappings[i].snapshot, &s, &ignored))
			sum += (unsigned)strtoul(s.progress, NULL, 10);
	}
	if (nr)
		d->percent = MIN(sum / (unsigned)MAX(nr, c->nr_volumes), 99U);
}

/*
 * The id that CopyImage answered is not there: the token's first copy was deregistered since. Once
 * another is begun, with its id in the token.
 */
static int begin_again(struct copy *c, struct copy_dest *d, struct error *err)
{
	if (d->restarted || d->existing)
		return error_set(err, ERROR_SERVICE, 0, "%s: %s is not there any more: rerun the command",
			d->region, d->id);
	log_debug("%s: %s was deregistered; beginning another copy", d->region, d->id);
	d->restarted = true;
	snprintf(d->salt, sizeof(d->salt), "%s", d->id);
	d->id[0] = '\0';
	d->state = COPY_TO_BEGIN;
	(void)c;
	return 0;
}

static int look(struct copy *c, struct copy_dest *d, const struct ec2_image *image, struct error *err)
{
	if (!strcmp(image->state, "available"))
		return finish(c, d, image, err);
	if (!strcmp(image->state, "deregistered"))
		return begin_again(c, d, err);
	if (strcmp(image->state, "pending") && strcmp(image->state, "transient"))
		return error_set(err, ERROR_SERVICE, 0, "%s: %s is %s: %s", d->region, d->id,
			image->state, image->reason[0] ? image->reason : "EC2 gives no reason");
	measure(c, d, image);
	return 0;
}

static int poll(struct copy *c, struct copy_dest *d, struct error *err)
{
	const char *ids[] = {d->id, NULL};
	struct ec2_image_list list = {0};
	int ret = ec2_describe_images(d->aws, ids, NULL, 0, &list, err);

	if (ret < 0 && !strcmp(err->code, "InvalidAMIID.Unavailable"))
		return begin_again(c, d, err);
	if (ret < 0 && strcmp(err->code, "InvalidAMIID.NotFound"))
		return -1;
	if (list.nr)
		ret = look(c, d, &list.items[0], err);
	else if (context_now_ms() - d->begun_ms < FRESH_MS)
		ret = 0;
	else
		ret = begin_again(c, d, err);
	ec2_image_list_release(&list);
	return ret;
}

const struct copy_ops copy_image_ops = {find, begin, poll};
