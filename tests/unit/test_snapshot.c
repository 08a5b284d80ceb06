/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upload and download of snapshots against the local region, in one process: what arrives is what
 * was sent, the right blocks are sent, and a failed upload leaves nothing behind.
 */
#include "uploader/snapshot.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2.h"
#include "uploader/region/region.h"
#include "uploader/snapshot_download.h"

struct fixture {
	char dir[4096], image[4200];
	struct region *region;
	struct aws_creds creds;
	struct aws *aws;
};

static bool want_cancel;
static unsigned cancel_after;
static int64_t later_s; /* seconds that this process believes to have gone by */

static int64_t wall_s(void *arg)
{
	(void)arg;
	return (int64_t)time(NULL) + later_s;
}

static int64_t region_wall_s(void)
{
	return (int64_t)time(NULL);
}

static uint64_t monotonic_ms(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static double half(void *arg)
{
	(void)arg;
	return 0.5;
}

static int fill_random(void *buf, size_t len)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	int ret = fd >= 0 && read(fd, buf, len) == (ssize_t)len ? 0 : -1;

	close(fd);
	return ret;
}

static bool cancelled(void)
{
	return want_cancel && (cancel_after == 0 || cancel_after-- == 1);
}

static const struct aws_clock test_clock = {wall_s, monotonic_ms, half, NULL};

static struct aws *client(const struct fixture *f, struct error *err)
{
	struct aws_opts opts = {
		.region = "us-east-1",
		.endpoint = {region_endpoint(f->region), region_endpoint(f->region)},
		.creds = f->creds,
		.clock = &test_clock,
		.cancelled = cancelled,
	};

	return aws_new(&opts, err);
}

static int setup(void **state)
{
	struct region_opts opts = {.wall_s = region_wall_s, .random = fill_random};
	struct fixture *f = calloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");
	struct error err = ERROR_INIT;

	log_set_fd(-1);
	want_cancel = false;
	snprintf(f->dir, sizeof(f->dir), "%s/amiwright-snapshot-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->image, sizeof(f->image), "%s/out.img", f->dir);
	f->region = region_start(f->dir, &opts, &err);
	if (!f->region || region_creds(f->dir, &opts, &f->creds, &err) < 0 ||
	    !(f->aws = client(f, &err))) {
		print_error("%s\n", err.text);
		return -1;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[5000];

	aws_free(f->aws);
	region_stop(f->region);
	aws_creds_release(&f->creds);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", f->dir);
	if (system(cmd) != 0)
		return -1;
	free(f);
	return 0;
}

static void write_at(struct dev *dev, uint64_t off, const void *data, size_t len)
{
	struct error err = ERROR_INIT;

	if (dev_pwrite(dev, data, len, off, &err) < 0)
		fail_msg("%s", err.text);
}

/* 70 MiB and a bit: data in blocks 0, 3, 7 and the last; zeros that count in block 5. */
static struct dev *make_dev(void)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(70 * MIB + 5000, NULL, &err);

	assert_non_null(dev);
	write_at(dev, 10, "first", 5);
	write_at(dev, 3 * EBS_BLOCK_SIZE + 7, "third", 5);
	write_at(dev, 8 * EBS_BLOCK_SIZE - 3, "end", 3);
	write_at(dev, 70 * MIB + 4996, "last", 4);
	assert_int_equal(dev_clear(dev, 5 * EBS_BLOCK_SIZE, 4096, EXTENT_ZERO, &err), 0);
	return dev;
}

struct seen {
	uint64_t index[64];
	unsigned nr;
};

static int see(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE], struct error *err)
{
	struct seen *s = arg;

	(void)digest;
	(void)err;
	if (s->nr < ARRAY_SIZE(s->index))
		s->index[s->nr] = index;
	s->nr++;
	return 0;
}

static void check_same(struct dev *dev, const char *path)
{
	struct error err = ERROR_INIT;
	char *a = malloc(MIB), *b = malloc(MIB);
	int fd = open(path, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(st.st_size, GIB);
	for (uint64_t off = 0; off < GIB; off += MIB) {
		size_t len = off < dev->size ? MIN(MIB, dev->size - off) : 0;

		memset(a, 0, MIB);
		assert_int_equal(dev_pread(dev, a, len, len ? off : 0, &err), 0);
		assert_int_equal(file_pread_all(fd, b, MIB, off, path, &err), 0);
		assert_memory_equal(a, b, MIB);
	}
	close(fd);
	free(a);
	free(b);
}

static void round_trip(struct fixture *f, unsigned workers)
{
	struct seen seen = {.nr = 0};
	struct snapshot_upload_opts up = {.client_token = workers > 1 ? "many" : "one",
		.workers = workers, .block = see, .block_arg = &seen};
	struct snapshot_download_opts down = {.max_inflight = 4};
	struct snapshot_download_result back;
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();

	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(out.size_gib, 1);
	assert_int_equal(out.blocks_sent, 5);
	assert_int_equal(out.blocks_zero, 1);
	assert_int_equal(out.blocks_unused, 2048 - 5);
	assert_int_equal(seen.nr, 5);
	assert_int_equal(seen.index[0], 0);
	assert_int_equal(seen.index[1], 3);
	assert_int_equal(seen.index[2], 5);
	assert_int_equal(seen.index[3], 7);
	assert_int_equal(seen.index[4], 140);
	if (snapshot_download(f->aws, out.snapshot, f->image, &down, &back, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(back.blocks, 5);
	check_same(dev, f->image);
	assert_int_equal(dev_close(dev, NULL), 0);
}

static void test_round_trip(void **state)
{
	round_trip(*state, 3);
}

static void test_round_trip_serial(void **state)
{
	round_trip(*state, 1);
}

/*
 * Buffers are used again: the last, short block must not carry bytes of an earlier one behind its
 * end.
 */
static void test_short_last_block(void **state)
{
	struct fixture *f = *state;
	struct snapshot_upload_opts up = {.client_token = "short", .workers = 1, .max_inflight = 1};
	struct snapshot_download_opts down = {.max_inflight = 4};
	struct snapshot_download_result back;
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(20 * EBS_BLOCK_SIZE + 100, NULL, &err);
	char full[4096];

	assert_non_null(dev);
	memset(full, 0xff, sizeof(full));
	for (uint64_t off = 0; off < 20 * EBS_BLOCK_SIZE; off += sizeof(full))
		write_at(dev, off, full, sizeof(full));
	write_at(dev, 20 * EBS_BLOCK_SIZE, full, 100);
	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0 ||
	    snapshot_download(f->aws, out.snapshot, f->image, &down, &back, &err) < 0)
		fail_msg("%s", err.text);
	check_same(dev, f->image);
	assert_int_equal(dev_close(dev, NULL), 0);
}

static void test_skip(void **state)
{
	struct fixture *f = *state;
	struct snapshot_upload_opts up = {.client_token = "never", .skip = SNAPSHOT_SKIP_NEVER,
		.workers = 2};
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();

	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(out.blocks_sent, 2048);
	assert_int_equal(out.blocks_zero, 2044);
	up.client_token = "zeros";
	up.skip = SNAPSHOT_SKIP_ZEROS;
	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(out.blocks_sent, 4);
	up.encrypted = true;
	assert_int_equal(snapshot_upload(f->aws, dev, &up, &out, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_int_equal(dev_close(dev, NULL), 0);
}

/* Nothing but an empty snapshot: a count of 0 and no aggregate. */
static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct snapshot_upload_opts up = {.client_token = "empty", .workers = 2, .size_gib = 3};
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(GIB, NULL, &err);

	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(out.blocks_sent, 0);
	assert_int_equal(out.size_gib, 3);
	up.size_gib = 0;
	assert_int_equal(dev_close(dev, NULL), 0);
}

static size_t count_snapshots(struct aws *a, const char *tag)
{
	struct ec2_snapshot *list;
	struct error err = ERROR_INIT;
	size_t nr;

	if (ec2_find_snapshots(a, "t", tag, &list, &nr, &err) < 0)
		fail_msg("%s", err.text);
	free(list);
	return nr;
}

static void test_interrupted(void **state)
{
	struct fixture *f = *state;
	struct aws_tag tag = {"t", "interrupted"};
	struct snapshot_upload_opts up = {.client_token = "interrupted", .workers = 2,
		.skip = SNAPSHOT_SKIP_NEVER, .tags = &tag, .nr_tags = 1};
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();

	want_cancel = true;
	cancel_after = 30;
	assert_int_equal(snapshot_upload(f->aws, dev, &up, &out, &err), -1);
	want_cancel = false;
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	assert_non_null(strstr(err.text, "snap-"));
	assert_non_null(strstr(err.text, "was deleted"));
	assert_string_equal(out.snapshot, "");
	assert_int_equal(count_snapshots(f->aws, "interrupted"), 0);
	assert_int_equal(dev_close(dev, NULL), 0);
}

/*
 * The token of a deleted snapshot gives the deleted one back: the next run must not write into
 * that.
 */
static void test_again_after_interruption(void **state)
{
	struct fixture *f = *state;
	struct snapshot_upload_opts up = {.client_token = "again", .workers = 2,
		.skip = SNAPSHOT_SKIP_NEVER};
	char first[EBS_ID_SIZE];
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();

	want_cancel = true;
	cancel_after = 30;
	assert_int_equal(snapshot_upload(f->aws, dev, &up, &out, &err), -1);
	want_cancel = false;
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(out.retries, 0);
	/* And a completed one is not taken for a pending one either. */
	memcpy(first, out.snapshot, sizeof(first));
	later_s = 10;
	if (snapshot_upload(f->aws, dev, &up, &out, &err) < 0)
		fail_msg("%s", err.text);
	later_s = 0;
	assert_string_not_equal(first, out.snapshot);
	assert_int_equal(dev_close(dev, NULL), 0);
}

/* Whenever the interruption comes, no snapshot of this run stays behind. */
static void test_interrupted_anywhere(void **state)
{
	struct fixture *f = *state;
	struct aws_tag tag = {"t", "anywhere"};
	struct dev *dev = make_dev();

	for (unsigned n = 1; n < 60; n++) {
		char token[20];
		struct snapshot_upload_opts up = {.client_token = token, .workers = 2,
			.tags = &tag, .nr_tags = 1, .cancelled = cancelled};
		struct snapshot_result out;
		struct error err = ERROR_INIT;

		snprintf(token, sizeof(token), "anywhere-%u", n);
		want_cancel = true;
		cancel_after = n;
		if (snapshot_upload(f->aws, dev, &up, &out, &err) == 0) {
			want_cancel = false;
			assert_true(n > 5);
			assert_int_equal(count_snapshots(f->aws, "anywhere"), 1);
			assert_int_equal(dev_close(dev, NULL), 0);
			return;
		}
		want_cancel = false;
		assert_int_equal(err.kind, ERROR_INTERRUPTED);
		assert_int_equal(count_snapshots(f->aws, "anywhere"), 0);
	}
	fail_msg("never got through");
}

static int refuse(void *arg, uint64_t index, const uint8_t digest[SHA256_SIZE], struct error *err)
{
	(void)arg;
	(void)digest;
	return index == 5 ? error_set(err, ERROR_IO, 0, "the manifest is full") : 0;
}

static void test_callback_fails(void **state)
{
	struct fixture *f = *state;
	struct aws_tag tag = {"t", "callback"};
	struct snapshot_upload_opts up = {.client_token = "callback", .workers = 2, .tags = &tag,
		.nr_tags = 1, .block = refuse};
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();

	assert_int_equal(snapshot_upload(f->aws, dev, &up, &out, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(strncmp(err.text, "the manifest is full; the pending snapshot snap-", 48), 0);
	assert_int_equal(count_snapshots(f->aws, "callback"), 0);
	assert_int_equal(dev_close(dev, NULL), 0);
}

static void test_wrong_secret(void **state)
{
	struct fixture *f = *state;
	struct snapshot_upload_opts up = {.client_token = "secret", .workers = 1};
	struct fixture wrong = *f;
	struct snapshot_result out;
	struct error err = ERROR_INIT;
	struct dev *dev = make_dev();
	struct aws *a;

	wrong.creds.secret_key = strdup("not the secret at all");
	a = client(&wrong, &err);
	assert_non_null(a);
	assert_int_equal(snapshot_upload(a, dev, &up, &out, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	assert_non_null(strstr(err.text, "StartSnapshot failed: "));
	assert_null(strstr(err.text, "not the secret"));
	aws_free(a);
	free(wrong.creds.secret_key);
	assert_int_equal(dev_close(dev, NULL), 0);
}

static void test_download_unknown(void **state)
{
	struct fixture *f = *state;
	struct snapshot_download_opts down = {.max_inflight = 4};
	struct snapshot_download_result out;
	struct error err = ERROR_INIT;

	unlink(f->image);
	assert_int_equal(
		snapshot_download(f->aws, "snap-0123456789abcdef0", f->image, &down, &out, &err), -1);
	assert_string_equal(err.code, "ResourceNotFoundException");
	assert_int_equal(access(f->image, F_OK), -1);
	assert_int_equal(snapshot_download(f->aws, "../x", f->image, &down, &out, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_round_trip_serial),
		cmocka_unit_test(test_short_last_block),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_again_after_interruption),
		cmocka_unit_test(test_interrupted_anywhere),
		cmocka_unit_test(test_callback_fails),
		cmocka_unit_test(test_wrong_secret),
		cmocka_unit_test(test_download_unknown),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
