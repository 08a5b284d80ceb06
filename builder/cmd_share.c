/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright share` and `unshare`: who else may use AMIs and their snapshots. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "builder/share.h"

struct share_options {
	struct options_list accounts, organizations, units;
	bool is_public, all, image_only, dry_run;
};

#define FIELD(field) offsetof(struct share_options, field)

#define GRANTEES                                                                                       \
	{"account", 0, OPTIONS_LIST, FIELD(accounts), "ID", "an account; may be given many times", 0,   \
		0, NULL},                                                                              \
	{"organization", 0, OPTIONS_LIST, FIELD(organizations), "ARN",                                 \
		"an organization; may be given many times", 0, 0, NULL},                               \
	{"organizational-unit", 0, OPTIONS_LIST, FIELD(units), "ARN",                                  \
		"a unit of an organization; may be given many times", 0, 0, NULL},                     \
	{"public", 0, OPTIONS_FLAG, FIELD(is_public), NULL, "everybody", 0, 0, NULL},                  \
	{"image-only", 0, OPTIONS_FLAG, FIELD(image_only), NULL,                                       \
		"the AMI, not its snapshots: enough to launch it, not to copy it", 0, 0, NULL},        \
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,                                           \
		"check, ask EC2 whether it may be done, change nothing", 0, 0, NULL}

static const struct options_def share_defs[] = {GRANTEES, {0}};
static const struct options_def unshare_defs[] = {
	{"all", 0, OPTIONS_FLAG, FIELD(all), NULL, "all that have it", 0, 0, NULL},
	GRANTEES,
	{0},
};

static int add_list(enum ec2_grantee kind, const struct options_list *list,
	struct ec2_permission *with, size_t *nr, struct error *err)
{
	for (size_t i = 0; i < list->nr; i++)
		if (share_add(kind, list->items[i], with, nr, err) < 0)
			return -1;
	return 0;
}

static int parse(const struct share_options *o, struct ec2_permission **with, size_t *nr,
	struct error *err)
{
	*nr = 0;
	*with = calloc(o->accounts.nr + o->organizations.nr + o->units.nr + 1, sizeof(**with));
	if (!*with)
		return error_nomem(err, "permissions");
	if (add_list(EC2_ACCOUNT, &o->accounts, *with, nr, err) < 0 ||
		add_list(EC2_ORGANIZATION, &o->organizations, *with, nr, err) < 0 ||
		add_list(EC2_UNIT, &o->units, *with, nr, err) < 0)
		return -1;
	if (o->is_public)
		return share_add(EC2_GROUP, "all", *with, nr, err);
	return 0;
}

static int add_text(const struct share *s, bool dry_run, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < s->nr; i++) {
		const struct share_item *item = &s->items[i];

		if (dry_run && buf_addf(out, err, "%s: %zu permissions would change\n", item->id,
				       item->changed) < 0)
			return -1;
		for (size_t k = 0; k < item->now.nr && !dry_run; k++) {
			const struct ec2_permission *p = &item->now.items[k];

			if (buf_addf(out, err, "%s %s%s%s\n", item->id, share_kind_name(p->kind),
				    p->kind == EC2_GROUP ? "" : " ", p->kind == EC2_GROUP ? "" : p->value) < 0)
				return -1;
		}
	}
	return 0;
}

static struct json *item_json(const struct share_item *item, const char *what, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || json_set_str(out, what, item->id, err) < 0 ||
		json_set_int(out, "changed", (int64_t)item->changed, err) < 0 ||
		json_set(out, "shared", share_permissions_json(&item->now, err), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static int add_json(const struct share *s, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = item_json(&s->items[0], "ami", err);
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!doc || !list)
		return -1;
	for (size_t i = 1; i < s->nr; i++)
		if (json_append(list, item_json(&s->items[i], "snapshot", err), err) < 0)
			return -1;
	if (json_set(doc, "snapshots", steal_ptr(&list), err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

static int share(struct context *ctx, const struct share_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct aws *aws = context_aws(ctx, err);
	struct share s = {0};
	int ret = aws ? share_run(&s, aws, opts, err) : -1;

	if (!ret)
		ret = ctx->opts.json ? add_json(&s, &out, err) : add_text(&s, opts->dry_run, &out, err);
	if (!ret && out.len)
		ret = context_print(&out, err);
	share_release(&s);
	return ret;
}

static int run(struct context *ctx, const struct share_options *o, const char *ami, bool is_remove,
	struct error *err)
{
	CLEANUP_FREE struct ec2_permission *with = NULL;
	struct share_opts opts = {.ami = ami, .remove = is_remove, .all = o->all,
		.image_only = o->image_only, .dry_run = o->dry_run};

	if (parse(o, &with, &opts.nr, err) < 0)
		return -1;
	opts.with = with;
	if (!opts.nr && !o->all)
		return error_set(err, ERROR_USAGE, 0,
			"with whom? give --account, --organization, --organizational-unit%s or --public",
			is_remove ? ", --all" : "");
	if (opts.nr && o->all)
		return error_set(err, ERROR_USAGE, 0, "--all means everybody: leave the others out");
	return share(ctx, &opts, err);
}

static int run_share(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	return run(ctx, opts, args->items[0], false, err);
}

static int run_unshare(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	return run(ctx, opts, args->items[0], true, err);
}

const struct command cmd_share = {
	.name = "share",
	.args = "AMI",
	.summary = "let others use an AMI",
	.description =
		"Lets accounts, organizations or everybody use an AMI, and its snapshots too, so that\n"
		"they can copy it. Prints who may use what afterwards. What cannot be used by others,\n"
		"or may not be public, is refused before anything is changed (exit status 3).",
	.options = share_defs,
	.options_size = sizeof(struct share_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_share,
};

const struct command cmd_unshare = {
	.name = "unshare",
	.args = "AMI",
	.summary = "take an AMI back from others",
	.description =
		"Takes back what 'share' gave, from the AMI and its snapshots. A snapshot stays shared\n"
		"with whom another of the account's AMIs that has it is shared with. Prints who may\n"
		"still use what.",
	.options = unshare_defs,
	.options_size = sizeof(struct share_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_unshare,
};
