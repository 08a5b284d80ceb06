/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright download`: an EBS snapshot into a raw image file. */
#include "builder/command.h"

#include "base/json.h"
#include "base/log.h"
#include "uploader/snapshot.h"

struct download_options {
	bool durable;
};

static const struct options_def options[] = {
	{"durable", 0, OPTIONS_FLAG, offsetof(struct download_options, durable), NULL,
		"force the file to the device before it gets its name", 0, 0, NULL},
	{0},
};

static int print_result(struct context *ctx, const char *path, const struct snapshot_result *r,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	log_info("%s: %llu GiB from %s", path, (unsigned long long)r->size_gib, r->snapshot);
	if (!ctx->opts.json)
		return buf_addf(&out, err, "%s\n", path) < 0 ? -1 : context_print(&out, err);
	if (!doc || json_set_str(doc, "snapshot", r->snapshot, err) < 0 ||
		json_set_str(doc, "file", path, err) < 0 ||
		json_set_int(doc, "size_gib", (int64_t)r->size_gib, err) < 0 ||
		json_set_int(doc, "elapsed_ms", (int64_t)r->elapsed_ms, err) < 0 ||
		json_write(doc, true, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct download_options *o = popts;
	struct snapshot_download_opts opts = {
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
		.durable = o->durable,
	};
	struct snapshot_result result;
	struct aws *aws = context_aws(ctx, err);

	if (!aws || snapshot_download(aws, args->items[0], args->items[1], &opts, &result, err) < 0)
		return -1;
	return print_result(ctx, args->items[1], &result, err);
}

const struct command cmd_download = {
	.name = "download",
	.args = "SNAPSHOT OUT",
	.summary = "an EBS snapshot to a raw image file",
	.description = "Reads a completed snapshot into a sparse raw image of the volume's size. Each block's\n"
		       "checksum is checked; blocks that the snapshot lacks are holes.",
	.options = options,
	.options_size = sizeof(struct download_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
