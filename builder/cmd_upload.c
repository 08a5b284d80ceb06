/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `amiwright upload`: an image file into an EBS snapshot; alone, as a part of several machines'
 * work, or giving up what an earlier run has begun.
 */
#include "builder/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/command_tags.h"
#include "builder/manifest_read.h"
#include "builder/upload_state.h"
#include "fs/partition.h"
#include "fs/probe.h"
#include "uploader/snapshot_plan.h"
#include "uploader/snapshot_table.h"

struct upload_options {
	const char *description, *name, *kms_key, *skip;
	const char *parent, *parent_manifest, *parent_disk, *parent_image;
	const char *journal, *shard, *snapshot, *digests;
	struct options_list tags;
	uint64_t size, timeout;
	bool encrypt, start, finish, abandon, cleanup, dry_run;
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
	{"size", 0, OPTIONS_SIZE, FIELD(size), "SIZE",
		"volume size in whole GiB (default: the image's or the parent's)", 0, 0, NULL},
	{"timeout", 0, OPTIONS_NUMBER, FIELD(timeout), "MINUTES",
		"AWS drops the snapshot when nothing was written for so long (10 to 4320, default 60)", 10,
		4320, NULL},
	{"parent", 0, OPTIONS_TEXT, FIELD(parent), "SNAP",
		"send only what differs from this snapshot; without one of the next two it is read back", 0,
		0, NULL},
	{"parent-manifest", 0, OPTIONS_TEXT, FIELD(parent_manifest), "FILE",
		"manifest of the image that the parent was made from", 0, 0, NULL},
	{"parent-disk", 0, OPTIONS_TEXT, FIELD(parent_disk), "DEVICE",
		"which disk of that manifest, by the device's name in the spec", 0, 0, NULL},
	{"parent-image", 0, OPTIONS_TEXT, FIELD(parent_image), "FILE",
		"image that the parent was made from", 0, 0, NULL},
	{"journal", 0, OPTIONS_TEXT, FIELD(journal), "FILE",
		"where it is noted what was sent (default: beside the image)", 0, 0, NULL},
	{"abandon", 0, OPTIONS_FLAG, FIELD(abandon), NULL,
		"give up the interrupted upload of IMAGE: delete its snapshot and journal", 0, 0, NULL},
	{"cleanup", 0, OPTIONS_FLAG, FIELD(cleanup), NULL,
		"delete the unfinished snapshots of IMAGE, or of all uploads, journal or not; also those "
		"that another process is sending now", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL, "with --cleanup: only find them", 0, 0, NULL},
	{"start", 0, OPTIONS_FLAG, FIELD(start), NULL,
		"only start a snapshot for IMAGE, for --shard and --finish", 0, 0, NULL},
	{"shard", 0, OPTIONS_TEXT, FIELD(shard), "I/N",
		"send the I-th of N parts of IMAGE into the snapshot that was started", 0, 0, NULL},
	{"finish", 0, OPTIONS_FLAG, FIELD(finish), NULL,
		"complete the snapshot from the --digests files of all shards", 0, 0, NULL},
	{"snapshot", 0, OPTIONS_TEXT, FIELD(snapshot), "SNAP", "the snapshot of --shard and --finish", 0,
		0, NULL},
	{"digests", 0, OPTIONS_TEXT, FIELD(digests), "FILE", "what a shard leaves for --finish", 0, 0,
		NULL},
	{0},
};

enum mode { UPLOAD, START, SHARD, FINISH, ABANDON, CLEANUP_LOST };

/* One upload of the command line; tables and devices are owned, the rest is borrowed. */
struct upload {
	struct context *ctx;
	const struct upload_options *o;
	const char *path;
	enum mode mode;
	struct aws *aws;
	struct dev *image, *known, *parent_image;
	struct snapshot_table *parent_known;
	struct command_tags tags;
	char *journal, *source;
	char name[UPLOAD_NAME_SIZE], token[UPLOAD_TOKEN_SIZE];
	struct snapshot_upload_opts opts;
};

static int find_mode(const struct upload_options *o, enum mode *mode, struct error *err)
{
	const struct {
		bool given;
		enum mode mode;
	} modes[] = {{o->start, START}, {o->shard != NULL, SHARD}, {o->finish, FINISH},
		{o->abandon, ABANDON}, {o->cleanup, CLEANUP_LOST}};
	unsigned nr = 0;

	*mode = UPLOAD;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!modes[i].given)
			continue;
		*mode = modes[i].mode;
		nr++;
	}
	if (nr > 1)
		return error_set(err, ERROR_USAGE, 0,
			"--start, --shard, --finish, --abandon and --cleanup exclude each other");
	return 0;
}

static int check_args(enum mode mode, size_t nr, struct error *err)
{
	if (mode == FINISH && nr == 0)
		return error_set(err, ERROR_USAGE, 0, "--finish wants the --digests files of all shards");
	if (mode != FINISH && mode != CLEANUP_LOST && nr == 0)
		return error_set(err, ERROR_USAGE, 0, "an image is missing");
	if (mode != FINISH && nr > 1)
		return error_set(err, ERROR_USAGE, 0, "one image at a time");
	return 0;
}

static int check(const struct upload_options *o, enum mode mode, struct error *err)
{
	bool shared = mode == SHARD || mode == FINISH;

	if (o->skip && !strcmp(o->skip, "zeros") && (o->encrypt || o->kms_key))
		return error_set(err, ERROR_USAGE, 0,
			"--skip zeros does not go with encryption: blocks that a snapshot lacks read as "
			"random bytes there");
	if (o->size % GIB)
		return error_set(err, ERROR_USAGE, 0, "--size: a volume has whole GiB");
	if (o->parent && (o->encrypt || o->kms_key))
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot with a parent is encrypted as that is: leave --encrypt and --kms-key out");
	if (!o->parent && (o->parent_manifest || o->parent_image))
		return error_set(err, ERROR_USAGE, 0, "--parent-manifest and --parent-image want --parent");
	if (o->parent_disk && !o->parent_manifest)
		return error_set(err, ERROR_USAGE, 0, "--parent-disk wants --parent-manifest");
	if (o->parent_manifest && o->parent_image)
		return error_set(err, ERROR_USAGE, 0,
			"--parent-manifest and --parent-image exclude each other");
	if (shared != (o->snapshot != NULL))
		return error_set(err, ERROR_USAGE, 0, "--snapshot goes with --shard or --finish%s",
			shared ? ": say which one 'upload --start' has printed" : "");
	if ((mode == SHARD) != (o->digests != NULL))
		return error_set(err, ERROR_USAGE, 0, "--digests goes with --shard%s",
			mode == SHARD ? ": say where the digests for --finish are to be" : "");
	if (o->journal && mode != UPLOAD && mode != ABANDON)
		return error_set(err, ERROR_USAGE, 0,
			"--journal is for a whole upload; a shard's journal is its --digests");
	if (o->dry_run && mode != CLEANUP_LOST)
		return error_set(err, ERROR_USAGE, 0, "--dry-run is for --cleanup");
	return 0;
}

/* "2/8" */
static int parse_shard(const char *text, unsigned *shard, unsigned *nr, struct error *err)
{
	const char *slash = strchr(text, '/');
	CLEANUP_FREE char *first = slash ? strndup(text, (size_t)(slash - text)) : NULL;
	uint64_t i, n;

	if (!first || num_parse(first, SNAPSHOT_SHARDS_MAX, &i, NULL) < 0 ||
		num_parse(slash + 1, SNAPSHOT_SHARDS_MAX, &n, NULL) < 0 || i < 1 || i > n)
		return error_set(err, ERROR_USAGE, 0,
			"--shard: '%s' is not I/N with 1 <= I <= N <= %d, like 2/8", text,
			SNAPSHOT_SHARDS_MAX);
	*shard = (unsigned)i;
	*nr = (unsigned)n;
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

static int print_result(struct context *ctx, const struct snapshot_result *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	log_info("%s: %llu GiB, %llu blocks sent (%llu of them zeros, %llu by an earlier run), %llu "
		 "unused ones and %llu of the parent left out, %llu retries", r->snapshot,
		(unsigned long long)r->size_gib, (unsigned long long)r->blocks_sent,
		(unsigned long long)r->blocks_zero, (unsigned long long)r->blocks_resumed,
		(unsigned long long)r->blocks_unused, (unsigned long long)r->blocks_same,
		(unsigned long long)r->retries);
	if (!ctx->opts.json)
		return context_print_line(r->snapshot, err);
	if (!doc || json_set_str(doc, "snapshot", r->snapshot, err) < 0 ||
		json_set_str(doc, "region", aws_region(ctx->aws), err) < 0 ||
		json_set_int(doc, "size_gib", (int64_t)r->size_gib, err) < 0 ||
		json_set_int(doc, "blocks_sent", (int64_t)r->blocks_sent, err) < 0 ||
		json_set_int(doc, "blocks_zero", (int64_t)r->blocks_zero, err) < 0 ||
		json_set_int(doc, "blocks_unused", (int64_t)r->blocks_unused, err) < 0 ||
		json_set_int(doc, "blocks_resumed", (int64_t)r->blocks_resumed, err) < 0 ||
		json_set_int(doc, "blocks_same", (int64_t)r->blocks_same, err) < 0 ||
		json_set_int(doc, "retries", (int64_t)r->retries, err) < 0 ||
		json_set_int(doc, "elapsed_ms", (int64_t)r->elapsed_ms, err) < 0)
		return -1;
	return context_print_json(doc, err);
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
		log_warn("'%s': %s; it is uploaded as it is", path, damage.text);
	return 0;
}

/* The image as a device that knows what its file systems do not use. */
static int open_image(struct upload *u, struct error *err)
{
	u->image = context_open_disk(u->ctx, u->path, err);
	if (!u->image || warn_damage(u->image, u->path, err) < 0)
		return -1;
	u->known = probe_usage_dev(u->image, err);
	return u->known ? 0 : -1;
}

static int open_parent(struct upload *u, struct error *err)
{
	const char *spool_dir = context_tmpdir(u->ctx);
	uint64_t size; /* the parent snapshot's is what counts */

	if (u->o->parent_image) {
		u->parent_image = context_open_disk(u->ctx, u->o->parent_image, err);
		if (!u->parent_image)
			return -1;
	}
	if (u->o->parent_manifest) {
		u->parent_known = manifest_read_blocks(u->o->parent_manifest, u->o->parent_disk,
			spool_dir, &size, err);
		if (!u->parent_known)
			return -1;
	}
	return 0;
}

/* What the snapshot is found by when its journal is lost. Users may need all of the 50 tags. */
static void add_tag(struct upload *u)
{
	enum { MAX_TAGS = 50 };

	for (size_t i = 0; i < u->tags.nr; i++)
		if (!strcmp(u->tags.items[i].key, SNAPSHOT_TAG))
			return;
	if (u->tags.nr < MAX_TAGS)
		u->tags.items[u->tags.nr++] = (struct aws_tag){SNAPSHOT_TAG, u->name};
}

static int find_journal(struct upload *u, struct error *err)
{
	struct error why = ERROR_INIT;

	switch (u->mode) {
	case SHARD:
		u->journal = buf_strf(err, "%s", u->o->digests);
		u->source = upload_source_of_copy(u->image, err);
		break;
	case UPLOAD:
		u->source = upload_source_of_file(u->path, err);
		u->journal = u->o->journal ? buf_strf(err, "%s", u->o->journal) :
					     upload_journal_of_file(u->ctx, u->path, &why);
		if (u->source && !u->journal && !u->o->journal) {
			log_warn("what is interrupted will begin anew: %s", why.text);
			return 0;
		}
		break;
	default:
		return 0;
	}
	return u->journal && u->source ? 0 : -1;
}

static int set_opts(struct upload *u, struct error *err)
{
	const struct upload_options *o = u->o;
	const char *slash = strrchr(u->path, '/');

	u->opts = (struct snapshot_upload_opts){
		.description = o->description ? o->description : slash ? slash + 1 : u->path,
		.client_token = u->token,
		.size_gib = o->size / GIB,
		.encrypted = o->encrypt || o->kms_key,
		.kms_key = o->kms_key,
		.timeout_min = (unsigned)o->timeout,
		.tags = u->tags.items,
		.nr_tags = u->tags.nr,
		.skip = skip_of(o),
		.workers = context_workers(u->ctx),
		.spool_dir = context_tmpdir(u->ctx),
		.cancelled = context_cancelled,
		.progress = &u->ctx->progress,
		.parent = o->parent,
		.parent_image = u->parent_image,
		.parent_known = u->parent_known,
		.journal = u->journal,
		.source = u->source,
		.snapshot = o->snapshot,
	};
	return o->shard ? parse_shard(o->shard, &u->opts.shard, &u->opts.nr_shards, err) : 0;
}

/* A failed upload that can be resumed has said so; this is the other way. */
static void say_abandon(const struct upload *u, const struct error *err)
{
	if (u->journal && u->mode == UPLOAD && err->kind != ERROR_USAGE && err->kind != ERROR_POLICY &&
		access(u->journal, F_OK) == 0)
		log_info("to give this upload up: amiwright upload --abandon%s%s%s '%s'",
			u->o->journal ? " --journal '" : "", u->o->journal ? u->o->journal : "",
			u->o->journal ? "'" : "", u->path);
}

static int upload(struct upload *u, struct error *err)
{
	struct snapshot_result result;
	int ret;

	if (open_image(u, err) < 0)
		return -1;
	u->aws = context_aws(u->ctx, err);
	if (!u->aws || open_parent(u, err) < 0 || upload_make_token(u->token, err) < 0 ||
		upload_name_of_file(u->path, u->name, err) < 0 || find_journal(u, err) < 0)
		return -1;
	add_tag(u);
	if (set_opts(u, err) < 0)
		return -1;
	if (u->mode == START || (u->mode == UPLOAD && (!u->journal || access(u->journal, F_OK) < 0)))
		upload_warn_of_lost(u->aws, u->name);
	if (u->mode == START)
		ret = snapshot_begin(u->aws, u->known, &u->opts, &result, err);
	else
		ret = snapshot_upload(u->aws, u->known, &u->opts, &result, err);
	if (ret < 0) {
		say_abandon(u, err);
		return -1;
	}
	return print_result(u->ctx, &result, err);
}

static int finish(struct upload *u, const struct options_args *files, struct error *err)
{
	struct snapshot_upload_opts opts = {.spool_dir = context_tmpdir(u->ctx)};
	struct aws *aws = context_aws(u->ctx, err);
	struct snapshot_result result;

	if (!aws || snapshot_finish(aws, u->o->snapshot, files->items, files->nr, &opts, &result, err) < 0)
		return -1;
	return print_result(u->ctx, &result, err);
}

static int abandon(struct upload *u, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	struct aws *aws = context_aws(u->ctx, err);
	char snapshot[EBS_ID_SIZE];

	if (!doc || !aws)
		return -1;
	u->journal = u->o->journal ? buf_strf(err, "%s", u->o->journal) :
				     upload_journal_of_file(u->ctx, u->path, err);
	if (!u->journal || snapshot_abandon(aws, u->journal, snapshot, err) < 0)
		return -1;
	if (!u->ctx->opts.json)
		return snapshot[0] ? context_print_line(snapshot, err) : 0;
	if (json_set_str(doc, "deleted", snapshot[0] ? snapshot : NULL, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static int clean_up(struct upload *u, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (u->path && upload_name_of_file(u->path, u->name, err) < 0)
		return -1;
	if (upload_clean_up(u->ctx, u->path ? u->name : NULL, u->o->dry_run, &out, err) < 0)
		return -1;
	return command_print_ids(u->ctx, u->o->dry_run ? "found" : "deleted", &out, err);
}

static void release(struct upload *u)
{
	dev_close(u->known, NULL);
	dev_close(u->image, NULL);
	dev_close(u->parent_image, NULL);
	snapshot_table_free(u->parent_known);
	command_tags_release(&u->tags);
	free(u->journal);
	free(u->source);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct upload u = {.ctx = ctx, .o = popts, .path = args->nr ? args->items[0] : NULL};
	int ret = find_mode(u.o, &u.mode, err);

	if (!ret)
		ret = check(u.o, u.mode, err);
	if (!ret)
		ret = check_args(u.mode, args->nr, err);
	if (!ret)
		ret = command_tags_parse(&u.tags, u.o->name, &u.o->tags, err);
	if (!ret)
		ret = u.mode == FINISH	     ? finish(&u, args, err) :
		      u.mode == ABANDON	     ? abandon(&u, err) :
		      u.mode == CLEANUP_LOST ? clean_up(&u, err) :
					       upload(&u, err);
	release(&u);
	return ret;
}

const struct command cmd_upload = {
	.name = "upload",
	.args = "IMAGE",
	.summary = "an image file to an EBS snapshot",
	.description =
		"Uploads a raw image as an EBS snapshot and prints its id when AWS says that it is\n"
		"complete. What the image is, is read from its content. Blocks that none of its file\n"
		"systems uses are left out; zeros that somebody may read are sent.\n"
		"\n"
		"An upload that was interrupted in any way goes on when the same command is run again.\n"
		"Several machines share one: 'upload --start IMAGE' prints a snapshot; each machine runs\n"
		"'upload --shard I/N --snapshot SNAP --digests FILE IMAGE'; and then one of them\n"
		"'upload --finish --snapshot SNAP FILE...'.",
	.options = options,
	.options_size = sizeof(struct upload_options),
	.min_args = 0,
	.max_args = SNAPSHOT_SHARDS_MAX,
	.run = run,
};
