/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a journal says and what became of its snapshot meanwhile: where an upload goes on. AWS is
 * asked before anything is sent, for a snapshot that is gone would take each block's time to find out.
 */
#include "uploader/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"
#include "uploader/snapshot_journal.h"

enum { FRESH_S = 120 }; /* how long EC2 may not know a new snapshot */

static const char *skip_name(enum snapshot_skip skip)
{
	return skip == SNAPSHOT_SKIP_NEVER ? "never" : skip == SNAPSHOT_SKIP_ZEROS ? "zeros" : "unused";
}

static int add_request(struct json *head, const struct snapshot_upload_opts *o, struct error *err)
{
	struct json *tags;

	if (json_set_bool(head, "encrypted", o->encrypted, err) < 0 ||
	    json_set_str(head, "kms_key", o->kms_key, err) < 0 ||
	    json_set_str(head, "description", o->description, err) < 0 ||
	    json_set_int(head, "timeout", o->timeout_min, err) < 0)
		return -1;
	tags = json_new_object(err);
	for (size_t i = 0; tags && i < o->nr_tags; i++) {
		if (json_set_str(tags, o->tags[i].key, o->tags[i].value, err) == 0)
			continue;
		json_free(tags);
		return -1;
	}
	return json_set(head, "tags", tags, err);
}

/* All that must be the same in every run, and in every shard. */
static struct json *make_head(struct aws *a, const struct snapshot_upload_opts *o,
	uint64_t size_gib, struct error *err)
{
	CLEANUP(json_cleanup) struct json *head = json_new_object(err);

	if (!head || json_set_str(head, "token", o->client_token, err) < 0 ||
	    json_set_str(head, "source", o->source, err) < 0 ||
	    json_set_str(head, "region", aws_region(a), err) < 0 ||
	    json_set_bool(head, "local", aws_is_loopback(a, AWS_EBS), err) < 0 ||
	    json_set_int(head, "size_gib", (int64_t)size_gib, err) < 0 ||
	    json_set_str(head, "skip", skip_name(o->skip), err) < 0 ||
	    json_set_str(head, "parent", o->parent, err) < 0)
		return NULL;
	if (o->snapshot ? json_set_str(head, "snapshot", o->snapshot, err) < 0 ||
				  json_set_int(head, "shard", o->shard, err) < 0 ||
				  json_set_int(head, "shards", o->nr_shards, err) < 0 :
			  add_request(head, o, err) < 0)
		return NULL;
	return steal_ptr(&head);
}

enum verdict { PENDING, COMPLETED, GONE };

/* Who may not describe may still upload; the puts will tell. */
static bool may_not_look(const struct error *why)
{
	return strcmp(why->code, "UnauthorizedOperation") == 0 ||
	       strncmp(why->code, "AccessDenied", 12) == 0;
}

/* Fails when that cannot be found out: then nothing may be removed. */
static int judge(struct aws *a, const struct snapshot_journal_state *st, enum verdict *verdict,
	struct error *err)
{
	const struct aws_clock *clock = aws_clock(a);
	bool fresh = clock->wall_s(clock->arg) - st->start_s < FRESH_S;
	struct error why = ERROR_INIT;
	struct ec2_snapshot s;

	*verdict = PENDING;
	if (ec2_describe_snapshot(a, st->snapshot, &s, &why) == 0) {
		if (strcmp(s.state, "completed") == 0)
			*verdict = COMPLETED;
		else if (strcmp(s.state, "error") == 0)
			*verdict = GONE;
		if (*verdict == GONE)
			log_warn("%s has failed meanwhile (%s)", s.id,
				s.message[0] ? s.message : "EC2 gives no reason");
		return 0;
	}
	if (snapshot_is_unknown(&why)) {
		if (snapshot_check_owner(a, st->snapshot, st->owner, err) < 0)
			return -1;
		if (fresh && !aws_is_loopback(a, AWS_EC2))
			return 0;
		*verdict = GONE;
		log_warn("%s of account %s is not there any more", st->snapshot, st->owner);
		return 0;
	}
	if (why.kind == ERROR_SERVICE && may_not_look(&why))
		return 0;
	if (err)
		*err = why;
	return -1;
}

static int load(struct snapshot_job *job, const struct snapshot_result *out, struct error *err)
{
	const struct snapshot_journal_state *st = snapshot_journal_state(job->journal);

	job->written = snapshot_table_new(out->size_gib * (GIB / EBS_BLOCK_SIZE), job->opts->spool_dir,
		err);
	if (!job->written || snapshot_journal_load(job->journal, job->written, err) < 0)
		return -1;
	log_info("%s: going on where an earlier run ended, with %" PRIu64 " blocks sent%s",
		st->snapshot, st->done,
		st->source_changed ? "; the image has changed since, what differs is sent anew" : "");
	return 0;
}

static int begin_anew(struct aws *a, struct snapshot_job *job, const struct json *head,
	enum verdict verdict, struct snapshot_result *out, enum snapshot_stage *stage,
	struct error *err)
{
	const struct snapshot_journal_state *st = snapshot_journal_state(job->journal);
	struct error why = ERROR_INIT;

	if (verdict == COMPLETED)
		log_warn("%s was completed with another content and stays; beginning anew", st->snapshot);
	else if (snapshot_remove(a, st->snapshot, st->owner, &why) < 0)
		log_warn("beginning anew; %s could not be deleted: %s", st->snapshot, why.text);
	else
		log_info("beginning anew");
	*stage = SNAPSHOT_NEW;
	out->snapshot[0] = '\0';
	job->resumed = false;
	return snapshot_journal_reset(job->journal, head, err);
}

static int go_on(struct aws *a, struct snapshot_job *job, const struct json *head,
	struct snapshot_result *out, enum snapshot_stage *stage, struct error *err)
{
	const struct snapshot_journal_state *st = snapshot_journal_state(job->journal);
	bool whole = st->completing && !st->source_changed;
	enum verdict verdict;

	/* There is a snapshot, for the journal says so; whatever AWS says, or does not say, now. */
	memcpy(out->snapshot, st->snapshot, sizeof(out->snapshot));
	job->resumed = true;
	if (judge(a, st, &verdict, err) < 0)
		return -1;
	job->in_doubt = false;
	if (st->damaged && !whole && verdict == PENDING)
		log_warn("'%s' is damaged: not all that was sent is known any more, and so %s could not be "
			 "completed", snapshot_journal_path(job->journal), st->snapshot);
	if (verdict == GONE || (!whole && (st->damaged || st->completing || verdict == COMPLETED)))
		return begin_anew(a, job, head, verdict, out, stage, err);
	*stage = SNAPSHOT_SEND;
	if (!whole)
		return load(job, out, err);
	*stage = verdict == COMPLETED ? SNAPSHOT_DONE : SNAPSHOT_COMPLETE;
	out->blocks_sent = out->blocks_resumed = st->count;
	out->blocks_unused = out->size_gib * (GIB / EBS_BLOCK_SIZE) - st->count;
	memcpy(out->aggregate, st->aggregate, sizeof(out->aggregate));
	log_info("%s: all blocks were sent by an earlier run", st->snapshot);
	return 0;
}

static int go_on_shard(struct snapshot_job *job, struct snapshot_result *out,
	enum snapshot_stage *stage, struct error *err)
{
	const struct snapshot_journal_state *st = snapshot_journal_state(job->journal);

	snprintf(out->snapshot, sizeof(out->snapshot), "%s", job->opts->snapshot);
	*stage = SNAPSHOT_SEND;
	if (st->damaged)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is damaged: not all that was sent is known any more, and so the snapshot "
			"could not be completed; 'amiwright upload --cleanup IMAGE' deletes it, 'upload "
			"--start' begins another", snapshot_journal_path(job->journal));
	if (st->snapshot[0])
		return load(job, out, err);
	return snapshot_journal_started(job->journal, out->snapshot, "", 0, err);
}

int snapshot_resume(struct aws *a, struct snapshot_job *job, struct snapshot_result *out,
	enum snapshot_stage *stage, struct error *err)
{
	const struct snapshot_upload_opts *opts = job->opts;
	CLEANUP(json_cleanup) struct json *head = make_head(a, opts, out->size_gib, err);

	*stage = SNAPSHOT_NEW;
	if (!head)
		return -1;
	job->journal = snapshot_journal_open(opts->journal, head, err);
	if (!job->journal)
		return -1;
	job->in_doubt = !snapshot_journal_state(job->journal)->made && !opts->snapshot;
	if (opts->snapshot)
		return go_on_shard(job, out, stage, err);
	if (snapshot_journal_state(job->journal)->snapshot[0])
		return go_on(a, job, head, out, stage, err);
	return 0;
}

/* "" in snapshot: a completed one, which stays. */
static int remove_noted(struct aws *a, const struct snapshot_journal_state *st,
	char snapshot[EBS_ID_SIZE], struct error *err)
{
	enum verdict verdict;

	if (judge(a, st, &verdict, err) < 0)
		return -1;
	if (verdict == COMPLETED) {
		log_info("%s is completed and stays", st->snapshot);
		return 0;
	}
	if (snapshot_remove(a, st->snapshot, st->owner, err) < 0)
		return -1;
	memcpy(snapshot, st->snapshot, EBS_ID_SIZE);
	return 0;
}

int snapshot_abandon(struct aws *a, const char *path, char snapshot[EBS_ID_SIZE], struct error *err)
{
	CLEANUP(snapshot_journal_cleanup) struct snapshot_journal *j =
		snapshot_journal_open_any(path, err);
	const struct snapshot_journal_state *st;

	snapshot[0] = '\0';
	if (!j)
		return -1;
	if (strcmp(json_get_str(snapshot_journal_head(j), "region", ""), aws_region(a)) != 0)
		return error_set(err, ERROR_USAGE, 0, "'%s' is of an upload to %s: give --region", path,
			json_get_str(snapshot_journal_head(j), "region", "another region"));
	st = snapshot_journal_state(j);
	if (st->snapshot[0] && remove_noted(a, st, snapshot, err) < 0)
		return error_wrap(err, "'%s' is kept, %s was not deleted", path, st->snapshot);
	return snapshot_journal_remove(steal_ptr(&j), err);
}
