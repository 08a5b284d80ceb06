/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an upload: start, send, complete, wait, and on failure the removal of what was begun.
 * A message about a failed upload always says what became of the snapshot.
 */
#include "uploader/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"
#include "uploader/snapshot_internal.h"

enum { MAX_TOKENS = 20, TOKEN_SIZE = 65 };

static uint64_t now_ms(struct aws *a)
{
	const struct aws_clock *c = aws_clock(a);

	return c->monotonic_ms(c->arg);
}

static int check_opts(const struct dev *dev, const struct snapshot_upload_opts *opts,
	uint64_t *size_gib, struct error *err)
{
	uint64_t need = MAX(num_div_up(dev->size, GIB), UINT64_C(1));

	*size_gib = opts->size_gib ? opts->size_gib : need;
	if (*size_gib < need)
		return error_set(err, ERROR_USAGE, 0,
			"a volume of %" PRIu64 " GiB is too small for the disk: it needs %" PRIu64 " GiB",
			*size_gib, need);
	if (opts->skip == SNAPSHOT_SKIP_ZEROS && (opts->encrypted || opts->kms_key))
		return error_set(err, ERROR_POLICY, 0,
			"zeros cannot be left out of an encrypted snapshot: blocks that are absent "
			"there read as random bytes");
	return 0;
}

static int start_with(struct aws *a, const struct snapshot_upload_opts *opts, uint64_t size_gib,
	const char *token, struct ebs_started *started, struct error *err)
{
	struct ebs_start_opts start = {
		.size_gib = size_gib,
		.description = opts->description,
		.client_token = token,
		.encrypted = opts->encrypted,
		.kms_key = opts->kms_key,
		.timeout_min = opts->timeout_min,
		.tags = opts->tags,
		.nr_tags = opts->nr_tags,
	};

	return ebs_start_snapshot(a, &start, started, err);
}

/*
 * Whether the token gave back a snapshot of an earlier run that can no longer be written: the
 * service keeps answering with it after it was completed or deleted. One that is still pending is
 * taken up again: its blocks are simply written once more.
 */
static int is_spent(struct aws *a, const struct ebs_started *started, int64_t asked_s, bool *spent,
	struct error *err)
{
	bool old = started->start_s != 0 && started->start_s + 2 < asked_s;
	struct ec2_snapshot s;
	struct error why = ERROR_INIT;

	*spent = false;
	/* EC2 may not know a snapshot of this very moment; a server on this machine does. */
	if (!old && !aws_is_loopback(a, AWS_EC2))
		return 0;
	if (ec2_describe_snapshot(a, started->snapshot, &s, &why) == 0) {
		*spent = strcmp(s.state, "error") == 0 || (old && strcmp(s.state, "completed") == 0);
		if (old && !*spent)
			log_info("%s: going on with the pending snapshot of an earlier run",
				started->snapshot);
		return 0;
	}
	if (strncmp(why.code, "InvalidSnapshot", 15) == 0) {
		*spent = true;
		return 0;
	}
	/* Who may not describe may still upload; the puts will tell. */
	if (why.kind == ERROR_SERVICE)
		return 0;
	if (err)
		*err = why;
	return -1;
}

/*
 * An interruption while the snapshot was started: nobody knows whether it is there. The same token
 * asks for it again, so that it can be removed; but not one that an earlier run completed.
 */
static void find_started(struct aws *a, const struct snapshot_upload_opts *opts, uint64_t size_gib,
	const char *token, struct ebs_started *started)
{
	struct ec2_snapshot s;

	aws_hurry(a, true);
	if (start_with(a, opts, size_gib, token, started, NULL) < 0 ||
	    ec2_describe_snapshot(a, started->snapshot, &s, NULL) < 0 ||
	    strcmp(s.state, "pending") != 0)
		started->snapshot[0] = '\0';
	aws_hurry(a, false);
}

/*
 * Starts with the caller's token, or with the next of its numbered variants that is not spent. On
 * failure started->snapshot is "" or a pending one that is to be removed.
 */
static int start(struct aws *a, const struct snapshot_upload_opts *opts, uint64_t size_gib,
	struct ebs_started *started, struct error *err)
{
	const struct aws_clock *clock = aws_clock(a);
	struct error why = ERROR_INIT;

	if (opts->cancelled && opts->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted before anything was sent");
	for (unsigned n = 1; n <= MAX_TOKENS; n++) {
		int64_t asked = clock->wall_s(clock->arg);
		char token[TOKEN_SIZE];
		bool spent = false;

		if (n == 1)
			snprintf(token, sizeof(token), "%s", opts->client_token);
		else
			snprintf(token, sizeof(token), "%.60s-%u", opts->client_token, n);
		if (start_with(a, opts, size_gib, token, started, &why) == 0 &&
		    is_spent(a, started, asked, &spent, &why) == 0) {
			if (!spent)
				return 0;
			continue;
		}
		/* The token was used with another size or description. */
		if (strcmp(why.code, "ConflictException") == 0)
			continue;
		if (why.kind == ERROR_INTERRUPTED)
			find_started(a, opts, size_gib, token, started);
		else
			started->snapshot[0] = '\0';
		if (err)
			*err = why;
		return -1;
	}
	started->snapshot[0] = '\0';
	return error_set(err, ERROR_SERVICE, 0,
		"StartSnapshot knows the client token '%s' and %d variants of it from earlier runs",
		opts->client_token, MAX_TOKENS - 1);
}

static int check_started(const struct ebs_started *started, const struct snapshot_upload_opts *opts,
	struct error *err)
{
	if (started->block_size != EBS_BLOCK_SIZE)
		return error_set(err, ERROR_SERVICE, 0,
			"StartSnapshot wants blocks of %" PRIu32 " bytes; only %d are supported",
			started->block_size, EBS_BLOCK_SIZE);
	if (opts->skip == SNAPSHOT_SKIP_ZEROS && started->kms_key[0])
		return error_set(err, ERROR_POLICY, 0,
			"zeros cannot be left out: this account encrypts new snapshots by default, and "
			"blocks that are absent there read as random bytes");
	return 0;
}

static void on_wait(void *arg, const struct ec2_snapshot *s)
{
	(void)arg;
	log_debug("%s is %s %s", s->id, s->state, s->progress);
}

static int complete(struct aws *a, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, bool *accepted, struct error *err)
{
	char status[16];

	if (ebs_complete_snapshot(a, out->snapshot, out->blocks_sent, out->aggregate, status, err) < 0)
		return -1;
	*accepted = true;
	log_debug("%s: CompleteSnapshot says %s", out->snapshot, status);
	return ec2_wait_snapshot(a, out->snapshot, opts->wait_s, on_wait, NULL, err);
}

/* Removes the snapshot of a failed upload and says in the message what became of it. */
static void undo(struct aws *a, struct snapshot_result *out, bool keep, struct error *err)
{
	struct error first = ERROR_INIT, why = ERROR_INIT;
	int ret = -1;

	if (err)
		first = *err;
	if (!keep) {
		aws_hurry(a, true);
		ret = ec2_delete_snapshot(a, out->snapshot, &why);
		aws_hurry(a, false);
		if (ret < 0 && strncmp(why.code, "InvalidSnapshot", 15) == 0)
			ret = 0;
	}
	if (keep)
		error_set(err, first.kind, 0, "%.700s; snapshot %s is left in %s: it may still complete",
			first.text, out->snapshot, aws_region(a));
	else if (ret == 0)
		error_set(err, first.kind, 0, "%.700s; the pending snapshot %s was deleted", first.text,
			out->snapshot);
	else
		error_set(err, first.kind, 0,
			"%.500s; snapshot %s is left in %s because it could not be deleted (%.200s)",
			first.text, out->snapshot, aws_region(a), why.text);
	if (err) {
		err->errnum = first.errnum;
		err->http_status = first.http_status;
		memcpy(err->code, first.code, sizeof(err->code));
	}
	out->snapshot[0] = '\0';
}

int snapshot_upload(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err)
{
	uint64_t begin = now_ms(a), before, after, throttled;
	struct ebs_started started = {.snapshot = ""};
	struct error why = ERROR_INIT;
	bool accepted = false;
	int ret;

	memset(out, 0, sizeof(*out));
	aws_retry_counts(a, &before, &throttled);
	if (check_opts(dev, opts, &out->size_gib, err) < 0)
		return -1;
	ret = start(a, opts, out->size_gib, &started, &why);
	memcpy(out->snapshot, started.snapshot, sizeof(out->snapshot));
	if (ret == 0)
		ret = check_started(&started, opts, &why);
	if (ret == 0)
		ret = snapshot_send(a, dev, opts, begin, out, &why);
	if (ret == 0)
		ret = complete(a, opts, out, &accepted, &why);
	aws_retry_counts(a, &after, &throttled);
	out->retries = after - before;
	out->elapsed_ms = now_ms(a) - begin;
	if (ret == 0)
		return 0;
	/*
	 * Complete and only not confirmed: nobody's whole upload is thrown away for a lost answer.
	 */
	if (out->snapshot[0])
		undo(a, out, accepted && why.kind == ERROR_NETWORK, &why);
	if (err)
		*err = why;
	return -1;
}
