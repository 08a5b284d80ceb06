/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_guest [options] TYPE dir|tar SRC OUT [SIZE]: a tree from SRC becomes a file system of that
 * type (any of fs_names()) in the raw file OUT, or, with the TYPE "tar", a tar archive. SIZE is
 * bytes, "auto" (also when left out) or "min". Prints sizes and extents. Tests drive xfs and btrfs
 * by it.
 *
 *   -p BYTE   fill what is unused with that byte instead of zeros: nobody may miss it
 *   -s DIR    folder for temporary data
 *   -c N      say "cancelled" from the N-th time on that somebody asks
 *   -t        only tell whether the type can be made here
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/log.h"
#include "base/num.h"
#include "formats/raw.h"
#include "fs/fs.h"
#include "fs/tree_dir.h"
#include "fs/tree_tar.h"
#include "fs/tree_tar_out.h"

struct job {
	const char *type, *kind, *src, *out, *size;
	struct fs_opts opts;
	uint64_t poison; /* 256: none */
	bool only_ask;
};

static atomic_long asked, stop_at;

static bool is_cancelled(void)
{
	return stop_at && ++asked >= stop_at;
}

static int poison(struct dev *disk, const char *out, uint8_t byte, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	uint64_t sums[3] = {0, 0, 0};
	static uint8_t block[64 << 10];
	int fd = open(out, O_WRONLY | O_CLOEXEC), ret = dev_extents(disk, 0, disk->size, &list, err);

	memset(block, byte, sizeof(block));
	for (size_t i = 0; ret == 0 && i < list.nr; i++) {
		struct extent e = list.items[i];

		sums[e.kind] += e.len;
		for (uint64_t n; ret == 0 && byte && e.kind == EXTENT_UNUSED && e.len > 0;
			e.off += n, e.len -= n) {
			n = MIN(e.len, sizeof(block));
			if (pwrite(fd, block, n, (off_t)e.off) != (ssize_t)n)
				ret = error_set(err, ERROR_IO, 0, "cannot poison '%s'", out);
		}
	}
	printf("data %" PRIu64 "\nzero %" PRIu64 "\nunused %" PRIu64 "\n", sums[EXTENT_DATA],
		sums[EXTENT_ZERO], sums[EXTENT_UNUSED]);
	extent_list_release(&list);
	close(fd);
	return ret;
}

static int write_image(struct fs *fs, const struct job *job, struct error *err)
{
	struct disk_opts opts = {.spool_dir = job->opts.spool_dir};
	struct raw_opts raw = {.workers = 1};
	struct dev *disk = disk_new(fs->len, &opts, err);
	int ret;

	if (!disk)
		return -1;
	ret = fs_write(fs, disk, err);
	if (ret == 0)
		ret = raw_write(disk, job->out, &raw, err);
	if (ret == 0)
		ret = poison(disk, job->out, (uint8_t)job->poison, err);
	dev_close(disk, NULL);
	return ret;
}

static int make_fs(const struct tree *t, const struct job *job, struct error *err)
{
	const struct fs_ops *ops = fs_find(job->type);
	uint64_t least, roomy, size;
	struct fs_sums sums;
	struct fs fs;
	int ret;

	if (!ops)
		return error_set(err, ERROR_USAGE, 0, "'%s' is no file system", job->type);
	fs_open(&fs, ops, t, TREE_ROOT, &job->opts);
	ret = fs_sizes(&fs, &least, &roomy, err);
	size = strcmp(job->size, "min") ? roomy : least;
	if (ret == 0 && strcmp(job->size, "min") && strcmp(job->size, "auto"))
		ret = num_parse_size(job->size, &size, err);
	if (ret == 0)
		ret = fs_plan(&fs, size, &sums, err);
	if (ret == 0)
		printf("least %" PRIu64 "\nroomy %" PRIu64 "\nsize %" PRIu64 "\nused %" PRIu64
		       "\nfree %" PRIu64 "\ninodes %" PRIu64 "\n",
			least, roomy, sums.size, sums.used, sums.free, sums.inodes);
	if (ret == 0)
		ret = write_image(&fs, job, err);
	fs_close(&fs);
	return ret;
}

static int make_tar(const struct tree *t, const struct job *job, struct error *err)
{
	int fd = open(job->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), ret;

	if (fd < 0)
		return error_set(err, ERROR_IO, 0, "cannot make '%s'", job->out);
	ret = tree_tar_write(t, TREE_ROOT, fd, job->out, is_cancelled, err);
	close(fd);
	return ret;
}

static int load(struct tree *t, const struct job *job, struct error *err)
{
	int ret = strcmp(job->kind, "dir") ? tree_tar_add(t, job->src, NULL, err)
					   : tree_dir_add(t, TREE_ROOT, job->src, NULL, err);

	return ret < 0 ? -1 : tree_finish(t, INT64_MAX, err);
}

static int parse(struct job *job, int argc, char **argv, struct error *err)
{
	uint64_t number;
	int c;

	while ((c = getopt(argc, argv, "p:s:c:tv")) != -1) {
		if (c == 'p' && num_parse(optarg, 255, &job->poison, err) < 0)
			return -1;
		if (c == 'c') {
			if (num_parse(optarg, 1000000, &number, err) < 0)
				return -1;
			stop_at = (long)number;
		}
		if (c == 's')
			job->opts.spool_dir = optarg;
		if (c == 'v')
			log_set_level(LOG_LEVEL_DEBUG);
		job->only_ask |= c == 't';
	}
	argv += optind;
	argc -= optind;
	if (argc < (job->only_ask ? 1 : 4) || argc > 5)
		return error_set(err, ERROR_USAGE, 0,
			"usage: bench_guest [-p BYTE] [-s DIR] [-c N] [-t] [-v] TYPE dir|tar SRC OUT [SIZE]");
	job->type = argv[0];
	if (job->only_ask)
		return 0;
	job->kind = argv[1];
	job->src = argv[2];
	job->out = argv[3];
	job->size = argc == 5 ? argv[4] : "auto";
	return 0;
}

static int run(int argc, char **argv, struct error *err)
{
	struct job job = {.opts = {.label = "bench", .epoch = 1735689600, .cancelled = is_cancelled}};
	const struct fs_ops *ops;
	struct tree *t;
	int ret;

	memcpy(job.opts.uuid, "\x01\x02\x03\x04\x05\x06\x47\x08\x89\x0a\x0b\x0c\x0d\x0e\x0f\x10",
		16);
	if (parse(&job, argc, argv, err) < 0)
		return -1;
	ops = fs_find(job.type);
	if (job.only_ask)
		return ops && ops->available ? ops->available(err) : 0;
	t = tree_new(job.opts.spool_dir, err);
	if (!t)
		return -1;
	ret = load(t, &job, err);
	if (ret == 0)
		ret = strcmp(job.type, "tar") ? make_fs(t, &job, err) : make_tar(t, &job, err);
	tree_free(t);
	return ret;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;

	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "bench_guest: %s\n", err.text);
	return err.kind == ERROR_INTERRUPTED ? 130 : err.kind == ERROR_USAGE ? 2 : 1;
}
