/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright iam-policy`: what an account must allow so that a spec can be published. */
#include "builder/command.h"

#include "builder/iam_policy.h"

struct policy_options {
	bool clean_up;
};

static const struct options_def options[] = {
	{"cleanup", 0, OPTIONS_FLAG, offsetof(struct policy_options, clean_up), NULL,
		"also what 'publish --cleanup' needs", 0, 0, NULL},
	{0},
};

static int print_policy(struct context *ctx, const struct spec *s, bool clean_up, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct aws_settings settings = {0};
	const char *region = ctx->opts.region;
	int ret = -1;

	if (aws_settings_load(&settings, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	if (!region)
		region = settings.region;
	if (!region)
		error_set(err, ERROR_USAGE, 0,
			"no region: give --region, AWS_REGION or a profile with one");
	else if (!spec_is_region(region))
		error_set(err, ERROR_USAGE, 0, "'%s' is no AWS region, which looks like eu-west-1", region);
	else
		doc = iam_policy(s, region, clean_up, err);
	if (doc && !json_write(doc, true, &out, err))
		ret = context_print(&out, err);
	aws_settings_release(&settings);
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct policy_options *opts = popts;
	struct spec s = {0};
	int ret = spec_read(&s, args->items[0], &ctx->diag, err);

	if (!ret)
		ret = print_policy(ctx, &s, opts->clean_up, err);
	spec_release(&s);
	return ret;
}

const struct command cmd_iam_policy = {
	.name = "iam-policy",
	.args = "SPEC",
	.summary = "the least IAM policy that publishing a spec needs",
	.description =
		"Prints an identity policy as JSON: the calls that 'publish' makes for this spec, in the\n"
		"regions that it names. Asks AWS nothing and needs no credentials.",
	.options = options,
	.options_size = sizeof(struct policy_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
