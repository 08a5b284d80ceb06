/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright protect`: AMIs that cannot be deregistered. */
#include "builder/command.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "builder/own_image.h"
#include "uploader/ec2_retire.h"

struct protect_options {
	bool cooldown, off, dry_run;
};

#define FIELD(field) offsetof(struct protect_options, field)

static const struct options_def options[] = {
	{"cooldown", 0, OPTIONS_FLAG, FIELD(cooldown), NULL,
		"it holds for 24 hours more after it is taken off", 0, 0, NULL},
	{"off", 0, OPTIONS_FLAG, FIELD(off), NULL, "take it off", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check, ask EC2 whether it may be done, change nothing", 0, 0, NULL},
	{0},
};

/* state gets the protection that EC2 tells afterwards. */
static int protect(struct aws *aws, const char *ami, const struct protect_options *o, char *state,
	size_t size, struct error *err)
{
	struct ec2_image_list list = {0};

	if (ec2_protect_image(aws, ami, !o->off, o->cooldown, o->dry_run, err) < 0 ||
		own_image(aws, ami, &list, err) < 0)
		return -1;
	snprintf(state, size, "%s", list.items[0].protection);
	ec2_image_list_release(&list);
	if (o->off && !o->dry_run && state[0] && strcmp(state, "disabled"))
		log_warn("%s: the protection is off only after its cooldown of 24 hours (%s)", ami, state);
	return 0;
}

static int check(struct aws *aws, const char *ami, struct error *err)
{
	struct ec2_image_list list = {0};
	int ret = own_image(aws, ami, &list, err);

	ec2_image_list_release(&list);
	return ret;
}

static int add(struct context *ctx, const char *ami, const char *state, struct json *doc,
	struct buf *out, struct error *err)
{
	return ctx->opts.json ? json_set_str(doc, ami, state, err) :
				buf_addf(out, err, "%s %s\n", ami, state);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct protect_options *o = popts;
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct aws *aws;
	char state[64];

	if (!doc)
		return -1;
	if (o->cooldown && o->off)
		return error_set(err, ERROR_USAGE, 0,
			"--cooldown is given with the protection, not with --off");
	aws = context_aws(ctx, err);
	if (!aws)
		return -1;
	/* All are checked before the first is touched. */
	for (size_t i = 0; i < args->nr; i++)
		if (check(aws, args->items[i], err) < 0)
			return -1;
	for (size_t i = 0; i < args->nr; i++)
		if (protect(aws, args->items[i], o, state, sizeof(state), err) < 0 ||
			add(ctx, args->items[i], state, doc, &out, err) < 0) {
			if (i && !o->dry_run)
				error_wrap(err, "%zu of %zu AMIs are done", i, args->nr);
			return -1;
		}
	if (ctx->opts.json && json_write(doc, true, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

const struct command cmd_protect = {
	.name = "protect",
	.args = "AMI…",
	.summary = "guard AMIs against deregistration",
	.description =
		"Guards own AMIs against deregistration, or takes the guard off. Prints id and state.",
	.options = options,
	.options_size = sizeof(struct protect_options),
	.min_args = 1,
	.max_args = 1000,
	.run = run,
};
