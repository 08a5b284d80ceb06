/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The course of a copy: all regions are begun, then asked in turn until each is done or has failed.
 * EC2 does the work, so one loop with pauses is all the concurrency that is needed.
 */
#include "builder/copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/copy_internal.h"

enum {
	DEFAULT_TIMEOUT_S = 4 * 3600,
	PAUSE_MS = 2000,
	PAUSE_MAX_MS = 15000,
	LOCAL_PAUSE_MS = 50,
	SAY_MS = 30000, /* how often progress is told where there is no terminal */
};

static const struct copy_ops *ops_of(const struct copy *c)
{
	return c->image ? &copy_image_ops : &copy_snapshot_ops;
}

/* Only an interruption ends the whole; what else goes wrong is that region's. */
static int note_failure(const struct copy *c, struct copy_dest *d, const struct error *why,
	struct error *err)
{
	if (why->kind == ERROR_INTERRUPTED) {
		*err = *why;
		return -1;
	}
	d->error = *why;
	d->state = COPY_FAILED;
	/* A single one's is the error of the whole. */
	if (c->nr_dests > 1)
		log_warn("%s", why->text);
	return 0;
}

static int note(const struct copy *c, const struct copy_dest *d, struct error *err)
{
	if (!c->opts->note || c->opts->dry_run)
		return 0;
	return c->opts->note(c->opts->note_arg, d->region, d->id, err);
}

static int begin(struct copy *c, struct copy_dest *d, struct error *err)
{
	struct error why = ERROR_INIT;

	if (note(c, d, err) < 0)
		return -1;
	if (ops_of(c)->begin(c, d, &why) < 0) {
		/* So many copies at a time; it is tried again when others are done. */
		if (!strcmp(why.code, "ResourceLimitExceeded")) {
			log_debug("%s", why.text);
			return 0;
		}
		if (strncmp(why.text, d->region, strlen(d->region)))
			error_wrap(&why, "%s", d->region);
		return note_failure(c, d, &why, err);
	}
	if (c->opts->dry_run)
		return 0;
	d->state = COPY_PENDING;
	d->begun_ms = context_now_ms();
	log_info("%s: %s is being made", d->region, d->id);
	return note(c, d, err);
}

static int begin_all(struct copy *c, struct error *err)
{
	for (size_t i = 0; i < c->nr_dests; i++) {
		struct copy_dest *d = &c->dests[i];
		struct error why = ERROR_INIT;

		if (d->state == COPY_FAILED)
			continue;
		if (ops_of(c)->find(c, d, &why) < 0) {
			if (note_failure(c, d, &why, err) < 0)
				return -1;
			continue;
		}
		if (d->existing) {
			d->state = COPY_PENDING;
			d->begun_ms = context_now_ms();
			log_info("%s: %s is there already", d->region, d->id);
		} else if (begin(c, d, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int poll_one(struct copy *c, struct copy_dest *d, struct error *err)
{
	struct error why = ERROR_INIT;

	if (d->state == COPY_TO_BEGIN)
		return begin(c, d, err);
	if (ops_of(c)->poll(c, d, &why) < 0)
		return note_failure(c, d, &why, err);
	if (d->state == COPY_DONE)
		log_info("%s: %s is there%s", d->region, d->id, d->encrypted ? ", encrypted" : "");
	return 0;
}

static bool is_open(const struct copy_dest *d)
{
	return d->state == COPY_TO_BEGIN || d->state == COPY_PENDING;
}

static int poll_all(struct copy *c, size_t *open, struct error *err)
{
	*open = 0;
	for (size_t i = 0; i < c->nr_dests; i++) {
		if (is_open(&c->dests[i]) && poll_one(c, &c->dests[i], err) < 0)
			return -1;
		*open += is_open(&c->dests[i]);
	}
	return 0;
}

/* "eu-west-1 45%, us-west-2 waits" */
static void show(const struct copy *c, uint64_t *said_ms)
{
	const struct progress_opts *p = &c->ctx->progress;
	CLEANUP_BUF struct buf line = BUF_INIT(0);
	uint64_t now = context_now_ms();

	if (p->quiet || (!p->tty && now - *said_ms < SAY_MS))
		return;
	for (size_t i = 0; i < c->nr_dests; i++) {
		const struct copy_dest *d = &c->dests[i];
		const char *sep = line.len ? ", " : "";

		if (is_open(d) && (d->state == COPY_PENDING ?
					  buf_addf(&line, NULL, "%s%s %u%%", sep, d->region, d->percent) :
					  buf_addf(&line, NULL, "%s%s waits", sep, d->region)) < 0)
			return;
	}
	if (p->tty)
		log_status_line(buf_str(&line));
	else
		log_info("copying: %s", buf_str(&line));
	*said_ms = now;
}

static int expire(struct copy *c, unsigned timeout_s)
{
	for (size_t i = 0; i < c->nr_dests; i++) {
		struct copy_dest *d = &c->dests[i];

		if (d->state == COPY_PENDING)
			error_set(&d->error, ERROR_NETWORK, 0,
				"%s: %s is still pending (%u%%) after %u s; it goes on in AWS: rerun the same "
				"command to wait for it", d->region, d->id, d->percent, timeout_s);
		else if (d->state == COPY_TO_BEGIN)
			error_set(&d->error, ERROR_NETWORK, 0,
				"%s: no copy could be begun in %u s, for too many are under way there",
				d->region, timeout_s);
		if (is_open(d))
			d->state = COPY_FAILED;
	}
	return 0;
}

static int wait_all(struct copy *c, struct error *err)
{
	unsigned timeout_s = c->opts->timeout_s ? c->opts->timeout_s : DEFAULT_TIMEOUT_S;
	struct aws *aws = context_aws(c->ctx, err);
	uint64_t said = context_now_ms(), end = said + timeout_s * UINT64_C(1000);
	bool local = aws && aws_is_loopback(aws, AWS_EC2);
	unsigned pause = local ? LOCAL_PAUSE_MS : PAUSE_MS;
	size_t open = 1;
	int ret = aws ? 0 : -1;

	while (!ret) {
		ret = poll_all(c, &open, err);
		if (ret || !open)
			break;
		if (context_now_ms() + pause > end) {
			ret = expire(c, timeout_s);
			break;
		}
		show(c, &said);
		ret = aws_sleep(aws, pause, err);
		pause = MIN(pause + pause / 2, PAUSE_MAX_MS);
	}
	log_status_line(NULL);
	return ret;
}

/* Says what goes on without us. */
static int interrupted(const struct copy *c, struct error *err)
{
	size_t pending = 0;

	for (size_t i = 0; i < c->nr_dests; i++)
		pending += c->dests[i].state == COPY_PENDING;
	if (pending && err->kind == ERROR_INTERRUPTED)
		return error_wrap(err, "%zu copies go on in AWS (rerun the same command to wait for them)",
			pending);
	return -1;
}

/* Nobody waits for room here, so what found none must not pass for begun. */
static void fail_unbegun(struct copy *c)
{
	for (size_t i = 0; i < c->nr_dests; i++) {
		struct copy_dest *d = &c->dests[i];

		if (d->state != COPY_TO_BEGIN)
			continue;
		error_set(&d->error, ERROR_SERVICE, 0,
			"%s: the copy was not begun, for too many are under way there: rerun the command "
			"later, or without --no-wait", d->region);
		d->state = COPY_FAILED;
	}
}

/* The error of the whole: how many failed, and the first reason. */
static int sum_up(const struct copy *c, struct error *err)
{
	const struct copy_dest *first = NULL;
	bool changed = false;
	size_t failed = 0;

	for (size_t i = 0; i < c->nr_dests; i++) {
		const struct copy_dest *d = &c->dests[i];

		changed |= d->id[0] && !d->existing;
		failed += d->state == COPY_FAILED;
		if (d->state == COPY_FAILED &&
			(!first || (first->error.kind == ERROR_POLICY && d->error.kind != ERROR_POLICY)))
			first = d;
	}
	if (!failed)
		return 0;
	*err = first->error;
	/* A rule's refusal is one only when it left nothing behind. */
	if (err->kind == ERROR_POLICY && changed)
		err->kind = ERROR_SERVICE;
	if (failed == c->nr_dests && failed == 1)
		return -1;
	return error_wrap(err, "%zu of %zu copies failed%s", failed, c->nr_dests,
		failed < c->nr_dests ? ", the others are there (rerun the same command to go on)" : "");
}

int copy_run(struct copy *c, struct context *ctx, const struct copy_opts *opts, struct error *err)
{
	memset(c, 0, sizeof(*c));
	c->ctx = ctx;
	c->opts = opts;
	c->image = !strncmp(opts->source, "ami-", 4);
	if (!c->image && strncmp(opts->source, "snap-", 5))
		return error_set(err, ERROR_USAGE, 0, "'%s' is neither an AMI's id nor a snapshot's",
			opts->source);
	c->dests = calloc(opts->nr_regions + 1, sizeof(*c->dests));
	if (!c->dests)
		return error_nomem(err, "the copies");
	c->nr_dests = opts->nr_regions;
	if (copy_prepare(c, err) < 0)
		return -1;
	if (begin_all(c, err) < 0 || (!opts->no_wait && !opts->dry_run && wait_all(c, err) < 0))
		return interrupted(c, err);
	if (opts->no_wait && !opts->dry_run)
		fail_unbegun(c);
	return sum_up(c, err);
}

void copy_release(struct copy *c)
{
	for (size_t i = 0; i < c->nr_volumes; i++)
		ec2_tag_list_release(&c->volumes[i].tags);
	ec2_tag_list_release(&c->tags);
	free(c->volumes);
	free(c->dests);
	memset(c, 0, sizeof(*c));
}
