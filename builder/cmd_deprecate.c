/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright deprecate`: from when on an AMI is no longer to be chosen. */
#include "builder/command.h"

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/duration.h"
#include "builder/own_image.h"
#include "uploader/ec2_retire.h"

enum { DAY_S = 86400 };

struct deprecate_options {
	const char *at, *in;
	bool cancel, dry_run;
};

#define FIELD(field) offsetof(struct deprecate_options, field)

static const struct options_def options[] = {
	{"at", 0, OPTIONS_TEXT, FIELD(at), "TIME", "from then on: 2027-01-31 or 2027-01-31T12:00:00Z", 0,
		0, NULL},
	{"in", 0, OPTIONS_TEXT, FIELD(in), "SPAN", "so long from now: 36h, 90d, 6w, 1y", 0, 0, NULL},
	{"cancel", 0, OPTIONS_FLAG, FIELD(cancel), NULL, "not any more", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check, ask EC2 whether it may be done, change nothing", 0, 0, NULL},
	{0},
};

static int parse_time(const struct deprecate_options *o, int64_t now, int64_t *at, struct error *err)
{
	int64_t span;

	*at = 0;
	if (!!o->at + !!o->in + o->cancel != 1)
		return error_set(err, ERROR_USAGE, 0, "'deprecate' needs one of --at, --in and --cancel");
	if (o->cancel)
		return 0;
	if (o->at && duration_parse_date(o->at, at, err) < 0)
		return error_wrap(err, "--at");
	if (o->in) {
		if (duration_parse(o->in, &span, err) < 0)
			return error_wrap(err, "--in");
		*at = now + span;
	}
	/* EC2 takes whole minutes; rounded down it would be before the time that was asked for. */
	*at = (*at + 59) / 60 * 60;
	if (*at <= now)
		return error_set(err, ERROR_USAGE, 0, "--at: '%s' is not in the future", o->at);
	if (*at > now + INT64_C(3652) * DAY_S)
		return error_set(err, ERROR_USAGE, 0, "EC2 deprecates within ten years from now, no later");
	return 0;
}

/* A public AMI's deprecation is at most two years after its creation. */
static int check_public(const struct ec2_image *image, int64_t at, struct error *err)
{
	int64_t created;

	if (!image->is_public || !at || num_parse_time(image->creation_date, &created, NULL) < 0 ||
		at <= created + INT64_C(731) * DAY_S)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"%s is public: it is deprecated two years after its creation (%.10s) at the latest",
		image->id, image->creation_date);
}

static int check(struct aws *aws, const char *ami, int64_t at, struct error *err)
{
	struct ec2_image_list list = {0};
	int ret = own_image(aws, ami, &list, err);

	if (!ret)
		ret = check_public(&list.items[0], at, err);
	ec2_image_list_release(&list);
	return ret;
}

static int print(struct context *ctx, const struct options_args *args, int64_t at, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err), *doc = json_new_object(err);
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	char when[NUM_TIME_TEXT];

	num_format_time(when, at);
	for (size_t i = 0; i < args->nr; i++)
		if (ctx->opts.json ? json_append_str(list, args->items[i], err) < 0 :
				     buf_addf(&out, err, "%s %s\n", args->items[i], at ? when : "never") < 0)
			return -1;
	if (ctx->opts.json && (json_set(doc, "images", steal_ptr(&list), err) < 0 ||
				      json_set_str(doc, "deprecation", at ? when : NULL, err) < 0 ||
				      json_write(doc, true, &out, err) < 0))
		return -1;
	return context_print(&out, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct deprecate_options *o = popts;
	struct aws *aws;
	int64_t at;

	if (parse_time(o, context_wall_s(), &at, err) < 0)
		return -1;
	aws = context_aws(ctx, err);
	if (!aws)
		return -1;
	/* All are checked before the first is touched. */
	for (size_t i = 0; i < args->nr; i++)
		if (check(aws, args->items[i], at, err) < 0)
			return -1;
	for (size_t i = 0; i < args->nr; i++)
		if (ec2_deprecate_image(aws, args->items[i], at, o->dry_run, err) < 0) {
			if (i && !o->dry_run)
				error_wrap(err, "%zu of %zu AMIs are done", i, args->nr);
			return -1;
		}
	return print(ctx, args, at, err);
}

const struct command cmd_deprecate = {
	.name = "deprecate",
	.args = "AMI…",
	.summary = "say from when on AMIs are not to be used",
	.description =
		"Gives own AMIs a date from which on others do not find them in lists any more; who\n"
		"knows the id can still launch them. Prints id and time.",
	.options = options,
	.options_size = sizeof(struct deprecate_options),
	.min_args = 1,
	.max_args = 1000,
	.run = run,
};
