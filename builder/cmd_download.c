/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright download`: an EBS snapshot into a raw image file, onto a block device, or to stdout. */
#include "builder/command.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/filedev.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "formats/detect.h"
#include "uploader/snapshot_download.h"

struct download_options {
	bool durable, force;
};

#define FIELD(field) offsetof(struct download_options, field)

static const struct options_def options[] = {
	{"durable", 0, OPTIONS_FLAG, FIELD(durable), NULL,
		"force the file to the disk before it gets its name (a device always is)", 0, 0, NULL},
	{"force", 'f', OPTIONS_FLAG, FIELD(force), NULL,
		"overwrite a block device on which a partition table or file system is found", 0, 0, NULL},
	{0},
};

static struct json *result_json(const char *snapshot, const char *path,
	const struct snapshot_download_result *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	char hex[SHA256_HEX_SIZE];

	if (!doc || json_set_str(doc, "snapshot", snapshot, err) < 0 ||
	    json_set_str(doc, "file", path, err) < 0 ||
	    json_set_int(doc, "size_gib", (int64_t)r->size_gib, err) < 0 ||
	    json_set_int(doc, "blocks", (int64_t)r->blocks, err) < 0 ||
	    json_set_int(doc, "blocks_kept", (int64_t)r->blocks_kept, err) < 0 ||
	    json_set_int(doc, "blocks_zero", (int64_t)r->blocks_zero, err) < 0 ||
	    json_set_int(doc, "retries", (int64_t)r->retries, err) < 0 ||
	    json_set_int(doc, "elapsed_ms", (int64_t)r->elapsed_ms, err) < 0)
		return NULL;
	if (r->aggregate_known &&
	    json_set_str(doc, "blocks_sha256", hex_encode(hex, r->aggregate, SHA256_SIZE), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

static int print_result(struct context *ctx, const char *snapshot, const char *path,
	const struct snapshot_download_result *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;

	log_info("%s: %" PRIu64 " GiB from %s, %" PRIu64 " blocks of data (%" PRIu64
		 " from an earlier run), %" PRIu64 " retries",
		path, r->size_gib, snapshot, r->blocks, r->blocks_kept, r->retries);
	if (!ctx->opts.json)
		return context_print_line(path, err);
	doc = result_json(snapshot, path, r, err);
	return doc ? context_print_json(doc, err) : -1;
}

/* Where the journal of a download to a device is kept: there is no room beside it. */
static int journal_dir(struct context *ctx, const char *snapshot, char **dir, struct error *err)
{
	struct error why = ERROR_INIT;

	*dir = NULL;
	/* What is no id goes no further than to the first call, but a path must not come of it. */
	if (strchr(snapshot, '/'))
		return 0;
	*dir = context_state_dir(ctx, &why);
	if (*dir)
		return 0;
	if (why.kind == ERROR_NOMEM) {
		*err = why;
		return -1;
	}
	log_info("%s; the download cannot be resumed", why.text);
	return 0;
}

/* Whether a device holds something: then it is overwritten only when that is said, or begun already. */
static int holds_something(const char *path, bool *holds, struct error *err)
{
	struct dev *dev = filedev_open(path, err);
	const char *format;
	int ret;

	if (!dev)
		return -1;
	ret = detect_format(dev, &format, err);
	dev_close(dev, NULL);
	*holds = ret == 0 && strcmp(format, "unknown") != 0;
	return ret;
}

static int to_path(struct context *ctx, const struct download_options *o, const char *snapshot,
	const char *path, struct snapshot_download_opts *opts, struct error *err)
{
	CLEANUP_FREE char *dir = NULL;
	struct snapshot_download_result result;
	struct aws *aws;
	struct stat st;

	if (!*path)
		return error_set(err, ERROR_USAGE, 0, "OUT is '': a file, a block device or '-' is right");
	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode)) {
		if (journal_dir(ctx, snapshot, &dir, err) < 0 ||
		    (!o->force && holds_something(path, &opts->guarded, err) < 0))
			return -1;
		opts->journal_dir = dir;
	} else if (o->force) {
		return error_set(err, ERROR_USAGE, 0,
			"--force is for block devices, and '%s' is none", path);
	}
	aws = context_aws(ctx, err);
	if (!aws || snapshot_download(aws, snapshot, path, opts, &result, err) < 0)
		return -1;
	return print_result(ctx, snapshot, path, &result, err);
}

static int to_stdout(struct context *ctx, const struct download_options *o, const char *snapshot,
	const struct snapshot_download_opts *opts, struct error *err)
{
	struct snapshot_download_result r;
	struct aws *aws;

	if (ctx->opts.json || o->force || o->durable)
		return error_set(err, ERROR_USAGE, 0,
			"--%s does not go with '-': the image itself goes to standard output",
			ctx->opts.json ? "json" : o->force ? "force" : "durable");
	if (isatty(STDOUT_FILENO))
		return error_set(err, ERROR_USAGE, 0,
			"standard output is a terminal: redirect it, or name a file");
	aws = context_aws(ctx, err);
	if (!aws || snapshot_stream(aws, snapshot, STDOUT_FILENO, "standard output", opts, &r, err) < 0)
		return -1;
	log_info("%" PRIu64 " GiB from %s, %" PRIu64 " blocks of data, %" PRIu64 " retries",
		r.size_gib, snapshot, r.blocks, r.retries);
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct download_options *o = popts;
	struct snapshot_download_opts opts = {
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
		.durable = o->durable,
	};

	if (strcmp(args->items[1], "-") == 0)
		return to_stdout(ctx, o, args->items[0], &opts, err);
	return to_path(ctx, o, args->items[0], args->items[1], &opts, err);
}

const struct command cmd_download = {
	.name = "download",
	.args = "SNAPSHOT OUT",
	.summary = "an EBS snapshot to an image file or device",
	.description =
		"Reads a completed snapshot into a sparse raw image of the volume's size, onto a block\n"
		"device, or to standard output when OUT is '-'. Each block's checksum is checked; what\n"
		"the snapshot lacks is a hole in a file, zeros elsewhere. A download that was cut off\n"
		"goes on when the same command is run again: what is there is checked and kept.",
	.options = options,
	.options_size = sizeof(struct download_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
