/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright publish`: a spec into a registered AMI. */
#include "builder/command.h"

#include <unistd.h>

#include "base/log.h"
#include "builder/publish.h"

struct publish_options {
	const char *spool_dir;
	bool dry_run, clean_up;
};

#define FIELD(name) offsetof(struct publish_options, name)

static const struct options_def options[] = {
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"build and plan, print what would be made, called and paid, change nothing", 0, 0, NULL},
	{"cleanup", 0, OPTIONS_FLAG, FIELD(clean_up), NULL,
		"remove from AWS what unfinished runs of this publication made", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data (default: TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

static int print_plan(struct publish *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (!p->ctx->opts.json)
		return publish_plan_text(p, &out, err) < 0 ? -1 : context_print(&out, err);
	doc = publish_plan_json(p, err);
	return doc ? context_print_json(doc, err) : -1;
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

static struct json *copies_json(const struct publish *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	for (size_t i = 1; list && i < p->nr_regions; i++) {
		const struct publish_region *r = &p->regions[i];
		CLEANUP(json_cleanup) struct json *item = json_new_object(err);

		if (!item || json_set_str(item, "region", r->name, err) < 0 ||
			json_set_str(item, "ami", r->ami, err) < 0 ||
			json_set_bool(item, "existing", r->existing, err) < 0 ||
			json_append(list, steal_ptr(&item), err) < 0)
			return NULL;
	}
	return list ? steal_ptr(&list) : NULL;
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
	if (json_set_str(doc, "ami", p->regions[0].ami, err) < 0 ||
		json_set_str(doc, "name", p->name, err) < 0 ||
		json_set_str(doc, "region", p->regions[0].name, err) < 0 ||
		json_set_bool(doc, "existing", p->existing, err) < 0 ||
		json_set(doc, "copies", copies_json(p, err), err) < 0 ||
		json_set(doc, "mapping", report_mapping_json(p->mappings, b->spec.nr_disks, err), err) < 0 ||
		json_set(doc, "snapshots", steal_ptr(&snapshots), err) < 0 ||
		json_set(doc, "timings", report_times_json(&b->times, err), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

/* The AMI's id; with copies a line for each region. */
static int print_ids(const struct publish *p, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (p->nr_regions == 1)
		return context_print_line(p->regions[0].ami, err);
	for (size_t i = 0; i < p->nr_regions; i++)
		if (buf_addf(&out, err, "%s %s\n", p->regions[i].name, p->regions[i].ami) < 0)
			return -1;
	return context_print(&out, err);
}

static int print_result(const struct publish *p, struct error *err)
{
	CLEANUP_BUF struct buf mapping = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (report_mapping_text(p->mappings, p->build->spec.nr_disks, &mapping, err) < 0)
		return -1;
	if (mapping.len)
		buf_truncate(&mapping, mapping.len - 1);
	for (size_t i = 0; i < p->nr_regions; i++)
		log_info("%s %s in %s%s", p->regions[i].ami, p->name, p->regions[i].name,
			p->regions[i].existing ? " was there already" : "");
	log_info("block device mapping:\n%s", buf_str(&mapping));
	report_times_log(&p->build->times);
	if (!p->ctx->opts.json)
		return print_ids(p, err);
	doc = result_json(p, err);
	return doc ? context_print_json(doc, err) : -1;
}

/* Without a way to AWS a plan says what can be said without it. */
static int is_offline(struct context *ctx, bool *offline, struct error *err)
{
	*offline = ctx->opts.local && access(ctx->opts.local, F_OK) < 0;
	if (*offline || context_aws(ctx, err))
		return 0;
	if (err->kind != ERROR_USAGE)
		return -1;
	log_warn("%s; what AWS has and allows is not in the plan", err->text);
	error_clear(err);
	*offline = true;
	return 0;
}

static int plan(struct publish *p, struct build *b, struct context *ctx, struct error *err)
{
	bool offline;

	if (is_offline(ctx, &offline, err) < 0 || publish_begin(p, b, ctx, offline, err) < 0 ||
		(!offline && publish_check(p, err) < 0) || build_make(b, ctx, err) < 0 ||
		publish_look(p, err) < 0)
		return -1;
	return print_plan(p, err);
}

static int clean_up(struct publish *p, struct build *b, struct context *ctx, bool dry_run,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (publish_begin(p, b, ctx, false, err) < 0 || publish_open_journal(p, err) < 0 ||
		publish_clean_up(p, dry_run, &out, err) < 0)
		return -1;
	return command_print_ids(ctx, dry_run ? "found" : "deleted", &out, err);
}

static int publish(struct publish *p, struct build *b, struct context *ctx,
	const struct publish_options *o, struct error *err)
{
	if (o->clean_up)
		return clean_up(p, b, ctx, o->dry_run, err);
	if (o->dry_run)
		return plan(p, b, ctx, err);
	if (publish_begin(p, b, ctx, false, err) < 0 || publish_open_journal(p, err) < 0 ||
		publish_check(p, err) < 0 || build_make(b, ctx, err) < 0 || publish_run(p, err) < 0)
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
		ret = publish(&p, &b, ctx, opts, err);
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
		"written), registers the AMI with its block device mapping, copies it to the spec's\n"
		"other regions, shares, protects and deprecates as the spec says. Prints the AMI's id,\n"
		"with copies a line for each region.\n"
		"Safe to repeat: what is there already is found and used, what a run began the next one\n"
		"goes on with. A name that is taken by other content is refused with exit status 3.",
	.options = options,
	.options_size = sizeof(struct publish_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
