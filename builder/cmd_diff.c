/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright diff`: which blocks differ between two snapshots, two images, or one of each. */
#include "builder/command.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/snapshot_diff.h"

struct diff_options {
	bool by_content;
};

static const struct options_def options[] = {
	{"by-content", 0, OPTIONS_FLAG, offsetof(struct diff_options, by_content), NULL,
		"two snapshots: read what AWS lists as changed, and leave out what is equal", 0, 0, NULL},
	{0},
};

struct diff {
	struct context *ctx;
	const char *name[2];
	struct dev *image[2];   /* NULL: a snapshot */
	struct buf text;        /* the ranges, a line each */
	struct json *ranges;    /* --json; owned */
	struct snapshot_diff_result result;
	const char *method;     /* "list", "list and content", "content" */
};

/* A file of such a name wins: it is what the shell would find as well. */
static int open_side(struct diff *d, int i, struct error *err)
{
	const char *hex = d->name[i] + 5;
	bool id = strncmp(d->name[i], "snap-", 5) == 0 && hex[0] &&
		  hex[strspn(hex, "0123456789abcdef")] == '\0';

	if (id && access(d->name[i], F_OK) < 0)
		return 0;
	d->image[i] = context_open_disk(d->ctx, d->name[i], err);
	return d->image[i] ? 0 : -1;
}

static int add_range_json(struct diff *d, uint64_t first, uint64_t nr, struct error *err)
{
	CLEANUP(json_cleanup) struct json *range = json_new_object(err);

	if (!range || json_set_int(range, "first_block", (int64_t)first, err) < 0 ||
	    json_set_int(range, "last_block", (int64_t)(first + nr - 1), err) < 0 ||
	    json_set_int(range, "offset", (int64_t)(first * EBS_BLOCK_SIZE), err) < 0 ||
	    json_set_int(range, "bytes", (int64_t)(nr * EBS_BLOCK_SIZE), err) < 0)
		return -1;
	return json_append(d->ranges, steal_ptr(&range), err);
}

static int on_range(void *arg, uint64_t first, uint64_t nr, struct error *err)
{
	struct diff *d = arg;

	if (d->ranges)
		return add_range_json(d, first, nr, err);
	log_status_line(NULL);
	buf_clear(&d->text);
	if (buf_addf(&d->text, err, "%" PRIu64 "..%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", first,
		    first + nr - 1, first * EBS_BLOCK_SIZE, nr * EBS_BLOCK_SIZE) < 0)
		return -1;
	return context_print(&d->text, err);
}

static int by_content(struct diff *d, const struct snapshot_diff_opts *opts, struct error *err)
{
	struct snapshot_side side[2] = {{.size = 0}, {.size = 0}};
	int ret = 0;

	d->method = "content";
	for (int i = 0; i < 2 && ret == 0; i++) {
		struct aws *aws = d->image[i] ? NULL : context_aws(d->ctx, err);

		if (d->image[i])
			ret = snapshot_side_of_dev(&side[i], d->image[i], err);
		else
			ret = aws ? snapshot_side_of_snapshot(&side[i], aws, d->name[i], err) : -1;
	}
	if (ret == 0)
		ret = snapshot_diff(&side[0], &side[1], opts, &d->result, err);
	snapshot_side_release(&side[0]);
	snapshot_side_release(&side[1]);
	return ret;
}

static int compare(struct diff *d, const struct diff_options *o, const struct snapshot_diff_opts *opts,
	struct error *err)
{
	struct aws *aws;
	int ret;

	if (d->image[0] || d->image[1])
		return by_content(d, opts, err);
	aws = context_aws(d->ctx, err);
	if (!aws)
		return -1;
	d->method = o->by_content ? "list and content" : "list";
	ret = snapshot_diff_listed(aws, d->name[0], d->name[1], o->by_content, opts, &d->result, err);
	if (ret <= 0)
		return ret;
	log_info("%s and %s have no common origin: their content is read and compared", d->name[0],
		d->name[1]);
	return by_content(d, opts, err);
}

/* Of two images or two snapshots; a volume is longer than its image by nature. */
static bool sizes_differ(const struct diff *d)
{
	return !d->image[0] == !d->image[1] && d->result.size[0] != d->result.size[1];
}

static int print_json(struct diff *d, bool same, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	const struct snapshot_diff_result *r = &d->result;

	if (!doc || json_set_str(doc, "first", d->name[0], err) < 0 ||
	    json_set_str(doc, "second", d->name[1], err) < 0 ||
	    json_set_bool(doc, "same", same, err) < 0 ||
	    json_set_str(doc, "method", d->method, err) < 0 ||
	    json_set_int(doc, "first_bytes", (int64_t)r->size[0], err) < 0 ||
	    json_set_int(doc, "second_bytes", (int64_t)r->size[1], err) < 0 ||
	    json_set_int(doc, "block_size", EBS_BLOCK_SIZE, err) < 0 ||
	    json_set_int(doc, "blocks_changed", (int64_t)r->changed, err) < 0 ||
	    json_set_int(doc, "blocks_compared", (int64_t)r->compared, err) < 0 ||
	    json_set(doc, "ranges", steal_ptr(&d->ranges), err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static int report(struct diff *d, struct error *err)
{
	const struct snapshot_diff_result *r = &d->result;
	bool same = r->changed == 0 && !sizes_differ(d);

	d->ctx->status = same ? 0 : 1;
	log_info("%s, %s: %" PRIu64 " blocks of 512 KiB differ in %" PRIu64 " places (by %s)%s",
		d->name[0], d->name[1], r->changed, r->ranges, d->method,
		sizes_differ(d) ? "; their sizes differ" : "");
	return d->ctx->opts.json ? print_json(d, same, err) : 0;
}

static int run_diff(struct diff *d, const struct diff_options *o, struct error *err)
{
	struct progress progress;
	struct snapshot_diff_opts opts = {
		.side = {.workers = context_workers(d->ctx), .cancelled = context_cancelled,
			.progress = &progress},
		.range = on_range,
		.arg = d,
	};
	int ret;

	if (d->ctx->opts.json && !(d->ranges = json_new_array(err)))
		return -1;
	if (open_side(d, 0, err) < 0 || open_side(d, 1, err) < 0)
		return -1;
	if (o->by_content && (d->image[0] || d->image[1]))
		return error_set(err, ERROR_USAGE, 0,
			"--by-content is for two snapshots: images are compared by content anyway");
	progress_begin(&progress, &d->ctx->progress, "compare", 0);
	ret = compare(d, o, &opts, err);
	progress_end(&progress, ret == 0);
	return ret < 0 ? -1 : report(d, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct diff d = {.ctx = ctx, .name = {args->items[0], args->items[1]}, .text = BUF_INIT(0)};
	int ret = run_diff(&d, popts, err);

	dev_close(d.image[0], NULL);
	dev_close(d.image[1], NULL);
	json_free(d.ranges);
	buf_release(&d.text);
	return ret;
}

const struct command cmd_diff = {
	.name = "diff",
	.args = "A B",
	.summary = "blocks that differ between snapshots or images",
	.description =
		"Compares two snapshots, two images, or one of each in blocks of 512 KiB and prints a\n"
		"line for each run of blocks that differ: FIRST..LAST, offset and length in bytes. The\n"
		"exit status is 0 when there is none, 1 when there are some. For two snapshots of one\n"
		"origin AWS knows what changed; all else is read and compared.",
	.options = options,
	.options_size = sizeof(struct diff_options),
	.min_args = 2,
	.max_args = 2,
	.run = run,
};
