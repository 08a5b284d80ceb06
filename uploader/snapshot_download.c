/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot into a sparse file: pages of the block list, and for each page as many gets under way
 * as are allowed. Each block's digest is checked before it is written; zeros stay holes; the file
 * gets its name when it is whole.
 */
#include "uploader/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "uploader/snapshot_internal.h"

enum { DEFAULT_INFLIGHT = 32, MAX_INFLIGHT = 64, LOOP_MS = 200 };

struct download;

struct get {
	struct download *d;
	uint64_t index;
	struct aws_call call;
	bool under_way;
};

struct download {
	struct aws *aws;
	const char *snapshot;
	struct atomic_file file;
	struct ebs_block_list list; /* one page */
	size_t next;                /* in the page */
	struct get gets[MAX_INFLIGHT];
	unsigned max, inflight;
	struct progress progress;
	struct snapshot_result *out;
	bool failed;
	struct error error;
};

static int store(struct download *d, const struct get *g, struct error *err)
{
	const void *data = g->call.http.answer.data;

	if (ebs_check_block(&g->call, err) < 0)
		return -1;
	d->out->blocks_sent++;
	progress_add(&d->progress, EBS_BLOCK_SIZE);
	if (snapshot_is_zero(data, EBS_BLOCK_SIZE)) {
		d->out->blocks_zero++;
		return 0;
	}
	return file_pwrite_all(d->file.fd, data, EBS_BLOCK_SIZE, g->index * EBS_BLOCK_SIZE,
		d->file.path, err);
}

static void get_done(struct aws_call *call, void *arg)
{
	struct get *g = arg;
	struct download *d = g->d;
	struct error err = ERROR_INIT;

	g->under_way = false;
	d->inflight--;
	if (!call->ok)
		err = call->error;
	if ((!call->ok || store(d, g, &err) < 0) && !d->failed) {
		d->failed = true;
		d->error = err;
	}
	aws_call_release(call);
}

static struct get *spare(struct download *d)
{
	for (unsigned i = 0; i < d->max; i++) {
		if (!d->gets[i].under_way)
			return &d->gets[i];
	}
	return NULL;
}

static int start_gets(struct download *d, struct error *err)
{
	uint64_t limit = d->list.size_gib * (GIB / EBS_BLOCK_SIZE);

	while (d->next < d->list.nr && d->inflight < d->max) {
		const struct ebs_block *b = &d->list.items[d->next];
		struct get *g = spare(d);

		if (b->index >= limit)
			return error_set(err, ERROR_SERVICE, 0,
				"ListSnapshotBlocks %s: block %" PRIu64 " lies behind the volume's end",
				d->snapshot, b->index);
		if (ebs_get_block_init(d->aws, &g->call, d->snapshot, b, err) < 0)
			return -1;
		g->d = d;
		g->index = b->index;
		g->call.done = get_done;
		g->call.arg = g;
		if (aws_start(d->aws, &g->call, err) < 0) {
			aws_call_release(&g->call);
			return -1;
		}
		g->under_way = true;
		d->inflight++;
		d->next++;
	}
	return 0;
}

static int fetch_page(struct download *d, struct error *err)
{
	d->next = 0;
	while (d->next < d->list.nr || d->inflight > 0) {
		if (start_gets(d, err) < 0 || aws_run(d->aws, LOOP_MS, -1, err) < 0)
			return -1;
		progress_tick(&d->progress);
		if (d->failed) {
			if (err)
				*err = d->error;
			return -1;
		}
	}
	return 0;
}

static int set_size(struct download *d, struct error *err)
{
	if (d->out->size_gib == d->list.size_gib)
		return 0;
	if (d->out->size_gib != 0 || d->list.size_gib == 0 || d->list.size_gib > 65536 ||
	    d->list.block_size != EBS_BLOCK_SIZE)
		return error_set(err, ERROR_SERVICE, 0,
			"ListSnapshotBlocks %s: volume of %" PRIu64 " GiB in blocks of %" PRIu32 " bytes",
			d->snapshot, d->list.size_gib, d->list.block_size);
	d->out->size_gib = d->list.size_gib;
	if (ftruncate(d->file.fd, (off_t)(d->list.size_gib * GIB)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot give '%s' %" PRIu64 " GiB", d->file.path,
			d->list.size_gib);
	return 0;
}

/* Lists and fetches in turns, so that a page is all that is kept of a list of millions. */
static int fetch_all(struct download *d, struct error *err)
{
	char *token = NULL;
	uint64_t total = 0;
	int ret;

	do {
		d->list.nr = 0;
		ret = ebs_list_blocks(d->aws, d->snapshot, 0, &token, &d->list, err);
		if (ret == 0)
			ret = set_size(d, err);
		if (ret == 0) {
			total += d->list.nr;
			progress_set_total(&d->progress, total * EBS_BLOCK_SIZE);
			ret = fetch_page(d, err);
		}
	} while (ret == 0 && token);
	free(token);
	return ret;
}

static void stop(struct download *d)
{
	for (unsigned i = 0; i < d->max; i++) {
		if (!d->gets[i].under_way)
			continue;
		aws_cancel(d->aws, &d->gets[i].call);
		aws_call_release(&d->gets[i].call);
	}
	ebs_block_list_release(&d->list);
	atomic_file_abort(&d->file);
}

static int run(struct download *d, const char *path, const struct snapshot_download_opts *opts,
	struct error *err)
{
	char what[48];
	int ret;

	if (atomic_file_open(&d->file, path, 0644, err) < 0)
		return -1;
	snprintf(what, sizeof(what), "download %.36s", d->snapshot);
	progress_begin(&d->progress, opts->progress, what, 0);
	ret = fetch_all(d, err);
	if (ret == 0)
		ret = atomic_file_commit(&d->file, opts->durable, err);
	progress_end(&d->progress, ret == 0);
	return ret;
}

int snapshot_download(struct aws *a, const char *snapshot, const char *path,
	const struct snapshot_download_opts *opts, struct snapshot_result *out, struct error *err)
{
	const struct aws_clock *clock = aws_clock(a);
	uint64_t begin = clock->monotonic_ms(clock->arg), before, after, throttled;
	struct download *d = calloc(1, sizeof(*d));
	int ret;

	memset(out, 0, sizeof(*out));
	if (!d)
		return error_nomem(err, "a download");
	snprintf(out->snapshot, sizeof(out->snapshot), "%s", snapshot);
	d->aws = a;
	d->snapshot = snapshot;
	d->out = out;
	d->file = (struct atomic_file)ATOMIC_FILE_INIT;
	d->max = MIN(opts->max_inflight ? opts->max_inflight : DEFAULT_INFLIGHT, MAX_INFLIGHT);
	aws_retry_counts(a, &before, &throttled);
	ret = run(d, path, opts, err);
	stop(d);
	free(d);
	aws_retry_counts(a, &after, &throttled);
	out->retries = after - before;
	out->elapsed_ms = clock->monotonic_ms(clock->arg) - begin;
	return ret;
}
