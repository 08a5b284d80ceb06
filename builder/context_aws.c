/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to a region: AWS itself by options, environment and profile, or the local region
 * over a folder. The same client code talks to both.
 */
#include "builder/context.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

static void aws_creds_cleanup(struct aws_creds *c)
{
	aws_creds_release(c);
}

static void aws_settings_cleanup(struct aws_settings *s)
{
	aws_settings_release(s);
}

static int make_client(struct context *ctx, const struct aws_opts *wanted, struct error *err)
{
	struct aws_opts opts = *wanted;

	if (ctx->opts.max_attempts)
		opts.max_attempts = (unsigned)ctx->opts.max_attempts;
	opts.clock = &ctx->clock;
	opts.cancelled = context_cancelled;
	opts.http.user_agent = "amiwright/" AMIWRIGHT_VERSION;
	ctx->aws = aws_new(&opts, err);
	return ctx->aws ? 0 : -1;
}

struct region_opts context_region_opts(const struct context *ctx)
{
	struct region_opts opts = {
		.name = ctx->opts.region,
		.wall_s = context_wall_s,
		.random = context_random,
	};

	return opts;
}

/*
 * Serves the folder in this process, or finds the process that does. *endpoint is the caller's to
 * free.
 */
static int local_endpoint(struct context *ctx, const struct region_opts *ropts, char **endpoint,
	struct error *err)
{
	ctx->region = region_start(ctx->opts.local, ropts, err);
	if (ctx->region) {
		*endpoint = buf_strf(err, "%s", region_endpoint(ctx->region));
		return *endpoint ? 0 : -1;
	}
	if (err->errnum != EAGAIN)
		return -1;
	error_clear(err);
	if (region_endpoint_of(ctx->opts.local, endpoint, err) < 0)
		return -1;
	if (!*endpoint)
		return error_set(err, ERROR_IO, 0,
			"another process holds '%s' but says no endpoint: try again",
			ctx->opts.local);
	log_debug("the region in '%s' is served at %s", ctx->opts.local, *endpoint);
	return 0;
}

static int connect_local(struct context *ctx, struct error *err)
{
	struct region_opts ropts = context_region_opts(ctx);
	CLEANUP(aws_creds_cleanup) struct aws_creds creds = {0};
	CLEANUP_FREE char *endpoint = NULL;
	struct aws_opts opts = {0};

	if (local_endpoint(ctx, &ropts, &endpoint, err) < 0 ||
		region_creds(ctx->opts.local, &ropts, &creds, err) < 0)
		return -1;
	opts.region = ctx->opts.region;
	if (!opts.region)
		opts.region = ctx->region ? region_name(ctx->region) : "us-east-1";
	opts.endpoint[AWS_EBS] = endpoint;
	opts.endpoint[AWS_EC2] = endpoint;
	opts.creds = creds;
	return make_client(ctx, &opts, err);
}

static int connect_aws(struct context *ctx, struct error *err)
{
	CLEANUP(aws_settings_cleanup) struct aws_settings settings = {0};
	CLEANUP(aws_creds_cleanup) struct aws_creds creds = {0};
	const char *url = ctx->opts.endpoint_url;
	struct aws_opts opts = {0};

	if (aws_settings_load(&settings, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	opts.region = ctx->opts.region ? ctx->opts.region : settings.region;
	if (!opts.region)
		return error_set(err, ERROR_USAGE, 0,
			"no region: give --region, AWS_REGION or a profile with one (or --local DIR)");
	if (aws_creds_load(&creds, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	log_debug("credentials from %s, region %s", creds.origin, opts.region);
	opts.creds = creds;
	opts.endpoint[AWS_EBS] = url ? url : settings.endpoint_ebs;
	opts.endpoint[AWS_EC2] = url ? url : settings.endpoint_ec2;
	opts.max_attempts = settings.max_attempts > 0 ? (unsigned)settings.max_attempts : 0;
	opts.http.ca_bundle = settings.ca_bundle;
	/* Who writes http:// on the command line means it. */
	opts.http.allow_plain_http = url != NULL;
	return make_client(ctx, &opts, err);
}

static void disconnect(struct context *ctx)
{
	aws_free(ctx->aws);
	ctx->aws = NULL;
	region_stop(ctx->region);
	ctx->region = NULL;
}

struct aws *context_aws(struct context *ctx, struct error *err)
{
	if (ctx->aws)
		return ctx->aws;
	ctx->disconnect = disconnect;
	if ((ctx->opts.local ? connect_local(ctx, err) : connect_aws(ctx, err)) < 0)
		return NULL;
	return ctx->aws;
}
