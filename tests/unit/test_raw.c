/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: the same bytes as the device, holes, digests, and nothing left after a failure. */
#include "formats/raw.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/spool.h"
#include "formats/raw_internal.h"
#include "tests/lib/faultdev.h"

enum { BLOCK = 512 * 1024, SIZE = 40 * 1048576 + 1000, CONTENT = 3000000 };

static char folder[256];
static char *old_cwd;

static int enter(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	old_cwd = get_current_dir_name();
	snprintf(folder, sizeof(folder), "%s/amiwright-raw-XXXXXX", tmp ? tmp : "/tmp");
	return old_cwd && mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	int ret = chdir(old_cwd);

	(void)state;
	free(old_cwd);
	return ret < 0 || rmdir(folder) < 0 ? -1 : 0;
}

static int count_names(void)
{
	DIR *dir = opendir(".");
	int n = -2;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

struct image {
	struct dev *dev;
	struct spool *spool;
};

/* References long and short, aligned and not, a ragged end, written blocks, zeros. */
static void make_image(struct image *im)
{
	struct error err = ERROR_INIT;
	uint8_t *data = malloc(CONTENT);
	uint64_t at;

	assert_non_null(data);
	for (size_t i = 0; i < CONTENT; i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13 | 1);
	im->spool = spool_new(NULL, &err);
	im->dev = disk_new(SIZE, NULL, &err);
	assert_int_equal(spool_append(im->spool, data, CONTENT, &at, &err), 0);
	assert_int_equal(spool_flush(im->spool, &err), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(dev_refer(im->dev, MIB + i * 8192, 1 + i * 80,
					 spool_source(im->spool), 0, i * 1000, &err),
			0);
	assert_int_equal(
		dev_refer(im->dev, 8 * MIB, CONTENT, spool_source(im->spool), 0, 0, &err), 0);
	assert_int_equal(
		dev_refer(im->dev, 20 * MIB + 77, 200001, spool_source(im->spool), 0, 5, &err), 0);
	assert_int_equal(dev_pwrite(im->dev, data, 5000, 9 * MIB, &err), 0);
	assert_int_equal(dev_clear(im->dev, 30 * MIB, MIB, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_pwrite(im->dev, data, 700, SIZE - 700, &err), 0);
	free(data);
}

static void drop_image(struct image *im)
{
	struct error err = ERROR_INIT;

	assert_int_equal(dev_close(im->dev, &err), 0);
	spool_free(im->spool);
}

static void check_file(struct dev *dev, int fd)
{
	uint8_t *got = malloc(BLOCK), *expect = malloc(BLOCK);
	struct error err = ERROR_INIT;
	struct stat st;

	assert_true(fd >= 0 && got && expect);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, dev->size);
	assert_true(st.st_blocks * 512 < 6 * (blkcnt_t)MIB); /* 4.1 MiB are data */
	for (uint64_t off = 0; off < dev->size; off += BLOCK) {
		size_t len = MIN((uint64_t)BLOCK, dev->size - off);

		assert_int_equal(pread(fd, got, len, (off_t)off), len);
		assert_int_equal(dev_pread(dev, expect, len, off, &err), 0);
		assert_memory_equal(got, expect, len);
	}
	free(got);
	free(expect);
}

static void check_path(struct dev *dev, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check_file(dev, fd);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(count_names(), 0);
}

static void test_by_ranges(void **state)
{
	struct progress progress;
	struct raw_opts opts = {.progress = &progress, .durable = true};
	struct error err = ERROR_INIT;
	struct image im;

	(void)state;
	make_image(&im);
	progress_begin(&progress, NULL, "raw", 0);
	assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), 0);
	assert_true(progress.total > CONTENT);
	assert_int_equal(progress.done, progress.total);
	progress_end(&progress, true);
	check_path(im.dev, "image.raw");
	drop_image(&im);
}

/*
 * The way of file systems that share blocks, on whatever there is here: copy_file_range() copies
 * too.
 */
static void test_by_kernel(void **state)
{
	const struct raw_opts opts = {.workers = 1};
	struct raw_writer w = {.path = "image.raw", .opts = &opts, .shares = true};
	struct error err = ERROR_INIT;
	struct image im;

	(void)state;
	make_image(&im);
	w.dev = im.dev;
	w.fd = open("image.raw", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(w.fd, SIZE), 0);
	(void)raw_fs_shares(w.fd, SIZE); /* leaves the file as it is */
	assert_int_equal(raw_copy_ranges(&w, &err), 0);
	close(w.fd);
	check_path(im.dev, "image.raw");
	drop_image(&im);
}

struct digests {
	struct dev *dev;
	uint64_t nr, last;
	int fail_at; /* -1: never */
};

static int check_digest(void *arg, uint64_t index, const uint8_t digest[32], struct error *err)
{
	struct digests *d = arg;
	uint8_t *block = calloc(1, BLOCK), expect[SHA256_SIZE];
	uint64_t off = index * BLOCK;

	assert_non_null(block);
	assert_true(d->nr == 0 || index > d->last);
	d->last = index;
	if ((int)d->nr++ == d->fail_at) {
		free(block);
		return error_set(err, ERROR_IO, 0, "no more");
	}
	assert_int_equal(dev_pread(d->dev, block, MIN((uint64_t)BLOCK, SIZE - off), off, err), 0);
	assert_int_equal(sha256(block, BLOCK, expect, err), 0);
	assert_memory_equal(digest, expect, SHA256_SIZE);
	free(block);
	return 0;
}

static void test_by_blocks(void **state)
{
	struct error err = ERROR_INIT;
	struct image im;

	(void)state;
	make_image(&im);
	for (unsigned workers = 1; workers <= 4; workers += 3) {
		struct digests d = {.dev = im.dev, .fail_at = -1};
		struct raw_opts opts = {.workers = workers, .block = check_digest, .block_arg = &d};

		assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), 0);
		assert_int_equal(d.nr, 2 + 6 + 1 + 1);
		check_path(im.dev, "image.raw");
		d.nr = 0;
		d.fail_at = 3;
		assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), -1);
		assert_string_equal(err.text, "no more");
		assert_int_equal(count_names(), 0);
	}
	drop_image(&im);
}

static bool always(void)
{
	return true;
}

static int no_digest(void *arg, uint64_t index, const uint8_t digest[32], struct error *err)
{
	(void)arg;
	(void)index;
	(void)digest;
	(void)err;
	return 0;
}

static void test_cancelled(void **state)
{
	struct raw_opts opts = {.cancelled = always};
	struct error err = ERROR_INIT;
	struct image im;

	(void)state;
	make_image(&im);
	assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	opts.block = no_digest;
	assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_int_equal(count_names(), 0);
	drop_image(&im);
}

/* Each call that the writer makes of the device fails once. */
static void test_faults(void **state)
{
	static const enum faultdev_call calls[] = {FAULTDEV_PREAD, FAULTDEV_EXTENTS};
	struct error err = ERROR_INIT;
	struct image im;
	struct dev *fault;

	(void)state;
	make_image(&im);
	fault = faultdev_new(im.dev);
	assert_non_null(fault);
	for (int i = 0; i < 8; i++) {
		struct raw_opts opts = {.workers = i & 1 ? 3 : 1};
		unsigned n = i & 2 ? 1 : 2;
		int ret;

		opts.block = i & 4 ? no_digest : NULL;
		for (size_t k = 0; k < ARRAY_SIZE(calls); k++) {
			error_clear(&err);
			faultdev_fail(fault, calls[k], n);
			ret = raw_write(fault, "image.raw", &opts, &err);
			if (faultdev_calls(fault, calls[k]) < n) { /* it is not called so often */
				assert_int_equal(ret, 0);
				unlink("image.raw");
			} else {
				assert_int_equal(ret, -1);
				assert_int_equal(err.errnum, EIO);
			}
			faultdev_fail(fault, calls[k], 0);
			assert_int_equal(count_names(), 0);
		}
	}
	assert_int_equal(dev_close(fault, &err), 0);
	drop_image(&im);
}

/* A full disk, played by the limit of a file's size; the old image stays. */
static void test_no_room(void **state)
{
	struct rlimit saved, limit;
	struct raw_opts opts = {.workers = 1};
	struct error err = ERROR_INIT;
	struct image im;

	(void)state;
	make_image(&im);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
	limit = saved;
	limit.rlim_cur = 9 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(raw_write(im.dev, "image.raw", &opts, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, EFBIG);
	assert_non_null(strstr(err.text, "'image.raw'"));
	assert_int_equal(count_names(), 0);
	assert_int_equal(raw_write(im.dev, "/nonexistent/image.raw", &opts, &err), -1);
	assert_int_equal(err.errnum, ENOENT);
	drop_image(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_ranges),
		cmocka_unit_test(test_by_kernel),
		cmocka_unit_test(test_by_blocks),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
