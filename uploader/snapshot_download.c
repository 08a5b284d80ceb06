/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as a raw image. The list of blocks goes through in index order: blocks that an earlier
 * run left whole are passed over, gaps between blocks are zeroed where the target does not read as
 * zeros anyway. Blocks are written as they come, then noted in the journal: in that order, so that a
 * record never speaks of a block that was not written.
 */
#include "uploader/snapshot_download.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/zero.h"
#include "uploader/snapshot_internal.h"
#include "uploader/download_device.h"
#include "uploader/download_journal.h"
#include "uploader/snapshot_read.h"
#include "uploader/download_check.h"
#include "uploader/download_target.h"

enum { WAIT_MS = 200 };

#define ZERO_STEP (64 * MIB) /* zeroed at once: requests under way go on in between */

struct download {
	struct aws *aws;
	const char *snapshot;
	const struct snapshot_download_opts *opts;
	struct snapshot_download_result *out;
	struct download_target target;
	struct download_journal journal;
	bool found;              /* an earlier run left something of use */
	bool resumed;            /* the journal may have blocks */
	bool refused;            /* what the device holds is not ours */
	struct snapshot_pages *pages;
	const struct ebs_block_list *page;
	size_t next;             /* in the page */
	uint64_t listed, kept;   /* blocks */
	uint64_t pos;            /* TARGET_DEVICE: gaps before it are zero; TARGET_STREAM: written */
	uint64_t fetched;
	struct sha256 *aggregate; /* TARGET_STREAM */
	struct progress progress;
};

static int next_page(struct download *d, struct error *err)
{
	if (snapshot_pages_next(d->pages, &d->page, err) < 0)
		return -1;
	d->next = 0;
	d->listed += d->page->nr;
	progress_set_total(&d->progress, (d->listed - d->kept) * EBS_BLOCK_SIZE);
	return 0;
}

/* A device up to `end`; a file's gaps are holes already. */
static int zero_to(struct download *d, uint64_t end, struct error *err)
{
	while (d->target.kind == TARGET_DEVICE && d->pos < end) {
		uint64_t len = MIN(end - d->pos, ZERO_STEP);

		if (download_target_zero(&d->target, d->pos, len, err) < 0)
			return -1;
		d->pos += len;
		if (aws_run(d->aws, 0, -1, err) < 0)
			return -1;
	}
	return 0;
}

static int is_kept(struct download *d, uint64_t index, bool *kept, struct error *err)
{
	uint8_t digest[1][SHA256_SIZE];

	*kept = false;
	if (!d->resumed)
		return 0;
	if (download_journal_read(&d->journal, index, 1, digest, err) < 0)
		return -1;
	*kept = !download_journal_is_empty(digest[0]);
	return 0;
}

/* For the reader: the next block that has to be fetched. */
static int next_block(void *arg, struct ebs_block *block, struct error *err)
{
	struct download *d = arg;

	for (;;) {
		const struct ebs_block *b;
		bool kept;

		if (d->next == d->page->nr && next_page(d, err) < 0)
			return -1;
		if (d->page->nr == 0)
			return 0;
		b = &d->page->items[d->next++];
		if (is_kept(d, b->index, &kept, err) < 0 ||
		    zero_to(d, b->index * EBS_BLOCK_SIZE, err) < 0)
			return -1;
		if (d->target.kind == TARGET_DEVICE)
			d->pos = (b->index + 1) * EBS_BLOCK_SIZE;
		if (!kept) {
			*block = *b;
			return 1;
		}
		d->kept++;
	}
}

static int store(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct download *d = arg;
	uint64_t off = index * EBS_BLOCK_SIZE;
	int ret;

	if (zero_all(data, EBS_BLOCK_SIZE)) {
		d->out->blocks_zero++;
		ret = download_target_zero(&d->target, off, EBS_BLOCK_SIZE, err);
	} else {
		ret = download_target_write(&d->target, data, EBS_BLOCK_SIZE, off, err);
	}
	if (ret < 0)
		return -1;
	d->fetched++;
	return d->journal.fd < 0 ? 0 : download_journal_write(&d->journal, index, digest, err);
}

/* Writes zeros up to an offset; 1 when the stream does not take all of them now. */
static int stream_zeros(struct download *d, uint64_t end, struct error *err)
{
	static const uint8_t zeros[64 * 1024];

	while (d->pos < end) {
		size_t len = (size_t)MIN(end - d->pos, sizeof(zeros)), taken;

		if (download_target_offer(&d->target, zeros, len, &taken, err) < 0)
			return -1;
		d->pos += taken;
		if (taken < len)
			return 1;
	}
	return 0;
}

static int stream(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct download *d = arg;
	uint64_t off = index * EBS_BLOCK_SIZE;
	int ret = stream_zeros(d, off, err);
	size_t left, taken;

	if (ret != 0)
		return ret;
	left = (size_t)(off + EBS_BLOCK_SIZE - d->pos);
	if (download_target_offer(&d->target, (const char *)data + EBS_BLOCK_SIZE - left, left,
		    &taken, err) < 0)
		return -1;
	d->pos += taken;
	if (taken < left)
		return 1;
	d->out->blocks_zero += zero_all(data, EBS_BLOCK_SIZE);
	d->fetched++;
	return sha256_update(d->aggregate, digest, SHA256_SIZE, err);
}

/* The zeros behind the last block. */
static int stream_tail(struct download *d, struct error *err)
{
	int ret;

	while ((ret = stream_zeros(d, d->out->size_gib * GIB, err)) > 0) {
		if (aws_run(d->aws, WAIT_MS, d->target.wake_fd, err) < 0)
			return -1;
	}
	return ret;
}

/*
 * Whether what was found on a guarded device is an earlier run's. It was found by what block 0 has, so
 * that must be one of the blocks that are known to be ours. That the journal is this device's is not
 * enough: others may have written to it since.
 */
static int check_guarded(struct download *d, bool noted, struct error *err)
{
	uint8_t first[1][SHA256_SIZE] = {{0}};
	struct error why = ERROR_INIT;
	uint64_t dropped;

	if (noted && download_journal_read(&d->journal, 0, 1, first, err) < 0)
		return -1;
	if (!download_journal_is_empty(first[0])) {
		if (download_check(&d->target, &d->journal, true, d->opts->workers, d->opts->cancelled,
			    d->opts->progress, &d->out->blocks_kept, &dropped, &why) == 0)
			return 0;
		if (why.kind != ERROR_POLICY) {
			*err = why;
			return -1;
		}
	}
	d->refused = true;
	return error_set(err, ERROR_POLICY, 0,
		"a partition table or file system is on '%s', and it is not what an earlier download of "
		"%s wrote there: --force overwrites it", d->target.name, d->snapshot);
}

/* Keeps of an earlier run's blocks those that are whole. */
static int take_up(struct download *d, const char *path, struct error *err)
{
	uint64_t dropped = 0;

	d->resumed = true;
	if (!d->opts->guarded &&
	    download_check(&d->target, &d->journal, false, d->opts->workers, d->opts->cancelled,
		    d->opts->progress, &d->out->blocks_kept, &dropped, err) < 0)
		return -1;
	log_info("%s: %" PRIu64 " blocks of an earlier run are there%s", path, d->out->blocks_kept,
		dropped ? "" : ", all whole");
	if (dropped)
		log_info("%s: %" PRIu64 " blocks of an earlier run are not whole and are fetched again",
			path, dropped);
	return 0;
}

/* A file and its journal are of use only together. */
static int match_file(struct download *d, bool noted, uint64_t size, struct error *err)
{
	if (d->found && noted)
		return download_target_resize(&d->target, size, err);
	if (noted)
		return download_journal_reset(&d->journal, err);
	if (!d->found)
		return 0;
	d->found = false;
	return download_target_reset(&d->target, size, err);
}

/* Where the target's journal is; NULL: it has none. */
static int find_journal(const struct download *d, char **journal, struct error *err)
{
	*journal = NULL;
	if (d->target.kind == TARGET_DEVICE)
		return d->opts->journal_dir ? download_device_journal(d->target.fd,
						      d->opts->journal_dir, d->snapshot, journal, err)
					    : 0;
	*journal = buf_strf(err, "%s.journal", d->target.name);
	return *journal ? 0 : -1;
}

/* Opens target and journal, and finds out what is there of an earlier run. */
static int open_target(struct download *d, const char *path, struct error *err)
{
	uint64_t size = d->out->size_gib * GIB;
	CLEANUP_FREE char *journal = NULL;
	bool noted = false;

	if (download_target_open(&d->target, path, d->snapshot, size, &d->found, err) < 0)
		return -1;
	if (find_journal(d, &journal, err) < 0)
		return -1;
	if (journal && download_journal_open(&d->journal, journal, d->snapshot, aws_region(d->aws),
			       d->out->size_gib, &noted, err) < 0)
		return -1;
	if (d->target.kind == TARGET_DEVICE)
		d->found = noted;
	else if (match_file(d, noted, size, err) < 0)
		return -1;
	if (d->opts->guarded && check_guarded(d, noted, err) < 0)
		return -1;
	return d->found ? take_up(d, path, err) : 0;
}

static int fetch(struct download *d, struct error *err)
{
	const struct snapshot_source source = {next_block, d};
	struct snapshot_read_opts read = {
		.max_inflight = d->opts->max_inflight,
		.cancelled = d->opts->cancelled,
		.progress = &d->progress,
		.ordered = d->target.kind == TARGET_STREAM,
		.wake_fd = d->target.wake_fd,
	};
	char what[48];
	int ret;

	snprintf(what, sizeof(what), "download %.36s", d->snapshot);
	progress_begin(&d->progress, d->opts->progress, what, d->listed * EBS_BLOCK_SIZE);
	ret = snapshot_read(d->aws, d->snapshot, &source, &read,
		read.ordered ? stream : store, d, err);
	if (ret == 0)
		ret = read.ordered ? stream_tail(d, err) : zero_to(d, d->out->size_gib * GIB, err);
	progress_end(&d->progress, ret == 0);
	d->out->blocks = d->listed;
	return ret;
}

static int finish(struct download *d, struct error *err)
{
	d->out->aggregate_known = d->aggregate || d->journal.fd >= 0;
	if (d->aggregate && sha256_final(d->aggregate, d->out->aggregate, err) < 0)
		return -1;
	if (d->journal.fd >= 0 &&
	    download_journal_aggregate(&d->journal, d->out->aggregate, err) < 0)
		return -1;
	return download_target_commit(&d->target, d->opts->durable, err);
}

/* The first page, before anything is made: whether there is such a snapshot, and its size. */
static int begin(struct download *d, struct error *err)
{
	d->pages = snapshot_pages_open(d->aws, d->snapshot, 0, err);
	if (!d->pages || next_page(d, err) < 0)
		return -1;
	d->out->size_gib = d->page->size_gib;
	return 0;
}

/* What is left of a failed download stays only if it saves work, and then the message says so. */
static void say_what_is_left(const struct download *d, struct error *err)
{
	struct error first;

	if (!err || d->journal.fd < 0)
		return;
	first = *err;
	error_set(err, first.kind, 0,
		"%.700s; %" PRIu64 " blocks are kept in '%.200s': rerun the same command to resume",
		first.text, d->out->blocks_kept + d->fetched, d->target.name);
	err->errnum = first.errnum;
	err->http_status = first.http_status;
	memcpy(err->code, first.code, sizeof(err->code));
}

static void end(struct download *d, int ret, struct error *err)
{
	bool keep = ret < 0 && (d->found || d->fetched > 0);

	if (keep && !d->refused)
		say_what_is_left(d, err);
	download_journal_close(&d->journal, !keep);
	download_target_close(&d->target, !keep);
	snapshot_pages_close(d->pages);
	sha256_free(d->aggregate);
}

static int to_path(struct download *d, const char *path, struct error *err)
{
	if (begin(d, err) < 0 || open_target(d, path, err) < 0 || fetch(d, err) < 0)
		return -1;
	return finish(d, err);
}

static int to_stream(struct download *d, struct error *err)
{
	d->aggregate = sha256_new(err);
	if (!d->aggregate || begin(d, err) < 0 || fetch(d, err) < 0)
		return -1;
	return finish(d, err);
}

/* path NULL: d->target is a stream already. */
static int run(struct download *d, const char *path, struct error *err)
{
	const struct aws_clock *clock = aws_clock(d->aws);
	uint64_t begin_ms = clock->monotonic_ms(clock->arg), before, after, throttled;
	int ret;

	memset(d->out, 0, sizeof(*d->out));
	aws_retry_counts(d->aws, &before, &throttled);
	ret = path ? to_path(d, path, err) : to_stream(d, err);
	end(d, ret, err);
	aws_retry_counts(d->aws, &after, &throttled);
	d->out->retries = after - before;
	d->out->elapsed_ms = clock->monotonic_ms(clock->arg) - begin_ms;
	return ret;
}

int snapshot_download(struct aws *a, const char *snapshot, const char *path,
	const struct snapshot_download_opts *opts, struct snapshot_download_result *out,
	struct error *err)
{
	struct download d = {.aws = a, .snapshot = snapshot, .opts = opts, .out = out,
		.target = DOWNLOAD_TARGET_INIT, .journal = DOWNLOAD_JOURNAL_INIT};

	return run(&d, path, err);
}

int snapshot_stream(struct aws *a, const char *snapshot, int fd, const char *name,
	const struct snapshot_download_opts *opts, struct snapshot_download_result *out,
	struct error *err)
{
	struct download d = {.aws = a, .snapshot = snapshot, .opts = opts, .out = out,
		.target = DOWNLOAD_TARGET_INIT, .journal = DOWNLOAD_JOURNAL_INIT};

	if (download_target_stream(&d.target, fd, name, err) < 0) {
		download_target_close(&d.target, false);
		return -1;
	}
	return run(&d, NULL, err);
}
