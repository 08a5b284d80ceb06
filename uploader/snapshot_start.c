/* SPDX-License-Identifier: Apache-2.0 */
/*
 * StartSnapshot, safe to repeat: a token that was used before gives the snapshot of then, which may
 * be pending (and is gone on with), completed or deleted (and another token is taken).
 */
#include "uploader/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"

enum { MAX_TOKENS = 20, TOKEN_SIZE = 65 };

static int start_with(struct aws *a, const struct snapshot_upload_opts *opts, uint64_t size_gib,
	const char *token, struct ebs_started *started, struct error *err)
{
	struct ebs_start_opts start = {
		.size_gib = size_gib,
		.description = opts->description,
		.client_token = token,
		.parent = opts->parent,
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
int snapshot_start(struct aws *a, const struct snapshot_upload_opts *opts, const char *first_token,
	uint64_t size_gib, struct ebs_started *started, struct error *err)
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
			snprintf(token, sizeof(token), "%s", first_token);
		else
			snprintf(token, sizeof(token), "%.60s-%u", first_token, n);
		if (start_with(a, opts, size_gib, token, started, &why) == 0 &&
		    is_spent(a, started, asked, &spent, &why) == 0) {
			if (!spent)
				return 0;
			continue;
		}
		/* The token was used with another size or description. */
		if (strcmp(why.code, "ConflictException") == 0)
			continue;
		/* A journal has the token: the next run asks with it. */
		if (why.kind == ERROR_INTERRUPTED && !opts->journal)
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
		first_token, MAX_TOKENS - 1);
}

int snapshot_check_encryption(const struct snapshot_upload_opts *opts, const char *snapshot,
	bool encrypted, const char *kms_key, struct error *err)
{
	if (!opts->encrypted && !opts->kms_key)
		return 0;
	if (!encrypted)
		return error_set(err, ERROR_SERVICE, 0,
			"AWS made snapshot %s unencrypted, though an encrypted one was asked for", snapshot);
	if (opts->kms_key && kms_key[0] && strcmp(opts->kms_key, kms_key) != 0)
		return error_set(err, ERROR_SERVICE, 0,
			"AWS encrypted snapshot %s with %s and not with %s, which was asked for", snapshot,
			kms_key, opts->kms_key);
	return 0;
}

/*
 * Before a byte is sent. The key in the answer, or its SseType, tells; who answers with neither is
 * asked by DescribeSnapshots, if it knows the snapshot already. After the upload it is asked again.
 */
static int check_started_encryption(struct aws *a, const struct ebs_started *started,
	const struct snapshot_upload_opts *opts, struct error *err)
{
	bool encrypted = strcmp(started->sse, "none") != 0;
	struct ec2_snapshot s;

	if ((opts->encrypted || opts->kms_key) && !started->kms_key[0] && !started->sse[0] &&
	    ec2_describe_snapshot(a, started->snapshot, &s, NULL) == 0)
		encrypted = s.encrypted;
	return snapshot_check_encryption(opts, started->snapshot, encrypted, started->kms_key, err);
}

int snapshot_check_started(struct aws *a, const struct ebs_started *started,
	const struct snapshot_upload_opts *opts, struct error *err)
{
	if (started->block_size != EBS_BLOCK_SIZE)
		return error_set(err, ERROR_SERVICE, 0,
			"StartSnapshot wants blocks of %" PRIu32 " bytes; only %d are supported",
			started->block_size, EBS_BLOCK_SIZE);
	if (opts->skip == SNAPSHOT_SKIP_ZEROS && started->kms_key[0])
		return error_set(err, ERROR_POLICY, 0,
			"zeros cannot be left out: this account encrypts new snapshots by default, and "
			"blocks that are absent there read as random bytes");
	return check_started_encryption(a, started, opts, err);
}

