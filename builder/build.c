/* SPDX-License-Identifier: Apache-2.0 */
/* The steps from a spec to its disks. */
#include "builder/build.h"

#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/log.h"

/*
 * Written metadata beyond this, over all disks, goes to the spool: the tree itself takes memory
 * too, and publish keeps its disks open together.
 */
#define DISK_MEMORY (24u << 20)

/*
 * The epoch comes from the surroundings, else from the spec; there is no sane default that would be
 * the same everywhere.
 */
static int settle_epoch(struct build *b, struct context *ctx, struct error *err)
{
	bool given;
	int64_t epoch = 0;

	if (context_epoch(ctx, &given, &epoch, err) < 0)
		return -1;
	if (given)
		b->spec.epoch = epoch;
	else if (!b->spec.epoch_given && b->spec.name)
		diag_add(&ctx->diag, (struct diag_place){1, 1},
			"missing key 'epoch' in the spec: seconds since 1970 that no time in the image "
			"exceeds, such as 1735689600 (or set SOURCE_DATE_EPOCH)");
	return 0;
}

static int make_salt(struct build *b, struct error *err)
{
	uint8_t bytes[16];

	if (context_random(bytes, sizeof(bytes)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for --unique");
	hex_encode(b->salt, bytes, sizeof(bytes));
	return 0;
}

int build_read(struct build *b, struct context *ctx, const char *path, const struct build_opts *opts,
	struct error *err)
{
	uint64_t start = context_now_ms();

	memset(b, 0, sizeof(*b));
	b->spool_dir = opts->spool_dir ? opts->spool_dir : context_tmpdir(ctx);
	if (opts->unique && make_salt(b, err) < 0)
		return -1;
	if (spec_read(&b->spec, path, &ctx->diag, err) < 0 && !ctx->diag.count)
		return -1;
	if (settle_epoch(b, ctx, err) < 0 || plan_check_spec(&b->spec, &ctx->diag, err) < 0 ||
		diag_result(&ctx->diag, err) < 0)
		return -1;
	report_time(&b->times, "spec", context_now_ms() - start);
	return 0;
}

int build_make(struct build *b, struct context *ctx, struct error *err)
{
	uint64_t start = context_now_ms();

	log_info("building %s %s for %s", b->spec.name, b->spec.version, b->spec.architecture);
	b->tree = tree_new(b->spool_dir, err);
	if (!b->tree || build_layers(&b->spec, b->tree, err) < 0)
		return -1;
	report_time(&b->times, "layers", context_now_ms() - start);
	start = context_now_ms();
	b->plan_opts = (struct plan_opts){
		.epoch = b->spec.epoch,
		.salt = b->salt,
		.spool_dir = b->spool_dir,
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
	};
	if (plan_make(&b->plan, &b->spec, b->tree, &b->plan_opts, &ctx->diag, err) < 0)
		return -1;
	report_time(&b->times, "plan", context_now_ms() - start);
	log_info("tree: %u names, %u inodes", tree_nr_nodes(b->tree), tree_nr_inodes(b->tree));
	return 0;
}

struct dev *build_disk(struct build *b, size_t index, struct error *err)
{
	struct disk_opts opts = {
		.mem_limit = DISK_MEMORY / b->plan.nr_disks,
		.spool_dir = b->spool_dir,
	};
	uint64_t start = context_now_ms();
	struct dev *dev = disk_new(b->plan.disks[index].size, &opts, err);

	if (!dev)
		return NULL;
	if (plan_write_disk(&b->plan, index, dev, err) < 0) {
		dev_close(dev, NULL);
		return NULL;
	}
	report_time(&b->times, "file systems", context_now_ms() - start);
	return dev;
}

void build_release(struct build *b)
{
	plan_release(&b->plan);
	tree_free(b->tree);
	spec_release(&b->spec);
	memset(b, 0, sizeof(*b));
}
