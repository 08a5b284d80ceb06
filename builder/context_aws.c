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
	struct aws_creds creds;
	struct aws_settings settings; /* without --local */
	struct region *region;        /* with --local, when this process serves it */
	char *endpoint;               /* of all services and regions; NULL: by settings */
	const char *region_name;      /* the chosen one; borrowed from options, settings or region */
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

	if (local_endpoint(ctx, c, &ropts, err) < 0 ||
		region_creds(ctx->opts.local, &ropts, &c->creds, err) < 0)
		return -1;
	c->region_name = ctx->opts.region;
	if (!c->region_name)
		c->region_name = c->region ? region_name(c->region) : "us-east-1";
	return 0;
}

static int connect_aws(struct context *ctx, struct connection *c, struct error *err)
{
	const char *url = ctx->opts.endpoint_url;

	if (aws_settings_load(&c->settings, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	c->region_name = ctx->opts.region ? ctx->opts.region : c->settings.region;
	if (!c->region_name)
		return error_set(err, ERROR_USAGE, 0,
			"no region: give --region, AWS_REGION or a profile with one (or --local DIR)");
	if (aws_creds_load(&c->creds, &ctx->env, ctx->opts.profile, err) < 0)
		return -1;
	log_debug("credentials from %s, region %s", c->creds.origin, c->region_name);
	if (!url)
		return 0;
	c->endpoint = buf_strf(err, "%s", url);
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
	aws_creds_release(&c->creds);
	aws_settings_release(&c->settings);
	free(c->endpoint);
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
		.creds = c->creds,
		.clock = &ctx->clock,
		.cancelled = context_cancelled,
		.max_attempts = (unsigned)c->settings.max_attempts,
		.http = {
			.user_agent = "amiwright/" AMIWRIGHT_VERSION,
			.ca_bundle = c->settings.ca_bundle,
			/* Who writes http:// on the command line means it. */
			.allow_plain_http = ctx->opts.endpoint_url != NULL,
		},
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
