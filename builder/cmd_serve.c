/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright serve`: the local region as a server for any AWS client. */
#include "builder/command.h"

#include <errno.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "uploader/region/volume.h"

struct serve_options {
	const char *listen, *faults, *quotas, *volume, *output;
	uint64_t port, delay, accounts, copy_seconds;
};

#define FIELD(field) offsetof(struct serve_options, field)

static const struct options_def options[] = {
	{"listen", 0, OPTIONS_TEXT, FIELD(listen), "ADDRESS", "address to listen at (default: 127.0.0.1)", 0,
		0, NULL},
	{"port", 0, OPTIONS_NUMBER, FIELD(port), "N", "port (default: a free one)", 1, 65535, NULL},
	{"complete-delay", 0, OPTIONS_NUMBER, FIELD(delay), "MS",
		"milliseconds that a snapshot stays pending after it was completed (default: 0)", 0, 86400000,
		NULL},
	{"accounts", 0, OPTIONS_NUMBER, FIELD(accounts), "N",
		"accounts that there are at least (default: those of DIR, two in a new one)", 1, 10, NULL},
	{"copy-seconds", 0, OPTIONS_NUMBER, FIELD(copy_seconds), "N",
		"seconds that copies of images and snapshots take (default: 0)", 0, 86400, NULL},
	{"faults", 0, OPTIONS_TEXT, FIELD(faults), "SPEC",
		"trouble to rehearse, such as throttle=10%,slow=1s; also error, reset, truncate, expire, "
		"skew, seed", 0, 0, NULL},
	{"quota", 0, OPTIONS_TEXT, FIELD(quotas), "SPEC",
		"requests a second, by kind: put=1000,get=1000,list=50,start=10,complete=10,ec2=100,s3=100",
		0, 0, NULL},
	{"volume", 0, OPTIONS_TEXT, FIELD(volume), "SNAP",
		"serve nothing: write the volume that a snapshot makes, as an instance would read it", 0, 0, NULL},
	{"output", 'o', OPTIONS_TEXT, FIELD(output), "FILE", "where --volume writes to", 0, 0, NULL},
	{0},
};

static int say_where(struct context *ctx, const struct region *region, const char *dir,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP_FREE char *creds = file_join(dir, "credentials", err);
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!creds || !doc)
		return -1;
	if (ctx->opts.json ?
			(json_set_str(doc, "endpoint", region_endpoint(region), err) < 0 ||
				json_set_str(doc, "region", region_name(region), err) < 0 ||
				json_set_str(doc, "credentials", creds, err) < 0 ||
				json_write(doc, true, &out, err) < 0) :
			buf_addf(&out, err, "%s\n%s\n", region_endpoint(region), creds) < 0)
		return -1;
	if (context_print(&out, err) < 0)
		return -1;
	log_info("region %s over '%s'; for another client: AWS_SHARED_CREDENTIALS_FILE=%s "
		 "AWS_REGION=%s AWS_ENDPOINT_URL=%s; ctrl-C ends it", region_name(region), dir, creds,
		region_name(region), region_endpoint(region));
	return 0;
}

static int write_volume(struct context *ctx, const char *dir, const struct serve_options *o,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (!o->output)
		return error_set(err, ERROR_USAGE, 0, "--volume needs --output FILE");
	if (volume_export(dir, ctx->opts.region ? ctx->opts.region : "us-east-1", o->volume, o->output,
		err) < 0 || buf_addf(&out, err, "%s\n", o->output) < 0)
		return -1;
	return context_print(&out, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct serve_options *o = popts;
	struct region_opts ropts = context_region_opts(ctx);
	CLEANUP(region_cleanup) struct region *region = NULL;

	if (ctx->opts.local || ctx->opts.endpoint_url || ctx->opts.profile)
		return error_set(err, ERROR_USAGE, 0,
			"'serve' is the region itself: leave out --local, --endpoint-url and --profile");
	if (o->volume)
		return write_volume(ctx, args->items[0], o, err);
	if (o->output)
		return error_set(err, ERROR_USAGE, 0, "--output goes with --volume SNAP");
	ropts.listen = o->listen;
	ropts.port = (uint16_t)o->port;
	ropts.complete_delay_ms = (unsigned)o->delay;
	ropts.copy_seconds = (unsigned)o->copy_seconds;
	ropts.faults = o->faults;
	ropts.quotas = o->quotas;
	ropts.accounts = (unsigned)o->accounts;
	ropts.threads = (unsigned)ctx->opts.workers;
	region = region_start(args->items[0], &ropts, err);
	if (!region && err->errnum == EAGAIN)
		return error_set(err, ERROR_IO, 0, "'%s' is served by another process already",
			args->items[0]);
	if (!region || say_where(ctx, region, args->items[0], err) < 0)
		return -1;
	context_wait_for_signal();
	log_info("ending");
	return 0;
}

const struct command cmd_serve = {
	.name = "serve",
	.args = "DIR",
	.summary = "run the local region for any AWS client",
	.description =
		"Serves the EBS direct APIs, EC2's image calls, S3, STS and KMS over a folder until\n"
		"SIGINT or SIGTERM.\n"
		"A call is for the Region that it was signed for, and from the account whose key signed\n"
		"it.\n"
		"Prints two lines: the endpoint's URL, and the credentials file to use with it.",
	.options = options,
	.options_size = sizeof(struct serve_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
