/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright download-bundle`: manifest and parts of a bundle from S3 into a folder. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "builder/bundle_place.h"
#include "uploader/s3_fetch.h"

struct download_options {
	const char *out;
	bool force;
};

#define FIELD(field) offsetof(struct download_options, field)

static const struct options_def options[] = {
	{"out", 'o', OPTIONS_TEXT, FIELD(out), "DIR",
		"the folder (default: the present one); made when it is not there", 0, 0, NULL},
	{"force", 'f', OPTIONS_FLAG, FIELD(force), NULL, "replace another bundle's manifest of that name", 0, 0, NULL},
	{0},
};

/* A part is 10 MiB; what other programs make is of that order too. */
#define PART_MAX (UINT64_C(64) << 20)

struct job {
	struct bundle_place bundle;
	char *manifest;              /* path; owned */
	struct s3_fetch_file *files; /* keys and paths owned */
	size_t nr;
	struct progress progress;
};

static void job_release(struct job *j)
{
	for (size_t i = 0; i < j->nr; i++) {
		free(j->files[i].key);
		free(j->files[i].path);
	}
	free(j->files);
	free(j->manifest);
	bundle_place_release(&j->bundle);
}

static int list_files(struct job *j, const char *dir, struct error *err)
{
	const struct bundle_index *index = &j->bundle.index;
	const char *key = j->bundle.url.key, *slash = strrchr(key, '/');

	j->manifest = file_join(dir, slash ? slash + 1 : key, err);
	j->files = calloc(index->nr_parts, sizeof(*j->files));
	if (!j->manifest || !j->files)
		return j->manifest ? error_nomem(err, "the parts of a bundle") : -1;
	for (j->nr = 0; j->nr < index->nr_parts;) {
		struct s3_fetch_file *f = &j->files[j->nr];
		const struct bundle_index_part *part = &index->parts[j->nr++];

		memcpy(f->sha1, part->sha1, sizeof(f->sha1));
		f->key = bundle_index_beside(key, part->file, err);
		f->path = file_join(dir, part->file, err);
		if (!f->key || !f->path)
			return -1;
		if (strcmp(f->path, j->manifest) == 0)
			return error_set(err, ERROR_INPUT, 0, "a part of the bundle has the name of its manifest");
	}
	return 0;
}

/* The manifest comes last, so one that is there is of a whole bundle: this one, or another. */
static int check_manifest(const struct job *j, bool force, struct error *err)
{
	CLEANUP_BUF struct buf old = BUF_INIT(BUNDLE_INDEX_MAX);

	if (force || access(j->manifest, F_OK) < 0)
		return file_check_target(j->manifest, err);
	if (file_read(j->manifest, &old, err) < 0)
		return -1;
	if (old.len == j->bundle.manifest.len && memcmp(old.data, j->bundle.manifest.data, old.len) == 0)
		return 0;
	return error_set(err, ERROR_POLICY, 0,
		"'%s' is there and is another bundle's: give --force to replace it, or another folder", j->manifest);
}

static void on_bytes(void *arg, uint64_t bytes)
{
	progress_add(arg, bytes);
}

static int fetch(struct context *ctx, struct job *j, struct error *err)
{
	const struct s3_fetch_opts opts = {.size_max = PART_MAX, .progress = on_bytes, .arg = &j->progress};
	size_t there = 0;
	int ret;

	progress_begin(&j->progress, &ctx->progress, "download", j->bundle.index.bundled_size);
	ret = s3_fetch(&j->bundle.place, j->files, j->nr, &opts, err);
	progress_end(&j->progress, ret == 0);
	if (ret < 0)
		return error_wrap(err, "the bundle is not whole; rerun the same command to go on");
	for (size_t i = 0; i < j->nr; i++)
		there += j->files[i].was_there;
	if (there)
		log_info("%zu of %zu parts were there already", there, j->nr);
	return file_write_atomic(j->manifest, j->bundle.manifest.data, j->bundle.manifest.len, 0644, false, err);
}

static int print(struct context *ctx, const struct job *j, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	const struct bundle_index *index = &j->bundle.index;

	if (!ctx->opts.json)
		return context_print_line(j->manifest, err);
	if (!doc || json_set_str(doc, "manifest", j->manifest, err) < 0 ||
		json_set_str(doc, "region", aws_region(j->bundle.place.aws), err) < 0 ||
		json_set_str(doc, "architecture", index->architecture, err) < 0 ||
		json_set_str(doc, "account", index->user, err) < 0 ||
		json_set_int(doc, "size", (int64_t)index->size, err) < 0 ||
		json_set_int(doc, "parts", (int64_t)index->nr_parts, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct download_options *o = popts;
	const char *dir = o->out ? o->out : ".";
	struct job j = {.manifest = NULL};
	int ret = bundle_place_open(&j.bundle, ctx, args->items[0], NULL, err);

	if (!ret)
		ret = file_mkdirs(dir, 0777, err);
	if (!ret)
		ret = list_files(&j, dir, err);
	if (!ret)
		ret = check_manifest(&j, o->force, err);
	if (!ret)
		ret = fetch(ctx, &j, err);
	if (!ret)
		ret = print(ctx, &j, err);
	job_release(&j);
	return ret;
}

const struct command cmd_download_bundle = {
	.name = "download-bundle",
	.args = "S3URL",
	.summary = "a bundle from S3 into a folder",
	.description =
		"Fetches the parts that a manifest in S3 names, then the manifest itself, into a folder,\n"
		"where 'unbundle' takes them. Each part is held against its SHA-1 in the manifest; one that\n"
		"is there and right is not fetched again. Prints the manifest's path.",
	.options = options,
	.options_size = sizeof(struct download_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
