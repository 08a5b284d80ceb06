/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright deregister`: the end of AMIs. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

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
	{"include-used", 0, OPTIONS_FLAG, FIELD(used), NULL,
		"also when instances of it are there, or launch templates name it", 0, 0, NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check, ask EC2 whether it may be done, change nothing", 0, 0, NULL},
	{0},
};

struct job {
	const char *ami;
	bool repeats;                /* was named before */
	struct ec2_image_list image; /* one; none when it is gone and only its snapshots are there */
	struct retire_result result;
};

/* An earlier run may have been cut off between the AMI and its snapshots. */
static int check_rest(struct aws *aws, const struct retire_opts *o, struct job *job, struct error *err)
{
	struct error why = *err;

	if (!o->snapshots || !retire_is_gone(&why))
		return -1;
	if (retire_find_rest(aws, job->ami, o, &job->result, err) < 0)
		return -1;
	if (!job->result.nr_snapshots) {
		*err = why;
		return -1;
	}
	error_clear(err);
	log_info("%s is deregistered already; what it left goes", job->ami);
	return 0;
}

static int check(struct aws *aws, const struct retire_opts *o, struct job *job, struct error *err)
{
	char why[RETIRE_WHY_SIZE];

	if (own_image(aws, job->ami, &job->image, err) < 0)
		return check_rest(aws, o, job, err);
	if (retire_check(aws, &job->image.items[0], o, why, err) < 0)
		return -1;
	return why[0] ? error_set(err, ERROR_POLICY, 0, "%s %s", job->ami, why) : 0;
}

/* EC2 leaves a bundle where it is, and S3 goes on charging for it. */
static void say_bundle(const struct job *job)
{
	const struct ec2_image *image = job->image.items;

	if (!job->image.nr || strcmp(image->root_type, "instance-store") || job->result.image != RETIRE_DONE)
		return;
	log_info("the bundle of %s stays in S3: 'amiwright delete-bundle s3://%s' removes it", image->id,
		image->location);
}

static int retire(struct aws *aws, const struct retire_opts *o, struct job *job, struct error *err)
{
	if (!job->image.nr)
		return retire_rest(aws, job->ami, o, &job->result, err);
	return retire_image(aws, &job->image.items[0], o, &job->result, err);
}

static int add_text(const struct job *job, bool dry_run, struct buf *out, struct error *err)
{
	const struct retire_result *r = &job->result;

	if (r->image != RETIRE_DONE && !dry_run)
		return 0;
	if (job->image.nr && buf_addf(out, err, "%s\n", job->ami) < 0)
		return -1;
	for (size_t i = 0; i < r->nr_snapshots; i++) {
		const struct retire_snapshot *s = &r->snapshots[i];

		if (s->fate != RETIRE_DONE)
			log_info("%s %s: %s", s->id, s->fate == RETIRE_UNKNOWN ? "may stay" : "stays", s->why);
		else if (buf_addf(out, err, "%s\n", s->id) < 0)
			return -1;
	}
	return 0;
}

static struct json *job_json(const struct job *job, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || json_set_str(out, "ami", job->ami, err) < 0 ||
		json_set_str(out, "name", job->image.nr ? job->image.items[0].name : NULL, err) < 0 ||
		json_set_bool(out, "deregistered", job->result.image == RETIRE_DONE, err) < 0 ||
		json_set_str(out, "fate", retire_fate_name(job->result.image), err) < 0 ||
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
		if (jobs[i].repeats)
			continue;
		else if (ctx->opts.json ? json_append(list, job_json(&jobs[i], err), err) < 0 :
				     add_text(&jobs[i], dry_run, &out, err) < 0)
			return -1;
	if (ctx->opts.json && (json_set(doc, "images", steal_ptr(&list), err) < 0 ||
				      json_write(doc, true, &out, err) < 0))
		return -1;
	return out.len ? context_print(&out, err) : 0;
}

/* All are checked before the first is touched; one that is named twice is one. */
static int work(struct context *ctx, const struct retire_opts *o, const struct options_args *args,
	struct job *jobs, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct aws *aws = context_aws(ctx, err);
	int ret = aws ? 0 : -1;

	for (size_t i = 0; i < args->nr && !ret; i++) {
		jobs[i].ami = args->items[i];
		jobs[i].repeats = own_image_repeats(args->items, i);
		if (!jobs[i].repeats)
			ret = check(aws, o, &jobs[i], err);
	}
	if (ret)
		return ret;
	for (size_t i = 0; i < args->nr && !ret; i++)
		if (!jobs[i].repeats) {
			ret = retire(aws, o, &jobs[i], err);
			say_bundle(&jobs[i]);
		}
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
		"that is gone. AMIs that are protected, that instances were made from, or that the\n"
		"latest or default version of a launch template names, are refused before anything is\n"
		"changed (exit status 3). Launch configurations of Auto Scaling are not looked at.",
	.options = options,
	.options_size = sizeof(struct deregister_options),
	.min_args = 1,
	.max_args = 1000,
	.run = run,
};
