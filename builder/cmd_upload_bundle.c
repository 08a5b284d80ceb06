/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright upload-bundle`: a bundle in a folder to S3, the manifest last. */
#include "builder/command.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "builder/bundle_old.h"
#include "builder/bundle_target.h"
#include "uploader/s3_store.h"

struct upload_options {
	const char *parts, *acl;
	bool is_public, create_bucket, force, dry_run;
};

#define FIELD(field) offsetof(struct upload_options, field)

static const struct options_def options[] = {
	{"parts", 0, OPTIONS_TEXT, FIELD(parts), "DIR", "where the parts are (default: beside the manifest)", 0, 0,
		NULL},
	{"acl", 0, OPTIONS_CHOICE, FIELD(acl), "ACL", "a canned ACL (default: aws-exec-read, by which EC2 reads)", 0, 0,
		bundle_target_acls},
	{"public", 0, OPTIONS_FLAG, FIELD(is_public), NULL, "the same as --acl public-read: everybody may read it", 0,
		0, NULL},
	{"create-bucket", 0, OPTIONS_FLAG, FIELD(create_bucket), NULL,
		"make the bucket, with ACLs that hold, when it is not there", 0, 0, NULL},
	{"force", 'f', OPTIONS_FLAG, FIELD(force), NULL,
		"replace another bundle of that name; what it has and this one has not is deleted", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL, "check manifest and parts, send nothing", 0, 0, NULL},
	{0},
};

enum { PART_MAX = 64 * 1024 * 1024 };

struct job {
	const char *path, *file;     /* of the manifest; its last part */
	char *dir;                   /* of the parts; owned */
	struct buf manifest;
	struct bundle_index index;
	struct bundle_target target;
	bool no_bucket;              /* it will be made */
	char *key;                   /* of the manifest; owned */
	struct bundle_old old;       /* what is there already */
	struct progress progress;
};

static void job_release(struct job *j)
{
	free(j->dir);
	free(j->key);
	bundle_old_release(&j->old);
	buf_release(&j->manifest);
	bundle_index_release(&j->index);
	bundle_target_release(&j->target);
}

static int read_manifest(struct job *j, const char *path, const char *parts, struct error *err)
{
	const char *slash = strrchr(path, '/');

	j->path = path;
	j->file = slash ? slash + 1 : path;
	if (!text_ends_with(j->file, BUNDLE_SUFFIX))
		return error_set(err, ERROR_USAGE, 0, "'%s' is not named NAME" BUNDLE_SUFFIX ", as EC2 wants it", path);
	j->dir = parts ? buf_strf(err, "%s", parts) :
		 slash ? buf_strf(err, "%.*s", (int)(slash + 1 - path), path) : buf_strf(err, ".");
	buf_init(&j->manifest, BUNDLE_INDEX_MAX);
	if (!j->dir || file_read(path, &j->manifest, err) < 0)
		return -1;
	return bundle_index_read(&j->index, buf_str(&j->manifest), j->manifest.len, path, err);
}

/* The part's content, held against the manifest. */
static int read_part(const struct job *j, size_t i, struct buf *out, struct error *err)
{
	const struct bundle_index_part *part = &j->index.parts[i];
	CLEANUP_FREE char *path = file_join(j->dir, part->file, err);
	uint8_t digest[SHA1_SIZE];

	if (!path || file_read(path, out, err) < 0 || sha1(out->data ? out->data : "", out->len, digest, err) < 0)
		return -1;
	if (memcmp(digest, part->sha1, SHA1_SIZE) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is not the part that '%s' names: its SHA-1 is another", path,
		j->path);
}

/* Nothing is sent of a bundle that is not whole. */
static int check_parts(const struct job *j, struct error *err)
{
	uint64_t total = 0;

	for (size_t i = 0; i < j->index.nr_parts; i++) {
		CLEANUP_BUF struct buf data = BUF_INIT(PART_MAX);

		if (context_check(err) < 0 || read_part(j, i, &data, err) < 0)
			return -1;
		total += data.len;
	}
	if (total == j->index.bundled_size)
		return 0;
	return error_set(err, ERROR_INPUT, 0, "the parts have %llu bytes, and '%s' says %llu",
		(unsigned long long)total, j->path, (unsigned long long)j->index.bundled_size);
}

/* An earlier run may have sent it: to look costs less than to send. */
static int begin(void *arg, const char *key, const uint8_t digest[SHA256_SIZE], bool *maybe_there,
	struct error *err)
{
	(void)arg, (void)key, (void)digest, (void)err;
	*maybe_there = true;
	return 0;
}

static int send_parts(struct job *j, struct s3_store *store, struct error *err)
{
	for (size_t i = 0; i < j->index.nr_parts; i++) {
		CLEANUP_FREE char *key = bundle_target_key(&j->target, j->index.parts[i].file, err);
		CLEANUP_BUF struct buf data = BUF_INIT(PART_MAX);
		size_t len;

		if (!key || read_part(j, i, &data, err) < 0)
			return -1;
		len = data.len;
		if (s3_store_put(store, key, &data, err) < 0)
			return -1;
		progress_add(&j->progress, len);
	}
	return 0;
}

static bool is_same(const struct job *j)
{
	return j->old.manifest.len == j->manifest.len &&
	       memcmp(j->old.manifest.data, j->manifest.data, j->manifest.len) == 0;
}

/* The same bundle's manifest is sent again, for its ACL. */
static int send_manifest(const struct job *j, bool force, struct error *err)
{
	return bundle_target_put_manifest(&j->target, j->key, j->manifest.data, j->manifest.len,
		force || j->old.there, err);
}

static int send(struct context *ctx, struct job *j, bool force, struct error *err)
{
	const struct s3_store_opts opts = {.acl = j->target.acl, .begin = begin};
	struct s3_store_counts counts = {0, 0};
	struct s3_store *store = s3_store_new(&j->target.place, &opts, err);
	int ret;

	if (!store)
		return -1;
	progress_begin(&j->progress, &ctx->progress, "upload", j->index.bundled_size);
	ret = send_parts(j, store, err);
	if (ret == 0)
		ret = s3_store_finish(store, &counts, err);
	s3_store_free(store);
	progress_end(&j->progress, ret == 0);
	if (counts.there)
		log_info("%llu of %zu parts were there already", (unsigned long long)counts.there, j->index.nr_parts);
	if (ret == 0)
		ret = send_manifest(j, force, err);
	if (ret < 0)
		return err->kind == ERROR_POLICY ? -1 :
			error_wrap(err, "the bundle is not whole in S3; rerun the same command to go on");
	if (force)
		bundle_old_remove(&j->old, &j->target.place, j->key, &j->index);
	return 0;
}

static int print(struct context *ctx, const struct job *j, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_FREE char *location = bundle_target_location(&j->target, j->file, err);

	if (!location)
		return -1;
	if (!ctx->opts.json)
		return context_print_line(location, err);
	if (!doc || json_set_str(doc, "location", location, err) < 0 ||
		json_set_str(doc, "region", aws_region(j->target.place.aws), err) < 0 ||
		json_set_str(doc, "acl", j->target.acl, err) < 0 ||
		json_set_int(doc, "parts", (int64_t)j->index.nr_parts, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

/* The bucket, and what has the manifest's name there, before parts are read; nothing is made yet. */
static int look(struct context *ctx, struct job *j, const struct upload_options *o,
	const struct bundle_target_opts *opts, struct error *err)
{
	const struct bundle_target_opts look = {.acl = opts->acl, .is_public = opts->is_public};

	j->key = bundle_target_key(&j->target, j->file, err);
	if (!j->key || s3_check_key(j->key, err) < 0)
		return -1;
	if (bundle_target_open(&j->target, ctx, &look, err) < 0) {
		j->no_bucket = o->create_bucket && strcmp(err->code, "NoSuchBucket") == 0;
		if (!j->no_bucket)
			return -1;
		error_clear(err);
		j->target.place.aws = context_aws(ctx, err);
		return j->target.place.aws ? 0 : -1;
	}
	if (bundle_old_read(&j->old, &j->target.place, j->key, err) < 0)
		return -1;
	return !j->old.there || o->force || is_same(j) ? 0 :
		bundle_target_taken(&j->target, j->key, "give another prefix", err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct upload_options *o = popts;
	const struct bundle_target_opts opts = {.acl = o->acl, .is_public = o->is_public,
		.create_bucket = o->create_bucket};
	struct job j = {.path = NULL};
	int ret = bundle_target_parse(&j.target, args->items[1], &opts, err);

	if (!ret)
		ret = read_manifest(&j, args->items[0], o->parts, err);
	if (!ret)
		ret = look(ctx, &j, o, &opts, err);
	if (!ret)
		ret = check_parts(&j, err);
	if (!ret && !o->dry_run && j.no_bucket)
		ret = bundle_target_open(&j.target, ctx, &opts, err);
	if (!ret && !o->dry_run)
		ret = send(ctx, &j, o->force, err);
	if (!ret)
		ret = print(ctx, &j, err);
	job_release(&j);
	return ret;
}

const struct command cmd_upload_bundle = {
	.name = "upload-bundle",
	.args = "MANIFEST S3URL",
	.summary = "a bundle in a folder to S3",
	.description =
		"Sends the parts of a bundle to s3://BUCKET/PREFIX, then its manifest, with an ACL by which EC2\n"
		"reads them; prints the location that 'register --manifest' takes. The bucket must be in the\n"
		"chosen region. A rerun sends what is not there yet.",
	.options = options,
	.options_size = sizeof(struct upload_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
