/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot transfer: a device into a new EBS snapshot. Reading, hashing and sending overlap; buffers
 * are bounded whatever the disk's size; the number of requests under way adapts to throughput and
 * throttling. The way back is snapshot_download.h.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_H

#include "base/dev.h"
#include "base/progress.h"
#include "uploader/ebs.h"

enum snapshot_skip {
	SNAPSHOT_SKIP_UNUSED, /* blocks that nobody reads are left out (default) */
	SNAPSHOT_SKIP_NEVER,  /* every block is sent */
	SNAPSHOT_SKIP_ZEROS,  /* zero blocks too; refused for encrypted targets */
};

/* On every snapshot that an upload with a journal starts; the value says of what. */
#define SNAPSHOT_TAG "amiwright:upload"

struct snapshot_table;

struct snapshot_upload_opts {
	const char *description;
	const char *client_token;       /* required; see ebs_start_opts */
	uint64_t size_gib;              /* 0: device or parent size rounded up, at least 1 */
	bool encrypted;
	const char *kms_key;
	unsigned timeout_min;
	const struct aws_tag *tags;
	size_t nr_tags;
	enum snapshot_skip skip;
	unsigned workers;               /* threads that read and hash */
	unsigned max_inflight;          /* ceiling of requests under way; 0: 64 */
	unsigned wait_s;                /* for completed; 0: 3600 */
	const char *spool_dir;          /* for tables of digests; NULL: /var/tmp */
	bool (*cancelled)(void);        /* may be NULL */
	const struct progress_opts *progress; /* may be NULL */
	/*
	 * Only what differs from this snapshot is sent; encryption is the parent's. Where its digests
	 * come from: see snapshot_parent.h.
	 */
	const char *parent;             /* NULL: none */
	struct dev *parent_image;       /* what was uploaded as the parent, or NULL */
	const struct snapshot_table *parent_known; /* digests of its data by its manifest, or NULL */
	/*
	 * The file that makes an upload go on where it ended, see snapshot_journal.h; NULL: an upload
	 * that fails leaves nothing. source says of what content and state the device is.
	 */
	const char *journal;
	const char *source;
	/* One of several machines that share a snapshot, which is there already; counts from 1. */
	const char *snapshot;
	unsigned shard, nr_shards;      /* 0 of 0: all of it */
	/* Called once in index order for each block of the snapshot, with its digest; may be NULL. */
	int (*block)(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE], struct error *err);
	void *block_arg;
};

struct snapshot_result {
	char snapshot[EBS_ID_SIZE];     /* set as soon as it exists, also when the upload fails */
	uint64_t size_gib;
	/* sent: all that this snapshot holds itself; zero: of these, zeros; unused: left out */
	uint64_t blocks_sent, blocks_zero, blocks_unused;
	uint64_t blocks_resumed;        /* of those sent: by an earlier run */
	uint64_t blocks_same;           /* of those left out: equal to the parent's */
	uint64_t retries;
	uint8_t aggregate[SHA256_SIZE];
	uint64_t elapsed_ms;
};

/*
 * Uploads and waits until EC2 says completed. Without a journal: on failure the pending snapshot is
 * deleted when that is possible, and the message names it and says which of the two holds;
 * out->snapshot is empty then. ERROR_INTERRUPTED likewise names it. With one: what can be resumed
 * (an interruption, the network, the service's own trouble, expired credentials) keeps snapshot and
 * journal, and the same call goes on; what cannot is removed. A shard is not completed, its journal
 * stays and is what snapshot_finish() wants.
 */
int snapshot_upload(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err) MUST_CHECK;

/* Only starts a snapshot for dev, for shards; opts as above. */
int snapshot_begin(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err) MUST_CHECK;

/*
 * Completes a snapshot from the journals of all its shards, in any order, and waits. ERROR_INPUT
 * when one is missing, unfinished, twice there or of something else. The journals stay; after a
 * failure the snapshot, too, and the message says so.
 */
int snapshot_finish(struct aws *a, const char *snapshot, const char *const *journals, size_t nr,
	const struct snapshot_upload_opts *opts, struct snapshot_result *out, struct error *err)
	MUST_CHECK;

/*
 * Gives up the upload of a journal: the pending snapshot is deleted (not a completed one), then the
 * journal. snapshot gets the id, "" when none was started.
 */
int snapshot_abandon(struct aws *a, const char *journal, char snapshot[EBS_ID_SIZE],
	struct error *err) MUST_CHECK;

#endif
