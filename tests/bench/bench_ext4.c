/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_ext4 [options] dir|tar SRC OUT [SIZE]: a tree from SRC becomes an ext4 file system in the
 * raw file OUT. A program of its own, so that its time can be compared with that of `mke2fs -d SRC
 * OUT SIZE`. SIZE is bytes, "auto" (also when left out) or "min". OUT may be "-": then nothing is
 * written.
 *
 *   -b BYTES  block size    -r SIZE  prepare growth up to SIZE
 *   -n        no journal    -p       print the plan
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/num.h"
#include "formats/raw.h"
#include "fs/ext4.h"
#include "fs/tree_dir.h"
#include "fs/tree_tar.h"

struct job {
	const char *kind, *src, *out, *size;
	struct ext4_opts opts;
	bool print_plan;
};

static int load(struct tree *t, const struct job *job, struct error *err)
{
	if (strcmp(job->kind, "dir") == 0)
		return tree_dir_add(t, TREE_ROOT, job->src, NULL, err);
	if (strcmp(job->kind, "tar") == 0)
		return tree_tar_add(t, job->src, NULL, err);
	return error_set(err, ERROR_USAGE, 0, "'%s' is neither 'dir' nor 'tar'", job->kind);
}

static int choose_size(const struct tree *t, struct job *job, struct error *err)
{
	struct ext4_plan plan;

	if (strcmp(job->size, "auto") == 0) {
		if (ext4_auto_size(t, TREE_ROOT, &job->opts, 0, &job->opts.size, err) < 0)
			return -1;
	} else if (strcmp(job->size, "min") != 0) {
		if (num_parse_size(job->size, &job->opts.size, err) < 0)
			return -1;
	}
	if (job->opts.size && !job->print_plan)
		return 0;
	if (ext4_plan(t, TREE_ROOT, &job->opts, &plan, err) < 0)
		return -1;
	job->opts.size = plan.size;
	if (job->print_plan)
		printf("size %" PRIu64 "\nmin_size %" PRIu64 "\nused %" PRIu64 "\nfree %" PRIu64
		       "\ninodes %" PRIu64 "\nfree_inodes %" PRIu64 "\njournal %" PRIu64 "\n",
			plan.size, plan.min_size, plan.used, plan.free, plan.inodes,
			plan.free_inodes, plan.journal);
	return 0;
}

static int build(struct tree *t, struct job *job, struct error *err)
{
	struct raw_opts raw = {.workers = 1};
	struct dev *disk;
	int rc;

	if (tree_finish(t, INT64_MAX, err) < 0 || choose_size(t, job, err) < 0)
		return -1;
	disk = disk_new(job->opts.size, NULL, err);
	if (!disk)
		return -1;
	rc = ext4_write(disk, t, TREE_ROOT, &job->opts, err);
	if (rc == 0 && strcmp(job->out, "-") != 0)
		rc = raw_write(disk, job->out, &raw, err);
	dev_close(disk, NULL);
	return rc;
}

static int parse(struct job *job, int argc, char **argv, struct error *err)
{
	uint64_t block_size = 0;
	int c;

	while ((c = getopt(argc, argv, "b:nr:p")) != -1) {
		if (c == 'b' && num_parse(optarg, 4096, &block_size, err) < 0)
			return -1;
		if (c == 'r' && num_parse_size(optarg, &job->opts.resize_max, err) < 0)
			return -1;
		job->opts.no_journal |= c == 'n';
		job->print_plan |= c == 'p';
	}
	job->opts.block_size = (uint32_t)block_size;
	if (argc - optind < 3 || argc - optind > 4)
		return error_set(err, ERROR_USAGE, 0,
			"usage: bench_ext4 [-b BYTES] [-n] [-r SIZE] [-p] dir|tar SRC OUT [SIZE]");
	job->kind = argv[optind];
	job->src = argv[optind + 1];
	job->out = argv[optind + 2];
	job->size = argc - optind == 4 ? argv[optind + 3] : "auto";
	return 0;
}

static int run(int argc, char **argv, struct error *err)
{
	struct job job = {.opts = {.label = "bench", .last_mounted = "/"}};
	struct tree *t;
	int rc;

	memcpy(job.opts.uuid, "\x01\x02\x03\x04\x05\x06\x47\x08\x89\x0a\x0b\x0c\x0d\x0e\x0f\x10",
		16);
	memcpy(job.opts.hash_seed, job.opts.uuid, 16);
	if (parse(&job, argc, argv, err) < 0)
		return -1;
	t = tree_new(NULL, err);
	if (!t)
		return -1;
	rc = load(t, &job, err);
	if (rc == 0)
		rc = build(t, &job, err);
	tree_free(t);
	return rc;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;

	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "bench_ext4: %s\n", err.text);
	return 1;
}
