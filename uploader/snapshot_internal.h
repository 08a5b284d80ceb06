/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside snapshot*.c.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_INTERNAL_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_INTERNAL_H

#include "uploader/snapshot.h"

/* What an upload is made of, for snapshot_send(); all borrowed. */
struct snapshot_job {
	struct dev *dev;
	const struct snapshot_upload_opts *opts;
	uint64_t started_ms;              /* when the snapshot was started (monotonic) */
	struct snapshot_table *parent;    /* NULL: none */
	struct snapshot_table *written;   /* by an earlier run; NULL: nothing */
	struct snapshot_journal *journal; /* NULL: none */
	bool resumed;                     /* the snapshot is the journal's, of an earlier run */
	/*
	 * There is a journal of an earlier run, and this one could not find out what became of its
	 * snapshot: whatever happens, neither of them is removed.
	 */
	bool in_doubt;
};

/* Sends what is to be sent into out->snapshot. Fills the counts and the aggregate of out. */
int snapshot_send(struct aws *a, const struct snapshot_job *job, struct snapshot_result *out,
	struct error *err) MUST_CHECK;

/*
 * StartSnapshot with this token, or with the next of its numbered variants that is not spent. On
 * failure started->snapshot is "" or a pending one that is to be removed.
 */
int snapshot_start(struct aws *a, const struct snapshot_upload_opts *opts, const char *token,
	uint64_t size_gib, struct ebs_started *started, struct error *err) MUST_CHECK;
/* Whether what was started is what is wanted; its id is set in any case. */
int snapshot_check_started(struct aws *a, const struct ebs_started *started,
	const struct snapshot_upload_opts *opts, struct error *err) MUST_CHECK;
/*
 * Whether a snapshot is encrypted as was asked for; ERROR_SERVICE when not. kms_key: its key's ARN, ""
 * when that is not known.
 */
int snapshot_check_encryption(const struct snapshot_upload_opts *opts, const char *snapshot,
	bool encrypted, const char *kms_key, struct error *err) MUST_CHECK;

/*
 * Whether a run with the same journal could get further: not after what AWS refuses for good, and
 * not after our own bugs.
 */
bool snapshot_can_resume(const struct error *why);

/*
 * Opens the journal of the job and finds out what became of the upload that it tells of. *stage says
 * where to go on; but for SNAPSHOT_NEW out->snapshot is set, and what the journal says was sent.
 */
enum snapshot_stage { SNAPSHOT_NEW, SNAPSHOT_SEND, SNAPSHOT_COMPLETE, SNAPSHOT_DONE };
int snapshot_resume(struct aws *a, struct snapshot_job *job, struct snapshot_result *out,
	enum snapshot_stage *stage, struct error *err) MUST_CHECK;

/* CompleteSnapshot with the counts of out, and the wait for EC2's word. */
int snapshot_complete(struct aws *a, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, bool *accepted, struct error *err) MUST_CHECK;

/* EC2 has said that there is no such snapshot: none that these credentials may see. */
bool snapshot_is_unknown(const struct error *why);
/*
 * Whether a snapshot that EC2 does not know is really gone: 0 when the credentials are its owner's.
 * ERROR_POLICY when they are another account's or owner is not known ("" or "-"); any error of STS.
 */
int snapshot_check_owner(struct aws *a, const char *snapshot, const char *owner, struct error *err)
	MUST_CHECK;
/*
 * Removes a pending snapshot, also while the user interrupts. One that is gone is fine: by the rule
 * above, or, with owner NULL, because these very credentials have started it.
 */
int snapshot_remove(struct aws *a, const char *snapshot, const char *owner, struct error *err)
	MUST_CHECK;

#endif
