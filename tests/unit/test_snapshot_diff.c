/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons by content, and the rules of verifying, over disks and tables. The ways over the network
 * are in tests/integration/test_readback.py.
 */
#include "uploader/snapshot_diff.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "uploader/snapshot_verify.h"

/* More than one window. */
enum { NR_BLOCKS = 2 * SNAPSHOT_WINDOW + 100 };

static struct dev *make(uint64_t size)
{
	struct dev *dev = disk_new(size, NULL, NULL);

	assert_non_null(dev);
	return dev;
}

static void put(struct dev *dev, uint64_t block, const char *text)
{
	assert_int_equal(dev_pwrite(dev, text, strlen(text), block * EBS_BLOCK_SIZE, NULL), 0);
}

struct seen {
	char text[400];
};

static int on_range(void *arg, uint64_t first, uint64_t nr, struct error *err)
{
	struct seen *s = arg;
	size_t len = strlen(s->text);

	(void)err;
	snprintf(s->text + len, sizeof(s->text) - len, "%llu+%llu ", (unsigned long long)first,
		(unsigned long long)nr);
	return 0;
}

static struct snapshot_diff_result diff(struct dev *a, struct dev *b, unsigned workers, const char *expected)
{
	struct seen seen = {""};
	struct snapshot_diff_opts opts = {.side = {.workers = workers}, .range = on_range, .arg = &seen};
	struct snapshot_side side[2];
	struct snapshot_diff_result r;
	struct error err = ERROR_INIT;

	assert_int_equal(snapshot_side_of_dev(&side[0], a, &err), 0);
	assert_int_equal(snapshot_side_of_dev(&side[1], b, &err), 0);
	if (snapshot_diff(&side[0], &side[1], &opts, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(seen.text, expected);
	snapshot_side_release(&side[0]);
	snapshot_side_release(&side[1]);
	return r;
}

static void test_diff(void **state)
{
	struct dev *a = make(NR_BLOCKS * (uint64_t)EBS_BLOCK_SIZE);
	struct dev *b = make((NR_BLOCKS - 1) * (uint64_t)EBS_BLOCK_SIZE + 10);
	struct snapshot_diff_result r;

	(void)state;
	for (unsigned workers = 1; workers <= 3; workers += 2) {
		r = diff(a, b, workers, "");
		assert_int_equal(r.compared, 0);
	}
	put(a, 0, "same");
	put(b, 0, "same");
	/* A run over the end of a window; zeros that were written; the short last block. */
	put(a, SNAPSHOT_WINDOW - 1, "x");
	put(b, SNAPSHOT_WINDOW, "x");
	put(a, SNAPSHOT_WINDOW + 1, "x");
	put(b, SNAPSHOT_WINDOW + 1, "y");
	put(a, 2 * SNAPSHOT_WINDOW, "x");
	assert_int_equal(dev_pwrite(b, "\0\0\0", 3, 7 * EBS_BLOCK_SIZE, NULL), 0);
	put(a, NR_BLOCKS - 1, "last");
	for (unsigned workers = 1; workers <= 3; workers += 2) {
		r = diff(a, b, workers, "16383+3 32768+1 32867+1 ");
		assert_int_equal(r.changed, 5);
		assert_int_equal(r.ranges, 3);
		assert_int_equal(r.compared, 7);
	}
	put(b, NR_BLOCKS - 1, "last");
	diff(b, a, 2, "16383+3 32768+1 ");
	dev_close(a, NULL);
	dev_close(b, NULL);
}

static int on_wrong(void *arg, uint64_t index, enum snapshot_wrong what, struct error *err)
{
	struct seen *s = arg;
	size_t len = strlen(s->text);

	(void)err;
	snprintf(s->text + len, sizeof(s->text) - len, "%llu:%d ", (unsigned long long)index, what);
	return 0;
}

/* A snapshot as a table: the same to the rules as one that comes over the network. */
static struct snapshot_table *table_of(struct dev *dev, const uint64_t *blocks, size_t nr)
{
	struct snapshot_table *t = snapshot_table_new(2 * GIB / EBS_BLOCK_SIZE, NULL, NULL);
	uint8_t digest[SHA256_SIZE];
	char *data = malloc(EBS_BLOCK_SIZE);

	assert_non_null(t);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(dev_pread(dev, data, EBS_BLOCK_SIZE, blocks[i] * EBS_BLOCK_SIZE, NULL), 0);
		assert_int_equal(sha256(data, EBS_BLOCK_SIZE, digest, NULL), 0);
		assert_int_equal(snapshot_table_set(t, blocks[i], digest, NULL), 0);
	}
	free(data);
	return t;
}

static struct snapshot_verify_result verify(const struct snapshot_table *has, struct snapshot_side *should,
	bool encrypted, bool by_digests, const char *expected)
{
	struct seen seen = {""};
	struct snapshot_verify_opts opts = {.side = {.workers = 2}, .encrypted = encrypted,
		.by_digests = by_digests, .sample = SNAPSHOT_SAMPLE_ALL, .wrong = on_wrong,
		.arg = &seen};
	struct snapshot_verify_result r;
	struct snapshot_side side;
	struct error err = ERROR_INIT;

	assert_int_equal(snapshot_side_of_table(&side, has, 2 * GIB, &err), 0);
	if (snapshot_verify(&side, should, &opts, &r, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(seen.text, expected);
	snapshot_side_release(&side);
	snapshot_side_release(should);
	return r;
}

/* Data in 1 to 4, zeros that count in 5 and 6, all else unused; 1.5 GiB. */
static struct dev *make_image(void)
{
	struct dev *dev = make(GIB + GIB / 2);
	char text[20];

	for (unsigned i = 1; i <= 4; i++) {
		snprintf(text, sizeof(text), "block %u", i);
		put(dev, i, text);
	}
	assert_int_equal(dev_clear(dev, 5 * EBS_BLOCK_SIZE, 2 * EBS_BLOCK_SIZE, EXTENT_ZERO, NULL), 0);
	return dev;
}

static void test_verify(void **state)
{
	static const uint64_t whole[] = {1, 2, 3, 4, 5, 6}, some[] = {1, 3, 4, 6};
	struct dev *dev = make_image(), *other = make(2 * GIB);
	struct snapshot_table *good, *part, *bad;
	struct snapshot_verify_result r;
	struct snapshot_side image;

	(void)state;
	good = table_of(dev, whole, ARRAY_SIZE(whole));
	part = table_of(dev, some, ARRAY_SIZE(some));
	assert_int_equal(snapshot_side_of_dev(&image, dev, NULL), 0);
	r = verify(good, &image, true, false, "");
	assert_int_equal(r.read, 6);
	assert_int_equal(snapshot_side_of_dev(&image, dev, NULL), 0);
	verify(part, &image, false, false, "2:1 ");
	assert_int_equal(snapshot_side_of_dev(&image, dev, NULL), 0);
	verify(part, &image, true, false, "2:1 5:2 ");
	/* Other content in data, zeros, unused, and behind the image's end. */
	for (unsigned i = 1; i < 4000; i = i == 1 ? 5 : i == 5 ? 50 : i == 50 ? 3500 : 4000)
		put(other, i, "other");
	bad = table_of(other, (const uint64_t[]){1, 5, 50, 3500}, 4);
	assert_int_equal(snapshot_side_of_dev(&image, dev, NULL), 0);
	r = verify(bad, &image, false, false, "1:0 2:1 3:1 4:1 5:0 3500:3 ");
	assert_int_equal(r.unused, 1);
	/* By digests, unused is not known. */
	assert_int_equal(snapshot_side_of_table(&image, part, 2 * GIB, NULL), 0);
	verify(good, &image, true, true, "2:3 ");
	assert_int_equal(snapshot_side_of_table(&image, part, 2 * GIB, NULL), 0);
	verify(bad, &image, true, true, "1:0 3:1 4:1 5:3 6:1 50:3 3500:3 ");
	snapshot_table_free(good);
	snapshot_table_free(part);
	snapshot_table_free(bad);
	dev_close(dev, NULL);
	dev_close(other, NULL);
}

static void test_image_is_larger(void **state)
{
	struct dev *dev = make(2 * GIB + 1);
	struct snapshot_table *t = table_of(dev, NULL, 0);
	struct snapshot_verify_opts opts = {.side = {.workers = 1}, .sample = SNAPSHOT_SAMPLE_ALL};
	struct snapshot_side has, image;
	struct snapshot_verify_result r;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(snapshot_side_of_table(&has, t, 2 * GIB, NULL), 0);
	assert_int_equal(snapshot_side_of_dev(&image, dev, NULL), 0);
	assert_int_equal(snapshot_verify(&has, &image, &opts, &r, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	snapshot_side_release(&has);
	snapshot_side_release(&image);
	snapshot_table_free(t);
	dev_close(dev, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_image_is_larger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
