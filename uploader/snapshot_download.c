/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot into a sparse file: each block is written when it came and was checked; zeros stay
 * holes; the file gets its name when it is whole.
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
#include "uploader/snapshot_read.h"

struct download {
	struct aws *aws;
	const char *snapshot;
	struct atomic_file file;
	struct snapshot_pages *pages;
	const struct ebs_block_list *page;
	size_t next; /* in the page */
	uint64_t listed;
	struct progress progress;
	struct snapshot_result *out;
};

static int store(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	struct download *d = arg;

	(void)digest;
	d->out->blocks_sent++;
	if (snapshot_is_zero(data, EBS_BLOCK_SIZE)) {
		d->out->blocks_zero++;
		return 0;
	}
	return file_pwrite_all(d->file.fd, data, EBS_BLOCK_SIZE, index * EBS_BLOCK_SIZE,
		d->file.path, err);
}

static int next_page(struct download *d, struct error *err)
{
	int ret = snapshot_pages_next(d->pages, &d->page, err);

	if (ret < 0)
		return -1;
	d->next = 0;
	d->listed += d->page->nr;
	progress_set_total(&d->progress, d->listed * EBS_BLOCK_SIZE);
	return 0;
}

static int next_block(void *arg, struct ebs_block *block, struct error *err)
{
	struct download *d = arg;

	if (d->next == d->page->nr && next_page(d, err) < 0)
		return -1;
	if (d->page->nr == 0)
		return 0;
	*block = d->page->items[d->next++];
	return 1;
}

static int set_size(struct download *d, struct error *err)
{
	d->out->size_gib = d->page->size_gib;
	if (ftruncate(d->file.fd, (off_t)(d->out->size_gib * GIB)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot give '%s' %" PRIu64 " GiB", d->file.path,
			d->out->size_gib);
	return 0;
}

static int fetch(struct download *d, const struct snapshot_download_opts *opts, struct error *err)
{
	const struct snapshot_source source = {next_block, d};
	struct snapshot_read_opts read = {.max_inflight = opts->max_inflight,
		.cancelled = opts->cancelled, .progress = &d->progress};

	d->pages = snapshot_pages_open(d->aws, d->snapshot, 0, err);
	if (!d->pages || next_page(d, err) < 0 || set_size(d, err) < 0)
		return -1;
	return snapshot_read(d->aws, d->snapshot, &source, &read, store, d, err);
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
	ret = fetch(d, opts, err);
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
	struct download d = {.aws = a, .snapshot = snapshot, .file = ATOMIC_FILE_INIT, .out = out};
	int ret;

	memset(out, 0, sizeof(*out));
	snprintf(out->snapshot, sizeof(out->snapshot), "%s", snapshot);
	aws_retry_counts(a, &before, &throttled);
	ret = run(&d, path, opts, err);
	snapshot_pages_close(d.pages);
	atomic_file_abort(&d.file);
	aws_retry_counts(a, &after, &throttled);
	out->retries = after - before;
	out->elapsed_ms = clock->monotonic_ms(clock->arg) - begin;
	return ret;
}
