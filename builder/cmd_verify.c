/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright verify`: whether a snapshot holds an image. */
#include "builder/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/manifest_read.h"
#include "fs/probe.h"
#include "uploader/ec2.h"
#include "uploader/snapshot_verify.h"

enum { MAX_SHOWN = 20 };

struct verify_options {
	const char *manifest, *disk, *sample, *seed;
};

#define FIELD(field) offsetof(struct verify_options, field)

static const struct options_def options[] = {
	{"manifest", 0, OPTIONS_TEXT, FIELD(manifest), "FILE",
		"compare with the digests of this manifest instead of an image", 0, 0, NULL},
	{"disk", 0, OPTIONS_TEXT, FIELD(disk), "DEVICE",
		"with --manifest: which of its disks, by the device's name in the spec", 0, 0, NULL},
	{"sample", 0, OPTIONS_TEXT, FIELD(sample), "PERCENT",
		"read only so many of the snapshot's blocks: 5%, 0.1%", 0, 0, NULL},
	{"seed", 0, OPTIONS_TEXT, FIELD(seed), "TEXT",
		"which blocks --sample takes: the same for the same text (default: the snapshot's id)", 0,
		0, NULL},
	{0},
};

struct verify {
	struct context *ctx;
	struct aws *aws;
	const char *snapshot, *name;
	struct json *list; /* --json: the first wrong blocks; owned */
	struct buf text;   /* else: the same as lines */
	unsigned shown;
	struct snapshot_verify_opts opts;
	struct snapshot_verify_result result;
};

/* "5%" or "0.1": in millionths, rounded. */
static int parse_sample(const char *text, unsigned *sample, struct error *err)
{
	char *end;
	double percent;

	*sample = SNAPSHOT_SAMPLE_ALL;
	if (!text)
		return 0;
	/* No sign, exponent, "inf" and what else strtod() takes. */
	percent = text[strspn(text, "0123456789.%")] == '\0' ? strtod(text, &end) : 0;
	if (percent > 0 && percent <= 100 && strcmp(*end == '%' ? end + 1 : end, "") == 0)
		*sample = (unsigned)(percent * 10000 + 0.5);
	else
		*sample = 0;
	return *sample ? 0
		       : error_set(err, ERROR_USAGE, 0,
				 "--sample '%s': write a percentage from 0.0001%% to 100%%", text);
}

static int make_seed(const struct verify_options *o, const char *snapshot, uint64_t *seed,
	struct error *err)
{
	const char *text = o->seed ? o->seed : snapshot;
	uint8_t digest[SHA256_SIZE];

	if (o->seed && !o->sample)
		return error_set(err, ERROR_USAGE, 0, "--seed wants --sample");
	if (sha256(text, strlen(text), digest, err) < 0)
		return -1;
	*seed = num_get_le64(digest);
	return 0;
}

static const char *word(enum snapshot_wrong what)
{
	static const char *const words[] = {
		[SNAPSHOT_DIFFERS] = "differs",
		[SNAPSHOT_LACKS] = "is missing",
		[SNAPSHOT_LACKS_ZERO] = "is missing and reads as random bytes, where zeros are needed",
		[SNAPSHOT_EXTRA] = "has bytes where the image has none",
	};

	return words[what];
}

static int on_wrong(void *arg, uint64_t index, enum snapshot_wrong what, struct error *err)
{
	struct verify *v = arg;
	CLEANUP(json_cleanup) struct json *item = NULL;

	if (v->shown++ >= MAX_SHOWN)
		return 0;
	if (!v->list)
		return buf_addf(&v->text, err, "block %" PRIu64 " at %" PRIu64 " %s\n", index,
			index * EBS_BLOCK_SIZE, word(what));
	item = json_new_object(err);
	if (!item || json_set_int(item, "block", (int64_t)index, err) < 0 ||
	    json_set_int(item, "offset", (int64_t)(index * EBS_BLOCK_SIZE), err) < 0 ||
	    json_set_str(item, "what", word(what), err) < 0)
		return -1;
	return json_append(v->list, steal_ptr(&item), err);
}

/* Who may not describe the snapshot may still read it. */
static int find_encryption(struct verify *v, struct error *err)
{
	struct error why = ERROR_INIT;
	struct ec2_snapshot s;

	if (ec2_describe_snapshot(v->aws, v->snapshot, &s, &why) == 0) {
		v->opts.encrypted = s.encrypted;
		return 0;
	}
	if (why.kind != ERROR_SERVICE) {
		*err = why;
		return -1;
	}
	log_warn("it is not known whether %s is encrypted (%s): zeros that it lacks are taken for right",
		v->snapshot, why.text);
	return 0;
}

static int print_json(struct verify *v, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	const struct snapshot_verify_result *r = &v->result;

	if (!doc || json_set_str(doc, "snapshot", v->snapshot, err) < 0 ||
	    json_set_str(doc, "image", v->name, err) < 0 ||
	    json_set_bool(doc, "same", r->wrong == 0, err) < 0 ||
	    json_set_bool(doc, "encrypted", v->opts.encrypted, err) < 0 ||
	    json_set_int(doc, "blocks", (int64_t)r->blocks, err) < 0 ||
	    json_set_int(doc, "blocks_read", (int64_t)r->read, err) < 0 ||
	    json_set_int(doc, "blocks_not_sampled", (int64_t)r->passed, err) < 0 ||
	    json_set_int(doc, "blocks_unused", (int64_t)r->unused, err) < 0 ||
	    json_set_int(doc, "blocks_wrong", (int64_t)r->wrong, err) < 0 ||
	    json_set(doc, "wrong", steal_ptr(&v->list), err) < 0)
		return -1;
	return context_print_json(doc, err);
}

static int report(struct verify *v, struct error *err)
{
	const struct snapshot_verify_result *r = &v->result;

	if ((v->list ? print_json(v, err) : context_print(&v->text, err)) < 0)
		return -1;
	if (r->wrong > 0)
		return error_set(err, ERROR_INPUT, 0,
			"%s does not hold '%s': %" PRIu64 " blocks are wrong", v->snapshot, v->name,
			r->wrong);
	log_info("%s holds '%s': %" PRIu64 " of its %" PRIu64 " blocks read and compared, %" PRIu64
		 " unused, %" PRIu64 " not in the sample",
		v->snapshot, v->name, r->read, r->blocks, r->unused, r->passed);
	return 0;
}

static int compare(struct verify *v, struct snapshot_side *image, struct error *err)
{
	struct snapshot_side side = {.size = 0};
	struct progress progress;
	int ret = snapshot_side_of_snapshot(&side, v->aws, v->snapshot, err);

	v->opts.side.progress = &progress;
	progress_begin(&progress, &v->ctx->progress, "verify", 0);
	if (ret == 0)
		ret = snapshot_verify(&side, image, &v->opts, &v->result, err);
	progress_end(&progress, ret == 0);
	snapshot_side_release(&side);
	return ret < 0 ? -1 : report(v, err);
}

static int with_manifest(struct verify *v, const char *disk, struct error *err)
{
	uint64_t size;
	CLEANUP(snapshot_table_cleanup) struct snapshot_table *table =
		manifest_read_blocks(v->name, disk, context_tmpdir(v->ctx), &size, err);
	struct snapshot_side image;
	int ret;

	if (!table)
		return -1;
	v->opts.by_digests = true;
	ret = snapshot_side_of_table(&image, table, size, err);
	if (ret == 0)
		ret = compare(v, &image, err);
	snapshot_side_release(&image);
	return ret;
}

static int with_image(struct verify *v, struct error *err)
{
	struct dev *dev = context_open_disk(v->ctx, v->name, err), *known;
	struct snapshot_side image = {.size = 0};
	int ret;

	if (!dev)
		return -1;
	known = probe_usage_dev(dev, err);
	ret = known ? snapshot_side_of_dev(&image, known, err) : -1;
	if (ret == 0)
		ret = compare(v, &image, err);
	snapshot_side_release(&image);
	dev_close(known, NULL);
	dev_close(dev, NULL);
	return ret;
}

static int run_verify(struct verify *v, const struct verify_options *o, struct error *err)
{
	if (parse_sample(o->sample, &v->opts.sample, err) < 0 ||
	    make_seed(o, v->snapshot, &v->opts.seed, err) < 0)
		return -1;
	if (v->ctx->opts.json && !(v->list = json_new_array(err)))
		return -1;
	v->aws = context_aws(v->ctx, err);
	if (!v->aws || find_encryption(v, err) < 0)
		return -1;
	return o->manifest ? with_manifest(v, o->disk, err) : with_image(v, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct verify_options *o = popts;
	struct verify v = {
		.ctx = ctx,
		.snapshot = args->items[0],
		.name = o->manifest ? o->manifest : args->nr > 1 ? args->items[1] : NULL,
		.text = BUF_INIT(0),
		.opts = {.wrong = on_wrong, .arg = &v,
			.side = {.workers = context_workers(ctx), .cancelled = context_cancelled}},
	};
	int ret;

	if (!v.name || (o->manifest && args->nr > 1))
		return error_set(err, ERROR_USAGE, 0,
			"'verify' wants an image or --manifest, one of the two");
	if (o->disk && !o->manifest)
		return error_set(err, ERROR_USAGE, 0, "--disk wants --manifest");
	ret = run_verify(&v, o, err);
	json_free(v.list);
	buf_release(&v.text);
	return ret;
}

const struct command cmd_verify = {
	.name = "verify",
	.args = "SNAPSHOT IMAGE",
	.summary = "whether a snapshot holds an image",
	.description =
		"Reads a snapshot back and compares it with the image, or with a manifest that `build`\n"
		"wrote. Blocks that no file system of the image uses are not compared. Blocks that are\n"
		"wrong are printed (the first 20), and the exit status is 1.",
	.options = options,
	.options_size = sizeof(struct verify_options),
	.min_args = 1,
	.max_args = 2,
	.run = run,
};
