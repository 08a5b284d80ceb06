/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright upload`: an image file into an EBS snapshot. */
#include "builder/command.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/command_tags.h"
#include "formats/detect.h"
#include "fs/partition.h"
#include "fs/probe.h"
#include "uploader/snapshot.h"

struct upload_options {
	const char *description, *name, *kms_key, *skip;
	struct options_list tags;
	uint64_t size, timeout;
	bool encrypt;
};

#define FIELD(field) offsetof(struct upload_options, field)

static const char *const skips[] = {"unused", "never", "zeros", NULL};

static const struct options_def options[] = {
	{"description", 'd', OPTIONS_TEXT, FIELD(description), "TEXT", "the snapshot's description", 0, 0,
		NULL},
	{"name", 0, OPTIONS_TEXT, FIELD(name), "NAME", "short for --tag Name=NAME", 0, 0, NULL},
	{"tag", 0, OPTIONS_LIST, FIELD(tags), "KEY=VALUE", "a tag; may be given many times", 0, 0, NULL},
	{"encrypt", 0, OPTIONS_FLAG, FIELD(encrypt), NULL, "encrypt with the account's default key", 0, 0,
		NULL},
	{"kms-key", 0, OPTIONS_TEXT, FIELD(kms_key), "ARN", "encrypt with this key", 0, 0, NULL},
	{"skip", 0, OPTIONS_CHOICE, FIELD(skip), "WHAT",
		"blocks to leave out: 'unused' ones that no file system reads (default), 'never' any, or "
		"'zeros' too: such blocks read as random bytes on an encrypted volume, so this is refused "
		"with --encrypt", 0, 0, skips},
	{"size", 0, OPTIONS_SIZE, FIELD(size), "SIZE", "volume size in whole GiB (default: the image's)", 0,
		0, NULL},
	{"timeout", 0, OPTIONS_NUMBER, FIELD(timeout), "MINUTES",
		"AWS drops the snapshot when it is not complete by then (10 to 4320, default 60)", 10, 4320,
		NULL},
	{0},
};

static int check(const struct upload_options *o, struct error *err)
{
	if (o->skip && !strcmp(o->skip, "zeros") && (o->encrypt || o->kms_key))
		return error_set(err, ERROR_USAGE, 0,
			"--skip zeros does not go with encryption: blocks that a snapshot lacks read as "
			"random bytes there");
	if (o->size % GIB)
		return error_set(err, ERROR_USAGE, 0, "--size: a volume has whole GiB");
	return 0;
}

static enum snapshot_skip skip_of(const struct upload_options *o)
{
	if (o->skip && !strcmp(o->skip, "never"))
		return SNAPSHOT_SKIP_NEVER;
	if (o->skip && !strcmp(o->skip, "zeros"))
		return SNAPSHOT_SKIP_ZEROS;
	return SNAPSHOT_SKIP_UNUSED;
}

static int make_token(char token[65], struct error *err)
{
	uint8_t bytes[20];

	if (context_random(bytes, sizeof(bytes)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for a client token");
	hex_encode(token, bytes, sizeof(bytes));
	return 0;
}

static int print_result(struct context *ctx, const struct snapshot_result *r, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	log_info("%s: %llu GiB, %llu blocks sent (%llu of them zeros), %llu unused ones left out, %llu "
		 "retries", r->snapshot, (unsigned long long)r->size_gib,
		(unsigned long long)r->blocks_sent, (unsigned long long)r->blocks_zero,
		(unsigned long long)r->blocks_unused, (unsigned long long)r->retries);
	if (!ctx->opts.json)
		return buf_addf(&out, err, "%s\n", r->snapshot) < 0 ? -1 : context_print(&out, err);
	if (!doc || json_set_str(doc, "snapshot", r->snapshot, err) < 0 ||
		json_set_str(doc, "region", aws_region(ctx->aws), err) < 0 ||
		json_set_int(doc, "size_gib", (int64_t)r->size_gib, err) < 0 ||
		json_set_int(doc, "blocks_sent", (int64_t)r->blocks_sent, err) < 0 ||
		json_set_int(doc, "blocks_zero", (int64_t)r->blocks_zero, err) < 0 ||
		json_set_int(doc, "blocks_unused", (int64_t)r->blocks_unused, err) < 0 ||
		json_set_int(doc, "retries", (int64_t)r->retries, err) < 0 ||
		json_set_int(doc, "elapsed_ms", (int64_t)r->elapsed_ms, err) < 0 ||
		json_write(doc, true, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int upload(struct context *ctx, const struct upload_options *o, struct dev *dev,
	const char *path, const struct aws_tag *tags, size_t nr_tags, struct error *err)
{
	struct aws *aws = context_aws(ctx, err);
	const char *slash = strrchr(path, '/');
	struct snapshot_result result;
	char token[65];
	struct snapshot_upload_opts opts = {
		.description = o->description ? o->description : slash ? slash + 1 : path,
		.client_token = token,
		.size_gib = o->size / GIB,
		.encrypted = o->encrypt || o->kms_key,
		.kms_key = o->kms_key,
		.timeout_min = (unsigned)o->timeout,
		.tags = tags,
		.nr_tags = nr_tags,
		.skip = skip_of(o),
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
	};

	if (!aws || make_token(token, err) < 0 || snapshot_upload(aws, dev, &opts, &result, err) < 0)
		return -1;
	return print_result(ctx, &result, err);
}

/* A cut-off image is uploaded as it is, but nobody should find that out at the first boot. */
static int warn_damage(struct dev *image, const char *path, struct error *err)
{
	struct partition_table table = {0};
	struct error damage = ERROR_INIT;
	int ret = partition_read(image, &table, &damage);

	partition_table_release(&table);
	if (ret < 0 && damage.kind != ERROR_INPUT) {
		*err = damage;
		return -1;
	}
	if (ret < 0)
		log_warn("'%s': %s; is it a whole image? It is uploaded as it is", path, damage.text);
	return 0;
}

/* The image as a device that knows what its file systems do not use. */
static int open_and_upload(struct context *ctx, const struct upload_options *o, const char *path,
	const struct aws_tag *tags, size_t nr_tags, struct error *err)
{
	struct dev *image = detect_open(path, err);
	struct dev *known;
	int ret;

	if (!image)
		return -1;
	known = warn_damage(image, path, err) < 0 ? NULL : probe_usage_dev(image, err);
	ret = known ? upload(ctx, o, known, path, tags, nr_tags, err) : -1;
	dev_close(known, NULL);
	dev_close(image, NULL);
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct upload_options *o = popts;
	struct command_tags tags = {0};
	int ret = check(o, err);

	if (!ret)
		ret = command_tags_parse(&tags, o->name, &o->tags, err);
	if (!ret)
		ret = open_and_upload(ctx, o, args->items[0], tags.items, tags.nr, err);
	command_tags_release(&tags);
	return ret;
}

const struct command cmd_upload = {
	.name = "upload",
	.args = "IMAGE",
	.summary = "an image file to an EBS snapshot",
	.description =
		"Uploads a raw image as an EBS snapshot and prints its id when AWS says that it is\n"
		"complete. What the image is, is read from its content. Blocks that none of its file\n"
		"systems uses are left out; zeros that somebody may read are sent.",
	.options = options,
	.options_size = sizeof(struct upload_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
