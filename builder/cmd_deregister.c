/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright deregister`: the end of AMIs. */
#include "builder/command.h"

#include <stdlib.h>

#include "base/log.h"
#include "builder/own_image.h"
#include "builder/retire.h"

struct deregister_options {
	bool snapshots, used, dry_run;
};

#define FIELD(field) offsetof(struct deregister_options, field)

static const struct options_def options[] = {
	{"delete-snapshots", 0, OPTIONS_FLAG, FIELD(snapshots), NULL,
		"delete their snapshots too, but for those that other AMIs have", 0, 0, NULL},
	{"include-used", 0, OPTIONS_FLAG, FIELD(used), NULL, "also when instances of it are there", 0, 0,
		NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check, ask EC2 whether it may be done, change nothing", 0, 0, NULL},
	{0},
};

struct job {
	struct ec2_image_list image; /* one */
	struct retire_result result;
};

static int check(struct aws *aws, const char *ami, const struct retire_opts *o, struct job *job,
	struct error *err)
{
	char why[RETIRE_WHY_SIZE];

	if (own_image(aws, ami, &job->image, err) < 0 ||
		retire_check(aws, &job->image.items[0], o, why, err) < 0)
		return -1;
	return why[0] ? error_set(err, ERROR_POLICY, 0, "%s %s", ami, why) : 0;
}

static int add_text(const struct job *job, bool dry_run, struct buf *out, struct error *err)
{
	const struct retire_result *r = &job->result;
	const char *ami = job->image.items[0].id;

	if (!r->deregistered && !dry_run)
		return 0;
	if (buf_addf(out, err, "%s\n", ami) < 0)
		return -1;
	for (size_t i = 0; i < r->nr_snapshots; i++) {
		const struct retire_snapshot *s = &r->snapshots[i];

		if (!s->deleted)
			log_info("%s stays: %s", s->id, s->why);
		else if (buf_addf(out, err, "%s\n", s->id) < 0)
			return -1;
	}
	return 0;
}

static struct json *job_json(const struct job *job, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || json_set_str(out, "ami", job->image.items[0].id, err) < 0 ||
		json_set_str(out, "name", job->image.items[0].name, err) < 0 ||
		json_set_bool(out, "deregistered", job->result.deregistered, err) < 0 ||
		json_set(out, "snapshots", retire_result_json(&job->result, err), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static int print(struct context *ctx, const struct job *jobs, size_t nr, bool dry_run,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (!doc || !list)
		return -1;
	for (size_t i = 0; i < nr; i++)
		if (ctx->opts.json ? json_append(list, job_json(&jobs[i], err), err) < 0 :
				     add_text(&jobs[i], dry_run, &out, err) < 0)
			return -1;
	if (ctx->opts.json && (json_set(doc, "images", steal_ptr(&list), err) < 0 ||
				      json_write(doc, true, &out, err) < 0))
		return -1;
	return out.len ? context_print(&out, err) : 0;
}

/* All are checked before the first is touched. */
static int work(struct context *ctx, const struct retire_opts *o, const struct options_args *args,
	struct job *jobs, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct aws *aws = context_aws(ctx, err);
	int ret = aws ? 0 : -1;

	for (size_t i = 0; i < args->nr && !ret; i++)
		ret = check(aws, args->items[i], o, &jobs[i], err);
	if (ret)
		return ret;
	for (size_t i = 0; i < args->nr && !ret; i++)
		ret = retire_image(aws, &jobs[i].image.items[0], o, &jobs[i].result, err);
	/* What was done is part of the result, also when the next one failed. */
	if (print(ctx, jobs, args->nr, o->dry_run && !ret, ret ? &ignored : err) < 0)
		return -1;
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct deregister_options *o = popts;
	struct retire_opts opts = {.snapshots = o->snapshots, .shared = true, .used = o->used,
		.dry_run = o->dry_run};
	CLEANUP_FREE struct job *jobs = calloc(args->nr + 1, sizeof(*jobs));
	int ret;

	if (!jobs)
		return error_nomem(err, "the images");
	ret = work(ctx, &opts, args, jobs, err);
	for (size_t i = 0; i < args->nr; i++) {
		ec2_image_list_release(&jobs[i].image);
		retire_result_release(&jobs[i].result);
	}
	return ret;
}

const struct command cmd_deregister = {
	.name = "deregister",
	.args = "AMI…",
	.summary = "remove AMIs, with their snapshots",
	.description =
		"Deregisters own AMIs and, when asked, deletes their snapshots; prints the ids of all\n"
		"that is gone. AMIs that are protected, or that instances were made from, are refused\n"
		"before anything is changed (exit status 3). Launch templates and Auto Scaling groups\n"
		"are not looked at.",
	.options = options,
	.options_size = sizeof(struct deregister_options),
	.min_args = 1,
	.max_args = 1000,
	.run = run,
};
