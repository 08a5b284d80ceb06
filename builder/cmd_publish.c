/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright publish`: a spec into a registered AMI. */
#include "builder/command.h"

#include <string.h>

#include "base/log.h"
#include "builder/publish.h"

struct publish_options {
	const char *spool_dir;
	bool dry_run;
};

#define FIELD(name) offsetof(struct publish_options, name)

static const struct options_def options[] = {
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"build and plan, print the plan, change nothing", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_TEXT, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

static int print_json(struct json *doc, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (json_write(doc, true, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int planned_mapping(const struct build *b, struct ec2_mapping **mappings, struct error *err)
{
	CLEANUP_FREE const char **ids = calloc(b->spec.nr_disks + 1, sizeof(*ids));

	if (!ids)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < b->spec.nr_disks; i++)
		ids[i] = "(new)";
	return plan_mappings(&b->spec, ids, mappings, err);
}

static int print_plan(struct context *ctx, const struct build *b, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = report_plan_json(&b->plan, err);
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct json *disks;

	if (!doc || planned_mapping(b, &mappings, err) < 0 ||
		json_set(doc, "mapping", report_mapping_json(mappings, b->spec.nr_disks, err), err) < 0)
		return -1;
	if (ctx->opts.json)
		return print_json(doc, err);
	disks = json_get(doc, "disks");
	if (buf_addf(&out, err, "would register %s\n", b->plan.ami_name) < 0)
		return -1;
	for (size_t i = 0; i < json_length(disks); i++)
		if (report_disk_text(json_at(disks, i), &out, err) < 0)
			return -1;
	if (buf_add_str(&out, "block device mapping:\n", err) < 0 ||
		report_mapping_text(mappings, b->spec.nr_disks, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static struct json *snapshot_json(const struct publish *p, size_t i, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	const struct publish_disk *disk = &p->disks[i];

	if (!out || json_set_str(out, "device", p->build->spec.disks[i].device, err) < 0 ||
		json_set_str(out, "snapshot", disk->snapshot, err) < 0 ||
		json_set_str(out, "content", disk->content, err) < 0 ||
		json_set_bool(out, "reused", disk->reused, err) < 0)
		return NULL;
	if (!disk->reused &&
		(json_set_int(out, "blocks_sent", (int64_t)disk->sent.blocks_sent, err) < 0 ||
			json_set_int(out, "blocks_zero", (int64_t)disk->sent.blocks_zero, err) < 0 ||
			json_set_int(out, "blocks_unused", (int64_t)disk->sent.blocks_unused, err) < 0 ||
			json_set_int(out, "retries", (int64_t)disk->sent.retries, err) < 0))
		return NULL;
	return steal_ptr(&out);
}

static struct json *result_json(const struct publish *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *snapshots = json_new_array(err);
	const struct build *b = p->build;

	if (!doc || !snapshots)
		return NULL;
	for (size_t i = 0; i < b->plan.nr_disks; i++)
		if (plan_has_content(&b->plan.disks[i]) &&
			json_append(snapshots, snapshot_json(p, i, err), err) < 0)
			return NULL;
	if (json_set_str(doc, "ami", p->ami, err) < 0 ||
		json_set_str(doc, "name", p->name, err) < 0 ||
		json_set_str(doc, "region", aws_region(p->ctx->aws), err) < 0 ||
		json_set_bool(doc, "existing", p->existing, err) < 0 ||
		json_set(doc, "mapping", report_mapping_json(p->mappings, b->spec.nr_disks, err), err) < 0 ||
		json_set(doc, "snapshots", steal_ptr(&snapshots), err) < 0 ||
		json_set(doc, "timings", report_times_json(&b->times, err), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

static int print_result(const struct publish *p, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP_BUF struct buf mapping = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (report_mapping_text(p->mappings, p->build->spec.nr_disks, &mapping, err) < 0)
		return -1;
	if (mapping.len)
		buf_truncate(&mapping, mapping.len - 1);
	log_info("%s %s in %s%s\n%s", p->ami, p->name, aws_region(p->ctx->aws),
		p->existing ? " was there already, nothing was made" : "", buf_str(&mapping));
	report_times_log(&p->build->times);
	if (!p->ctx->opts.json)
		return buf_addf(&out, err, "%s\n", p->ami) < 0 ? -1 : context_print(&out, err);
	doc = result_json(p, err);
	return doc ? print_json(doc, err) : -1;
}

static int publish(struct publish *p, struct build *b, struct context *ctx, bool dry_run,
	struct error *err)
{
	if (!dry_run && publish_begin(p, b, ctx, err) < 0)
		return -1;
	if (build_make(b, ctx, err) < 0)
		return -1;
	if (dry_run)
		return print_plan(ctx, b, err);
	if (publish_run(p, err) < 0)
		return -1;
	return print_result(p, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct publish_options *opts = popts;
	struct build_opts build_opts = {.spool_dir = opts->spool_dir};
	struct publish p = {0};
	struct build b = {0};
	int ret = build_read(&b, ctx, args->items[0], &build_opts, err);

	if (!ret)
		ret = publish(&p, &b, ctx, opts->dry_run, err);
	publish_release(&p);
	build_release(&b);
	return ret;
}

const struct command cmd_publish = {
	.name = "publish",
	.args = "SPEC",
	.summary = "build, upload and register the AMI of a spec",
	.description =
		"Builds the disks of a spec, streams each as an EBS snapshot (no image file is\n"
		"written), and registers the AMI with its block device mapping. Prints the AMI's id.\n"
		"Safe to repeat: snapshots and AMIs that hold the same content already are found and\n"
		"used. A name that is taken by other content is refused with exit status 3.",
	.options = options,
	.options_size = sizeof(struct publish_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
