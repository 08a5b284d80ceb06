/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright prune`: old AMIs and their snapshots. */
#include "builder/command.h"

#include <string.h>

#include "base/log.h"
#include "builder/duration.h"
#include "builder/prune.h"

struct prune_options {
	struct options_list names;
	const char *group_by, *older_than, *used_within;
	uint64_t keep;
	bool remove, shared, used, dry_run;
};

#define FIELD(field) offsetof(struct prune_options, field)

static const struct options_def options[] = {
	{"name", 0, OPTIONS_LIST, FIELD(names), "PATTERN",
		"AMIs of one product (required); * and ? are wildcards; may be given many times", 0, 0, NULL},
	{"group-by", 0, OPTIONS_TEXT, FIELD(group_by), "TAG",
		"within a pattern, AMIs of one value of this tag belong together", 0, 0, NULL},
	{"keep", 0, OPTIONS_NUMBER, FIELD(keep), "N", "the newest of each group that stay (default: 1)", 1,
		100000, NULL},
	{"older-than", 0, OPTIONS_TEXT, FIELD(older_than), "SPAN", "younger ones stay: 36h, 90d, 6w, 1y", 0,
		0, NULL},
	{"used-within", 0, OPTIONS_TEXT, FIELD(used_within), "SPAN",
		"launched within this span is used (default: 30d)", 0, 0, NULL},
	{"include-shared", 0, OPTIONS_FLAG, FIELD(shared), NULL, "also those that others may use", 0, 0,
		NULL},
	{"include-used", 0, OPTIONS_FLAG, FIELD(used), NULL,
		"also those that have instances, were launched lately or are in launch templates", 0, 0, NULL},
	{"delete", 0, OPTIONS_FLAG, FIELD(remove), NULL, "do it; else the plan is printed", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"ask EC2 too whether it may be done, change nothing", 0, 0, NULL},
	{0},
};

static const char *verdict(const struct prune_item *item, const struct prune_opts *o)
{
	if (!item->remove)
		return "keep";
	if (!o->remove)
		return "remove";
	/* Its own fate: the run may have ended before it was its turn. */
	if (item->done.image != RETIRE_DONE)
		return item->done.image == RETIRE_KEPT ? "failed" : retire_fate_name(item->done.image);
	return item->error.kind ? "failed" : "removed";
}

static int add_text(const struct prune *p, const struct prune_opts *o, struct buf *out,
	struct error *err)
{
	for (size_t i = 0; i < p->nr; i++) {
		const struct prune_item *item = &p->items[i];
		const struct ec2_image *image = item->image;

		if (buf_addf(out, err, "%-7s  %s  %.10s  %s  %s: %s\n", verdict(item, o), image->id,
			    image->creation_date, image->architecture, image->name, item->why) < 0)
			return -1;
		for (size_t k = 0; k < item->done.nr_snapshots; k++)
			if (item->done.snapshots[k].fate != RETIRE_DONE)
				log_info("%s %s: %s", item->done.snapshots[k].id,
					item->done.snapshots[k].fate == RETIRE_UNKNOWN ? "may stay" : "stays",
					item->done.snapshots[k].why);
	}
	return 0;
}

static struct json *item_json(const struct prune_item *item, const struct prune_opts *o,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	const struct ec2_image *image = item->image;
	const char *group = o->group_by ? ec2_tag_value(&image->tags, o->group_by) : NULL;

	if (!out || json_set_str(out, "ami", image->id, err) < 0 ||
		json_set_str(out, "name", image->name, err) < 0 ||
		json_set_str(out, "created", image->creation_date, err) < 0 ||
		json_set_str(out, "architecture", image->architecture, err) < 0 ||
		json_set_str(out, "pattern", o->names[item->name], err) < 0 ||
		(o->group_by && json_set_str(out, "group", group, err) < 0) ||
		json_set_str(out, "verdict", verdict(item, o), err) < 0 ||
		json_set_str(out, "why", item->error.kind ? item->error.text : item->why, err) < 0 ||
		json_set(out, "snapshots", retire_result_json(&item->done, err), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static int add_json(const struct prune *p, const struct prune_opts *o, struct buf *out,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!doc || !list)
		return -1;
	for (size_t i = 0; i < p->nr; i++)
		if (json_append(list, item_json(&p->items[i], o, err), err) < 0)
			return -1;
	if (json_set_bool(doc, "deleted", o->remove, err) < 0 ||
		json_set(doc, "images", steal_ptr(&list), err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

static int prune(struct context *ctx, const struct prune_opts *o, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error ignored = ERROR_INIT;
	struct aws *aws = context_aws(ctx, err);
	struct prune p = {0};
	int ret = aws ? prune_run(&p, aws, o, err) : -1;

	/* Also after a failure: what is gone must be known. */
	if ((!ret || o->remove) && (ctx->opts.json ? add_json(&p, o, &out, ret ? &ignored : err) :
						     add_text(&p, o, &out, ret ? &ignored : err)) < 0)
		ret = -1;
	if (out.len && context_print(&out, ret ? &ignored : err) < 0)
		ret = -1;
	if (!ret && !o->remove)
		log_info("nothing was removed: --delete does it");
	prune_release(&p);
	return ret;
}

static int spans(const struct prune_options *o, struct prune_opts *opts, struct error *err)
{
	int64_t within = INT64_C(30) * 86400;

	if (o->older_than && duration_parse(o->older_than, &opts->older_than_s, err) < 0)
		return error_wrap(err, "--older-than");
	if (o->used_within && duration_parse(o->used_within, &within, err) < 0)
		return error_wrap(err, "--used-within");
	opts->retire.used_since = opts->now - within;
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct prune_options *o = popts;
	struct prune_opts opts = {
		.names = o->names.items,
		.nr_names = o->names.nr,
		.group_by = o->group_by,
		.keep = o->keep ? o->keep : 1,
		.now = context_wall_s(),
		.remove = o->remove,
		.retire = {.snapshots = true, .shared = o->shared, .used = o->used,
			.dry_run = o->dry_run},
	};

	(void)args;
	if (!o->names.nr)
		return error_set(err, ERROR_USAGE, 0, "'prune' needs --name PATTERN");
	if (!o->keep && !o->older_than)
		return error_set(err, ERROR_USAGE, 0, "'prune' needs --keep N, --older-than SPAN or both");
	if (o->remove && o->dry_run)
		return error_set(err, ERROR_USAGE, 0, "--delete and --dry-run exclude each other");
	for (size_t i = 0; i < o->names.nr; i++)
		if (prune_check_name(o->names.items[i], o->group_by != NULL, err) < 0)
			return -1;
	if (spans(o, &opts, err) < 0)
		return -1;
	return prune(ctx, &opts, err);
}

const struct command cmd_prune = {
	.name = "prune",
	.args = "",
	.summary = "remove old AMIs with their snapshots",
	.description =
		"Finds own AMIs that are old, and prints what would be removed and why the others stay;\n"
		"with --delete it removes them, and the snapshots that no other AMI has. An AMI goes\n"
		"only when it is not among the newest of its group, is old enough, and is neither\n"
		"protected, shared nor used.",
	.options = options,
	.options_size = sizeof(struct prune_options),
	.run = run,
};
