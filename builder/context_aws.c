/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to a region: AWS itself by options, environment and profile, or the local region
 * over a folder. The same client code talks to both. Credentials and settings are looked up once, a
 * client is made for each region that is asked for.
 */
#include "builder/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct client {
	struct aws *aws; /* knows its region's name */
	struct client *next;
};

struct connection {
	struct aws_provider *provider; /* shared by all clients */
	struct aws_settings settings;  /* empty with --local */
	struct region *region;         /* with --local, when this process serves it */
	char *endpoint;                /* of all services and regions; NULL: by settings */
	char *instance_region;         /* of the machine we run on, when nobody names one */
	const char *region_name;       /* the chosen one; borrowed from options, settings … */
	struct client *clients;
};

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
 * Serves the folder in this process, or finds the process that does.
 */
static int local_endpoint(struct context *ctx, struct connection *c, const struct region_opts *ropts,
	struct error *err)
{
	c->region = region_start(ctx->opts.local, ropts, err);
	if (c->region) {
		c->endpoint = buf_strf(err, "%s", region_endpoint(c->region));
		return c->endpoint ? 0 : -1;
	}
	if (err->errnum != EAGAIN)
		return -1;
	error_clear(err);
	if (region_endpoint_of(ctx->opts.local, &c->endpoint, err) < 0)
		return -1;
	if (!c->endpoint)
		return error_set(err, ERROR_IO, 0,
			"another process holds '%s' but says no endpoint: try again",
			ctx->opts.local);
	log_debug("the region in '%s' is served at %s", ctx->opts.local, c->endpoint);
	return 0;
}

static int connect_local(struct context *ctx, struct connection *c, struct error *err)
{
	struct region_opts ropts = context_region_opts(ctx);
	struct aws_creds creds = {0};

	if (local_endpoint(ctx, c, &ropts, err) < 0 ||
		region_creds(ctx->opts.local, &ropts, &creds, err) < 0)
		return -1;
	c->provider = aws_provider_fixed(&creds, err);
	aws_creds_release(&creds);
	c->region_name = ctx->opts.region;
	if (!c->region_name)
		c->region_name = c->region ? region_name(c->region) : "us-east-1";
	return c->provider ? 0 : -1;
}

static struct http_opts http_opts(const struct context *ctx, const struct connection *c)
{
	return (struct http_opts){
		.user_agent = "amiwright/" AMIWRIGHT_VERSION,
		.ca_bundle = c->settings.ca_bundle,
		.proxy_http = c->settings.proxy_http,
		.proxy_https = c->settings.proxy_https,
		.no_proxy = c->settings.no_proxy,
		/* Who writes http:// on the command line means it. */
		.allow_plain_http = ctx->opts.endpoint_url != NULL,
	};
}

static int choose_region(struct context *ctx, struct connection *c,
	const struct aws_provider_opts *opts, struct error *err)
{
	c->region_name = ctx->opts.region ? ctx->opts.region : c->settings.region;
	if (c->region_name)
		return 0;
	if (aws_region_of_instance(opts, &c->instance_region, err) < 0)
		return -1;
	c->region_name = c->instance_region;
	if (c->region_name)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"no region: give --region, AWS_REGION or a profile with one (or --local DIR)");
}

static int connect_aws(struct context *ctx, struct connection *c, struct error *err)
{
	struct aws_provider_opts opts = {
		.env = &ctx->env,
		.clock = &ctx->clock,
		.profile = ctx->opts.profile,
		.settings = &c->settings,
		.cancelled = context_cancelled,
	};

	if (aws_settings_load(&c->settings, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	opts.http = http_opts(ctx, c);
	/* --endpoint-url is for the work, not for where credentials come from: as the AWS command. */
	opts.http.allow_plain_http = false;
	if (choose_region(ctx, c, &opts, err) < 0)
		return -1;
	opts.region = c->region_name;
	c->provider = aws_provider_new(&opts, err);
	if (!c->provider || aws_provider_load(c->provider, err) < 0)
		return -1;
	log_debug("region %s", c->region_name);
	if (!ctx->opts.endpoint_url)
		return 0;
	c->endpoint = buf_strf(err, "%s", ctx->opts.endpoint_url);
	return c->endpoint ? 0 : -1;
}

static void disconnect(struct context *ctx)
{
	struct connection *c = ctx->connection;
	struct client *client;

	while ((client = c->clients) != NULL) {
		c->clients = client->next;
		aws_free(client->aws);
		free(client);
	}
	region_stop(c->region);
	aws_provider_free(c->provider);
	aws_settings_release(&c->settings);
	free(c->endpoint);
	free(c->instance_region);
	free(c);
	ctx->connection = NULL;
	ctx->disconnect = NULL;
	ctx->aws = NULL;
}

static int connect_once(struct context *ctx, struct error *err)
{
	if (ctx->connection)
		return 0;
	ctx->connection = calloc(1, sizeof(*ctx->connection));
	if (!ctx->connection)
		return error_nomem(err, "the connection");
	ctx->disconnect = disconnect;
	if ((ctx->opts.local ? connect_local(ctx, ctx->connection, err) :
			       connect_aws(ctx, ctx->connection, err)) == 0)
		return 0;
	disconnect(ctx);
	return -1;
}

static struct aws *make_client(struct context *ctx, const char *region, struct error *err)
{
	const struct connection *c = ctx->connection;
	struct aws_opts opts = {
		.region = region,
		.provider = c->provider,
		.clock = &ctx->clock,
		.cancelled = context_cancelled,
		.fips = c->settings.fips,
		.dualstack = c->settings.dualstack,
		.s3_hosts = c->settings.s3_hosts,
		.max_attempts = (unsigned)c->settings.max_attempts,
		.http = http_opts(ctx, c),
	};

	if (ctx->opts.max_attempts)
		opts.max_attempts = (unsigned)ctx->opts.max_attempts;
	for (int i = 0; i < AWS_SERVICES; i++)
		opts.endpoint[i] = c->endpoint ? c->endpoint : c->settings.endpoint[i];
	return aws_new(&opts, err);
}

struct aws *context_aws_in(struct context *ctx, const char *region, struct error *err)
{
	struct client *client;

	if (connect_once(ctx, err) < 0)
		return NULL;
	if (!region)
		region = ctx->connection->region_name;
	for (client = ctx->connection->clients; client; client = client->next) {
		if (strcmp(aws_region(client->aws), region) == 0)
			return client->aws;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the AWS client");
	client->aws = make_client(ctx, region, err);
	if (!client->aws) {
		free(client);
		return NULL;
	}
	client->next = ctx->connection->clients;
	ctx->connection->clients = client;
	return client->aws;
}

struct aws *context_aws(struct context *ctx, struct error *err)
{
	if (!ctx->aws)
		ctx->aws = context_aws_in(ctx, NULL, err);
	return ctx->aws;
}

static struct aws *s3_client(void *arg, const char *region, struct error *err)
{
	struct context *ctx = arg;

	return region ? context_aws_in(ctx, region, err) : context_aws(ctx, err);
}

struct s3_regions context_s3_regions(struct context *ctx)
{
	return (struct s3_regions){.client = s3_client, .arg = ctx};
}
