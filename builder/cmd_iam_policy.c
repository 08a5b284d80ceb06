/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright iam-policy`: what an account must allow so that a spec can be published. */
#include "builder/command.h"

#include "builder/iam_policy.h"

static int print_policy(struct context *ctx, const struct spec *s, struct error *err)
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
	else
		doc = iam_policy(s, region, err);
	if (doc && !json_write(doc, true, &out, err))
		ret = context_print(&out, err);
	aws_settings_release(&settings);
	return ret;
}

static int run(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	struct spec s = {0};
	int ret = spec_read(&s, args->items[0], &ctx->diag, err);

	(void)opts;
	if (!ret)
		ret = print_policy(ctx, &s, err);
	spec_release(&s);
	return ret;
}

static const struct options_def options[] = {{0}};

const struct command cmd_iam_policy = {
	.name = "iam-policy",
	.args = "SPEC",
	.summary = "the least IAM policy that publishing a spec needs",
	.description =
		"Prints an identity policy as JSON: the calls that 'publish' makes for this spec, in the\n"
		"regions that it names. Asks AWS nothing and needs no credentials.",
	.options = options,
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
