/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as a raw image: into a sparse file, onto a block device, or as a stream.
 *
 * A file and a device can be resumed after any end, kill -9 included: a journal has the SHA-256 of
 * each block that was written. The next run compares what is there with it and fetches what is
 * missing or damaged.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_DOWNLOAD_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_DOWNLOAD_H

#include "base/progress.h"
#include "uploader/ebs.h"

struct snapshot_download_opts {
	unsigned max_inflight;                /* ceiling of requests under way; 0: 64 */
	unsigned workers;                     /* threads that check what an earlier run wrote */
	bool (*cancelled)(void);              /* may be NULL */
	const struct progress_opts *progress; /* may be NULL */
	bool durable;                         /* a file is forced to the disk before it gets its name */
	const char *journal_dir;              /* for a device: where its journal is; NULL: none, no resuming */
	bool guarded;                         /* a device holds something: go on only where it is
	                                         what an earlier run wrote */
};

struct snapshot_download_result {
	uint64_t size_gib;
	uint64_t blocks;      /* in the snapshot; all others read as zeros */
	uint64_t blocks_kept; /* of these: found whole from an earlier run */
	uint64_t blocks_zero; /* of those that were fetched: nothing but zeros */
	uint64_t retries, elapsed_ms;
	bool aggregate_known; /* false for a device without a journal */
	uint8_t aggregate[SHA256_SIZE]; /* SHA-256 over the raw digests of the blocks in index order */
};

/*
 * To the file `path`, which appears (or is replaced) when it is whole; until then it is
 * "PATH.SNAPSHOT.part" with its journal beside it. What an unsuccessful run leaves, the error says;
 * nothing is left when nothing came.
 *
 * Or onto the block device `path`: its first size_gib GiB then read as the volume does. ERROR_IO
 * when it is in use, ERROR_INPUT when it is too small. The journal is of this very device, not of its
 * name; where nothing tells it from others there is none. What it held is lost; ERROR_POLICY, and all is
 * as it was, when it is guarded and holds anything but what the journal says of an earlier run.
 */
int snapshot_download(struct aws *a, const char *snapshot, const char *path,
	const struct snapshot_download_opts *opts, struct snapshot_download_result *out,
	struct error *err) MUST_CHECK;

/* To a descriptor that need not be seekable, all size_gib GiB in order. name is for messages. */
int snapshot_stream(struct aws *a, const char *snapshot, int fd, const char *name,
	const struct snapshot_download_opts *opts, struct snapshot_download_result *out,
	struct error *err) MUST_CHECK;

#endif
