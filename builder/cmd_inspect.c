/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright inspect`: what an image holds, or what a spec will make. */
#include "builder/command.h"

#include <string.h>

#include "builder/build.h"

struct inspect_options {
	const char *spool_dir;
	bool spec, image;
};

#define FIELD(field) offsetof(struct inspect_options, field)

static const struct options_def options[] = {
	{"spec", 0, OPTIONS_FLAG, FIELD(spec), NULL, "it is a spec, whatever its name", 0, 0, NULL},
	{"image", 0, OPTIONS_FLAG, FIELD(image), NULL, "it is an image, whatever its name", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_TEXT, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

static int print(struct context *ctx, const struct json *doc, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	const struct json *disks = json_get(doc, "disks");

	if (ctx->opts.json)
		return json_write(doc, true, &out, err) < 0 ? -1 : context_print(&out, err);
	if (!disks && report_disk_text(doc, &out, err) < 0)
		return -1;
	for (size_t i = 0; disks && i < json_length(disks); i++)
		if (report_disk_text(json_at(disks, i), &out, err) < 0)
			return -1;
	if (disks && report_start_text(doc, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int inspect_image(struct context *ctx, const char *path, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct format_read_opts opts = context_read_opts(ctx);
	struct image image;

	if (format_open(path, &opts, true, &image, err) < 0)
		return -1;
	doc = report_image_json(image.dev, image.format, err);
	image_close(&image);
	return doc ? print(ctx, doc, err) : -1;
}

static int plan_spec(struct context *ctx, struct build *b, const char *path,
	const struct build_opts *opts, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (build_read(b, ctx, path, opts, err) < 0 || build_make(b, ctx, err) < 0)
		return -1;
	doc = report_plan_json(&b->plan, err);
	return doc ? print(ctx, doc, err) : -1;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct inspect_options *o = popts;
	struct build_opts opts = {.spool_dir = o->spool_dir};
	const char *path = args->items[0];
	bool spec = o->spec || (!o->image && spec_has_name(path));
	struct build b = {0};
	int ret;

	if (o->spec && o->image)
		return error_set(err, ERROR_USAGE, 0, "--spec and --image exclude each other");
	if (!spec)
		return inspect_image(ctx, path, err);
	ret = plan_spec(ctx, &b, path, &opts, err);
	build_release(&b);
	return ret;
}

const struct command cmd_inspect = {
	.name = "inspect",
	.args = "IMAGE|SPEC",
	.summary = "what an image holds, or what a spec will make",
	.description =
		"Shows size, partition table, partitions and file systems with their used and free\n"
		"space. For a spec (a file that ends in .yaml or .yml) its layers are run and the plan is\n"
		"shown: also how the image starts and what an instance of it would miss. Nothing is\n"
		"written.",
	.options = options,
	.options_size = sizeof(struct inspect_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
