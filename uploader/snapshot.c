/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an upload: start or take up again, send, complete, wait; and on failure the removal
 * of what was begun, or its journal for the next run. A message about a failed upload always says
 * what became of the snapshot.
 */
#include "uploader/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"
#include "uploader/snapshot_internal.h"
#include "uploader/snapshot_journal.h"
#include "uploader/snapshot_parent.h"
#include "uploader/retry.h"

static uint64_t now_ms(struct aws *a)
{
	const struct aws_clock *c = aws_clock(a);

	return c->monotonic_ms(c->arg);
}

static int check_opts(const struct dev *dev, const struct snapshot_upload_opts *opts,
	struct error *err)
{
	uint64_t need = MAX(num_div_up(dev->size, GIB), UINT64_C(1));

	if (opts->size_gib && opts->size_gib < need)
		return error_set(err, ERROR_USAGE, 0,
			"a volume of %" PRIu64 " GiB is too small for the disk: it needs %" PRIu64 " GiB",
			opts->size_gib, need);
	if (opts->parent && (opts->encrypted || opts->kms_key))
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot with a parent takes its encryption from it: leave encryption and "
			"key out");
	if (opts->skip == SNAPSHOT_SKIP_ZEROS && (opts->encrypted || opts->kms_key))
		return error_set(err, ERROR_POLICY, 0,
			"zeros cannot be left out of an encrypted snapshot: blocks that are absent "
			"there read as random bytes");
	return 0;
}

/* The size of a snapshot that others send into, too. Who may not describe it must know it. */
static int look_at_shared(struct aws *a, const char *snapshot, uint64_t *size_gib, struct error *err)
{
	struct error why = ERROR_INIT;
	struct ec2_snapshot s;

	if (ec2_describe_snapshot(a, snapshot, &s, &why) < 0) {
		if (why.http_status == 403 || strcmp(why.code, "UnauthorizedOperation") == 0)
			return 0;
		*err = why;
		return -1;
	}
	if (strcmp(s.state, "pending") != 0)
		return error_set(err, ERROR_INPUT, 0,
			"snapshot %s is %s: only a pending one takes blocks", snapshot, s.state);
	if (s.size_gib < *size_gib)
		return error_set(err, ERROR_INPUT, 0,
			"snapshot %s of %" PRIu64 " GiB is too small for the disk: it needs %" PRIu64 " GiB",
			snapshot, s.size_gib, *size_gib);
	*size_gib = s.size_gib;
	return 0;
}

/* The volume's size, and what the parent holds. */
static int prepare(struct aws *a, struct snapshot_job *job, struct snapshot_result *out,
	struct error *err)
{
	const struct snapshot_upload_opts *opts = job->opts;
	uint64_t need = MAX(num_div_up(job->dev->size, GIB), UINT64_C(1));

	if (check_opts(job->dev, opts, err) < 0)
		return -1;
	out->size_gib = opts->size_gib ? opts->size_gib : need;
	if (opts->snapshot && look_at_shared(a, opts->snapshot, &out->size_gib, err) < 0)
		return -1;
	if (!opts->parent)
		return 0;
	job->parent = snapshot_parent_load(a, opts, need, &out->size_gib, err);
	return job->parent ? 0 : -1;
}

static void on_wait(void *arg, const struct ec2_snapshot *s)
{
	(void)arg;
	log_debug("%s is %s %s", s->id, s->state, s->progress);
}

int snapshot_complete(struct aws *a, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, bool *accepted, struct error *err)
{
	char status[16];

	if (ebs_complete_snapshot(a, out->snapshot, out->blocks_sent, out->aggregate, status, err) < 0)
		return -1;
	*accepted = true;
	log_debug("%s: CompleteSnapshot says %s", out->snapshot, status);
	return ec2_wait_snapshot(a, out->snapshot, opts->wait_s, on_wait, NULL, err);
}

bool snapshot_can_resume(const struct error *why)
{
	switch (why->kind) {
	case ERROR_SERVICE:
		return retry_is_passing(why->http_status, why->code, why->text);
	case ERROR_POLICY:
	case ERROR_BUG:
		return false;
	default:
		return true;
	}
}

/* Keeps kind and code of an error whose text is made anew. */
static void retell(struct error *err, const struct error *first)
{
	err->errnum = first->errnum;
	err->http_status = first->http_status;
	memcpy(err->code, first->code, sizeof(err->code));
}

/* Says that the next run goes on. */
static void say_kept(struct aws *a, const struct snapshot_job *job, struct snapshot_result *out,
	struct error *err)
{
	struct error first = *err;

	if (out->snapshot[0])
		error_set(err, first.kind, 0,
			"%.600s; snapshot %s in %s and '%.200s' are kept: rerun the same command to resume",
			first.text, out->snapshot, aws_region(a), snapshot_journal_path(job->journal));
	else
		error_set(err, first.kind, 0,
			"%.600s; '%.200s' is kept: rerun the same command to resume", first.text,
			snapshot_journal_path(job->journal));
	retell(err, &first);
}

/*
 * Removes the snapshot of a failed upload and says in the message what became of it. False when it
 * is still there.
 */
static bool undo(struct aws *a, const struct snapshot_job *job, struct snapshot_result *out,
	bool accepted, struct error *err)
{
	const char *owner = job->resumed ? snapshot_journal_state(job->journal)->owner : NULL;
	struct error first = *err, why = ERROR_INIT;
	bool gone = snapshot_remove(a, out->snapshot, owner, &why) == 0;

	if (gone)
		error_set(err, first.kind, 0, "%.700s; the %ssnapshot %s was deleted", first.text,
			accepted ? "" : "pending ", out->snapshot);
	else
		error_set(err, first.kind, 0,
			"%.500s; snapshot %s is left in %s because it could not be deleted (%.200s)",
			first.text, out->snapshot, aws_region(a), why.text);
	retell(err, &first);
	out->snapshot[0] = '\0';
	return gone;
}

static void say_left(struct aws *a, struct snapshot_result *out, const char *why, struct error *err)
{
	struct error first = *err;

	error_set(err, first.kind, 0, "%.700s; snapshot %s is left in %s%s", first.text, out->snapshot,
		aws_region(a), why);
	retell(err, &first);
	out->snapshot[0] = '\0';
}

/* Nothing was started: AWS has refused to, or no call was made. */
static bool is_nothing(const struct snapshot_result *out, const struct error *err)
{
	return !out->snapshot[0] && err->kind == ERROR_SERVICE && err->http_status / 100 == 4;
}

/* A shard's journal that nobody can go on with; the snapshot is not the shard's to remove. */
static bool is_lost(const struct snapshot_job *job)
{
	return job->opts->snapshot && snapshot_journal_state(job->journal)->damaged;
}

/*
 * After a failure. Complete and only not confirmed: nobody's whole upload is thrown away for a lost
 * answer. What others are sending into is theirs, too.
 */
static void give_up(struct aws *a, struct snapshot_job *job, struct snapshot_result *out,
	bool accepted, struct error *err)
{
	bool gone = true;

	if (job->journal && !is_lost(job) && (job->in_doubt || (snapshot_can_resume(err) && !is_nothing(out, err)))) {
		say_kept(a, job, out, err);
		return;
	}
	if (out->snapshot[0] && job->opts->snapshot) {
		say_left(a, out, "", err);
		return;
	}
	if (out->snapshot[0] && accepted && err->kind == ERROR_NETWORK)
		say_left(a, out, ": it may still complete", err);
	else if (out->snapshot[0])
		gone = undo(a, job, out, accepted, err);
	if (job->journal && gone && snapshot_journal_remove(steal_ptr(&job->journal), NULL) < 0)
		log_warn("the journal could not be removed");
}

static int begin(struct aws *a, struct snapshot_job *job, struct snapshot_result *out,
	struct error *err)
{
	const struct snapshot_upload_opts *opts = job->opts;
	const char *token = job->journal ? snapshot_journal_state(job->journal)->token : opts->client_token;
	struct ebs_started started = {.snapshot = ""};
	int ret = snapshot_start(a, opts, token, out->size_gib, &started, err);

	memcpy(out->snapshot, started.snapshot, sizeof(out->snapshot));
	job->in_doubt = job->in_doubt && ret < 0;
	if (ret == 0)
		ret = snapshot_check_started(a, &started, opts, err);
	if (ret == 0 && job->journal)
		ret = snapshot_journal_started(job->journal, started.snapshot, started.owner,
			started.start_s, err);
	return ret;
}

/* What is there is what counts: an answer of 201 or 202 says only that the call was taken. */
static int check_completed(struct aws *a, const struct snapshot_job *job,
	const struct snapshot_result *out, struct error *err)
{
	const struct snapshot_upload_opts *opts = job->opts;
	struct ec2_snapshot s;

	if (!opts->encrypted && !opts->kms_key)
		return 0;
	if (ec2_describe_snapshot(a, out->snapshot, &s, err) < 0)
		return -1;
	return snapshot_check_encryption(opts, out->snapshot, s.encrypted, s.kms_key, err);
}

/* From what the journal says, or from the beginning, to a completed snapshot (or a sent shard). */
static int run(struct aws *a, struct snapshot_job *job, struct snapshot_result *out, bool *accepted,
	struct error *err)
{
	enum snapshot_stage stage = SNAPSHOT_NEW;

	if (job->opts->journal && snapshot_resume(a, job, out, &stage, err) < 0)
		return -1;
	if (stage == SNAPSHOT_NEW && begin(a, job, out, err) < 0)
		return -1;
	if (stage <= SNAPSHOT_SEND) {
		if (snapshot_send(a, job, out, err) < 0)
			return -1;
		if (job->opts->nr_shards)
			return snapshot_journal_ended(job->journal, out->blocks_sent, err);
		if (job->journal && snapshot_journal_completing(job->journal, out->blocks_sent,
					    out->aggregate, err) < 0)
			return -1;
	}
	*accepted = stage == SNAPSHOT_DONE;
	if (stage != SNAPSHOT_DONE && snapshot_complete(a, job->opts, out, accepted, err) < 0)
		return -1;
	return check_completed(a, job, out, err);
}

static void release(struct snapshot_job *job)
{
	snapshot_table_free(job->parent);
	snapshot_table_free(job->written);
	snapshot_journal_close(job->journal);
}

int snapshot_upload(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err)
{
	struct snapshot_job job = {.dev = dev, .opts = opts, .started_ms = now_ms(a)};
	uint64_t before, after, throttled;
	struct error why = ERROR_INIT;
	bool accepted = false;
	int ret;

	memset(out, 0, sizeof(*out));
	aws_retry_counts(a, &before, &throttled);
	ret = prepare(a, &job, out, &why);
	if (ret == 0) {
		ret = run(a, &job, out, &accepted, &why);
		if (ret < 0)
			give_up(a, &job, out, accepted, &why);
	}
	aws_retry_counts(a, &after, &throttled);
	out->retries = after - before;
	out->elapsed_ms = now_ms(a) - job.started_ms;
	if (ret == 0 && job.journal && !opts->nr_shards)
		ret = snapshot_journal_remove(steal_ptr(&job.journal), &why);
	release(&job);
	if (ret < 0 && err)
		*err = why;
	return ret;
}

int snapshot_begin(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err)
{
	struct snapshot_job job = {.dev = dev, .opts = opts, .started_ms = now_ms(a)};
	struct error why = ERROR_INIT;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = prepare(a, &job, out, &why);
	if (ret == 0) {
		ret = begin(a, &job, out, &why);
		if (ret < 0)
			give_up(a, &job, out, false, &why);
	}
	release(&job);
	if (ret < 0 && err)
		*err = why;
	return ret;
}
