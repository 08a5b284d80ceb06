/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright delete-bundle`: the parts that a manifest in S3 names, then the manifest. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "builder/bundle_old.h"
#include "builder/bundle_place.h"
#include "uploader/ec2.h"
#include "uploader/s3_each.h"

struct delete_options {
	const char *manifest;
	bool used, clear, dry_run;
};

#define FIELD(field) offsetof(struct delete_options, field)

static const struct options_def options[] = {
	{"manifest", 'm', OPTIONS_TEXT, FIELD(manifest), "FILE",
		"the parts by this manifest: an upload that was cut off has none in S3", 0, 0, NULL},
	{"clear", 0, OPTIONS_FLAG, FIELD(clear), NULL, "the bucket too, when nothing else is in it", 0, 0, NULL},
	{"include-used", 0, OPTIONS_FLAG, FIELD(used), NULL, "also when an AMI of this account is made of it", 0, 0,
		NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL, "only list what would go", 0, 0, NULL},
	{0},
};

/* A manifest that has the name is that of --manifest, or its parts are not meant. */
static int check_same(const struct bundle_place *b, struct error *err)
{
	struct bundle_old there;
	int ret = bundle_old_read(&there, &b->place, b->url.key, err);

	if (!ret && there.there && (there.manifest.len != b->manifest.len ||
		memcmp(there.manifest.data, b->manifest.data, b->manifest.len) != 0))
		ret = error_set(err, ERROR_POLICY, 0,
			"s3://%s/%s is another bundle's than --manifest: leave that out to remove it", b->url.bucket,
			b->url.key);
	bundle_old_release(&there);
	return ret;
}

/* An AMI whose bundle goes starts no instance any more. */
static int check_use(const struct bundle_place *b, struct error *err)
{
	CLEANUP_FREE char *location = buf_strf(err, "%s/%s", b->url.bucket, b->url.key);
	const struct ec2_filter filter = {"manifest-location", location};
	struct ec2_image_list list = {0};
	int ret = 0;

	if (!location || ec2_describe_images(b->place.aws, NULL, &filter, 1, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.nr && !ret; i++)
		if (strcmp(list.items[i].location, location) == 0)
			ret = error_set(err, ERROR_POLICY, 0,
				"%s is made of this bundle: deregister it first, or give --include-used",
				list.items[i].id);
	ec2_image_list_release(&list);
	return ret;
}

static int look_for_parts(const struct bundle_place *b, struct buf *out, struct error *err)
{
	size_t nr = b->index.nr_parts;
	CLEANUP_FREE struct s3_object *objects = calloc(nr, sizeof(*objects));

	if (!objects)
		return error_nomem(err, "the parts of a bundle");
	if (s3_head_each(&b->place, (const char *const *)b->keys, nr, objects, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (objects[i].found && buf_addf(out, err, "s3://%s/%s\n", b->url.bucket, b->keys[i]) < 0)
			return -1;
	return 0;
}

/* The manifest goes last: as long as it is there, a rerun finds the rest. */
static int delete_all(const struct bundle_place *b, bool dry_run, struct buf *out, struct error *err)
{
	struct s3_object manifest = {.found = true};

	if ((dry_run ? look_for_parts(b, out, err) :
		       s3_delete_each(&b->place, (const char *const *)b->keys, b->index.nr_parts, out, err)) < 0)
		return -1;
	if ((dry_run ? s3_head(&b->place, b->url.key, &manifest, err) : s3_delete(&b->place, b->url.key, err)) < 0)
		return -1;
	return manifest.found ? buf_addf(out, err, "s3://%s/%s\n", b->url.bucket, b->url.key) : 0;
}

static int clear_bucket(const struct bundle_place *b, struct error *err)
{
	bool empty;

	if (s3_remove(&b->place, &empty, err) < 0)
		return -1;
	log_info(empty ? "deleted the bucket '%s'" : "the bucket '%s' stays: other objects are in it", b->url.bucket);
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct delete_options *o = popts;
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error ignored = ERROR_INIT;
	struct bundle_place b;
	int ret = bundle_place_open(&b, ctx, args->items[0], o->manifest, err);

	if (!ret && o->manifest)
		ret = check_same(&b, err);
	if (!ret && !o->used)
		ret = check_use(&b, err);
	if (!ret) {
		ret = delete_all(&b, o->dry_run, &out, err);
		if (ret < 0 && !o->dry_run)
			error_wrap(err, "the bundle is not wholly deleted; rerun the same command to go on");
		if (!ret && o->clear && !o->dry_run)
			ret = clear_bucket(&b, err);
		/* What went is part of the result, also when the next one failed. */
		if (command_print_ids(ctx, "objects", &out, ret ? &ignored : err) < 0)
			ret = -1;
	}
	bundle_place_release(&b);
	return ret;
}

const struct command cmd_delete_bundle = {
	.name = "delete-bundle",
	.args = "S3URL",
	.summary = "remove a bundle from S3",
	.description =
		"Deletes the parts that a manifest in S3 names, then the manifest; prints what went. Refused\n"
		"(exit status 3) while an AMI of this account in the bucket's Region is made of it.",
	.options = options,
	.options_size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
