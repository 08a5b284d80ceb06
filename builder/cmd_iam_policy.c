/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright iam-policy`: what an account must allow to publish a spec, or to send a bundle or an image to S3. */
#include "builder/command.h"

#include <string.h>

#include "builder/iam_policy.h"
#include "builder/iam_policy_s3.h"

struct policy_options {
	const char *bundle, *object;
	bool clean_up;
};

#define FIELD(field) offsetof(struct policy_options, field)

static const struct options_def options[] = {
	{"bundle", 0, OPTIONS_TEXT, FIELD(bundle), "S3URL",
		"instead of a spec: bundles below s3://BUCKET/PREFIX, to S3, back and registered", 0, 0, NULL},
	{"object", 0, OPTIONS_TEXT, FIELD(object), "S3URL",
		"instead of a spec: 'convert' to the object s3://BUCKET/KEY", 0, 0, NULL},
	{"cleanup", 0, OPTIONS_FLAG, FIELD(clean_up), NULL,
		"also what 'publish --cleanup' needs; with --bundle to replace and delete bundles", 0, 0, NULL},
	{0},
};

static int find_region(const struct context *ctx, const struct aws_settings *settings, const char **region,
	struct error *err)
{
	*region = ctx->opts.region ? ctx->opts.region : settings->region;
	if (!*region)
		return error_set(err, ERROR_USAGE, 0, "no region: give --region, AWS_REGION or a profile with one");
	return spec_is_region(*region) ? 0 :
		error_set(err, ERROR_USAGE, 0, "'%s' is no AWS region, which looks like eu-west-1", *region);
}

static struct json *policy_of_spec(struct context *ctx, const char *path, const char *region, bool clean_up,
	struct error *err)
{
	struct spec s = {0};
	struct json *doc = spec_read(&s, path, &ctx->diag, err) < 0 ? NULL : iam_policy(&s, region, clean_up, err);

	spec_release(&s);
	return doc;
}

static struct json *policy_of_url(const struct policy_options *o, const char *region, struct error *err)
{
	enum iam_policy_s3 kind = o->object ? IAM_POLICY_OBJECT : IAM_POLICY_BUNDLE;
	const char *text = o->object ? o->object : o->bundle;
	struct s3_url url;
	struct json *doc = NULL;

	if (s3_url_parse(text, &url, err) == 0 && o->object && !url.key[0])
		error_set(err, ERROR_USAGE, 0, "'%s' names no object: use s3://BUCKET/PATH/NAME", text);
	else if (url.key)
		doc = iam_policy_s3(kind, &url, region, o->clean_up, err);
	s3_url_release(&url);
	return doc;
}

static int print_policy(struct context *ctx, const struct policy_options *o, const char *path, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct aws_settings settings = {0};
	const char *region;
	int ret = -1;

	if (aws_settings_load(&settings, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	if (find_region(ctx, &settings, &region, err) == 0)
		doc = path ? policy_of_spec(ctx, path, region, o->clean_up, err) : policy_of_url(o, region, err);
	if (doc)
		ret = context_print_json(doc, err);
	aws_settings_release(&settings);
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct policy_options *o = popts;
	int given = (args->nr > 0) + (o->bundle != NULL) + (o->object != NULL);

	if (given != 1)
		return error_set(err, ERROR_USAGE, 0,
			"'iam-policy' needs one of a spec, --bundle S3URL and --object S3URL");
	if (o->object && o->clean_up)
		return error_set(err, ERROR_USAGE, 0, "--cleanup goes with a spec or --bundle");
	return print_policy(ctx, o, args->nr ? args->items[0] : NULL, err);
}

const struct command cmd_iam_policy = {
	.name = "iam-policy",
	.args = "[SPEC]",
	.summary = "the least IAM policy that publishing a spec needs",
	.description =
		"Prints an identity policy as JSON: the calls that 'publish' makes for this spec, in the\n"
		"regions that it names, or with --bundle or --object those of what goes to S3. Asks AWS\n"
		"nothing and needs no credentials.",
	.options = options,
	.options_size = sizeof(struct policy_options),
	.max_args = 1,
	.run = run,
};
