/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot transfer: a device into a new EBS snapshot, and a snapshot into a file. Reading, hashing
 * and sending overlap; buffers are bounded whatever the disk's size; the number of requests under
 * way adapts to throughput and throttling.
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

struct snapshot_upload_opts {
	const char *description;
	const char *client_token;       /* required; see ebs_start_opts */
	uint64_t size_gib;              /* 0: device size rounded up, at least 1 */
	bool encrypted;
	const char *kms_key;
	unsigned timeout_min;
	const struct aws_tag *tags;
	size_t nr_tags;
	enum snapshot_skip skip;
	unsigned workers;               /* threads that read and hash */
	unsigned max_inflight;          /* ceiling of requests under way; 0: 64 */
	unsigned wait_s;                /* for completed; 0: 3600 */
	bool (*cancelled)(void);        /* may be NULL */
	const struct progress_opts *progress; /* may be NULL */
	/* Called once in index order for each block sent, with its digest; may be NULL. */
	int (*block)(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE], struct error *err);
	void *block_arg;
};

struct snapshot_result {
	char snapshot[EBS_ID_SIZE];     /* set as soon as it exists, also when the upload fails */
	uint64_t size_gib;
	uint64_t blocks_sent, blocks_zero, blocks_unused; /* zero: sent as zeros; unused: left out */
	uint64_t retries;
	uint8_t aggregate[SHA256_SIZE];
	uint64_t elapsed_ms;
};

/*
 * Uploads and waits until EC2 says completed. On failure the pending snapshot is deleted when that
 * is possible, and the message names it and says which of the two holds; out->snapshot is empty
 * then. ERROR_INTERRUPTED likewise names it.
 */
int snapshot_upload(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	struct snapshot_result *out, struct error *err) MUST_CHECK;

struct snapshot_download_opts {
	unsigned max_inflight;
	bool (*cancelled)(void);
	const struct progress_opts *progress;
	bool durable;
};
/*
 * Into a sparse file of the volume's size (absent blocks are holes), each block's digest checked,
 * atomic name.
 */
int snapshot_download(struct aws *a, const char *snapshot, const char *path,
	const struct snapshot_download_opts *opts, struct snapshot_result *out, struct error *err)
	MUST_CHECK;

#endif
