/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images made by hand: what each kind of entry reads as, entries that cannot be, threads, failures of
 * the file and of memory, and a thousand damaged images. Those that QEMU makes: tests/integration/test_qcow2.py.
 */
#include "formats/qcow2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "base/pool.h"
#include "formats/deflate.h"
#include "formats/zstd_frame.h"
#include "tests/lib/allocfail.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/faultdev.h"

/* The file: header, L1 table, two L2 tables, compressed data, plain data. */
enum { BITS = 12, CLUSTER = 1 << BITS, PER_L2 = CLUSTER / 8 };
enum { L1 = CLUSTER, L2 = 2 * CLUSTER, PACKED_AT = 4 * CLUSTER, PLAIN_AT = 8 * CLUSTER };
enum { FILE_SIZE = 16 * CLUSTER, NR_CLUSTERS = PER_L2 + 9, DISK = NR_CLUSTERS * CLUSTER - 100 };

/* What the clusters of the disk hold; all others are zeros. */
enum { A_PLAIN = 0, A_RUN = 3, A_PACKED = 10, A_ZERO = 20, A_AHEAD = 21, A_LAST = NR_CLUSTERS - 1 };
#define FLAG_PACKED (UINT64_C(1) << 62)
#define FLAG_COPIED (UINT64_C(1) << 63)

struct made {
	uint8_t file[FILE_SIZE];
	uint8_t disk[NR_CLUSTERS * CLUSTER];
	uint64_t packed_end; /* where the next compressed cluster goes */
	bool zstd;
};

static struct made made;

static uint8_t *entry_of(unsigned cluster)
{
	return made.file + L2 + cluster * 8;
}

static void set_entry(unsigned cluster, uint64_t entry)
{
	num_put_be64(entry_of(cluster), entry);
}

static void put_plain(unsigned cluster, unsigned at)
{
	uint8_t *data = made.file + PLAIN_AT + at * CLUSTER;

	for (size_t i = 0; i < CLUSTER; i++)
		data[i] = (uint8_t)((i + 1) * (cluster + 7) * 2654435761u >> 24);
	memcpy(made.disk + (size_t)cluster * CLUSTER, data, CLUSTER);
	set_entry(cluster, FLAG_COPIED | (PLAIN_AT + (uint64_t)at * CLUSTER));
}

static void compress(const uint8_t *data, struct buf *out)
{
	struct error err = ERROR_INIT;

	if (made.zstd) {
		struct zstd_frame *z = zstd_frame_new(0, &err);

		assert_int_equal(zstd_frame_add(z, data, CLUSTER / 2, out, &err), 0);
		assert_int_equal(zstd_frame_add(z, data + CLUSTER / 2, CLUSTER / 2, out, &err), 0);
		zstd_frame_free(z);
	} else {
		struct deflate *d = deflate_new(0, &err);

		/* Bare: without zlib's two bytes before and four behind. */
		assert_int_equal(deflate_zlib(d, data, CLUSTER, out, &err), 0);
		buf_truncate(out, out->len - 4);
		memmove(out->data, out->data + 2, out->len - 2);
		buf_truncate(out, out->len - 2);
		deflate_free(d);
	}
}

static void put_packed(unsigned cluster)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	uint8_t *data = made.disk + (size_t)cluster * CLUSTER;
	uint64_t off = made.packed_end, sectors;

	for (size_t i = 0; i < CLUSTER; i++)
		data[i] = (uint8_t)("0123456789abcdef"[i * (cluster + 3) * 40503u >> 12 & 15]);
	compress(data, &out);
	assert_true(off + out.len <= PLAIN_AT);
	memcpy(made.file + off, out.data, out.len);
	sectors = (off + out.len - 1) / 512 - off / 512;
	set_entry(cluster, FLAG_PACKED | sectors << (62 - (BITS - 8)) | off);
	made.packed_end = off + out.len;
}

static void make(bool zstd)
{
	uint8_t *h = made.file;

	memset(&made, 0, sizeof(made));
	made.zstd = zstd;
	made.packed_end = PACKED_AT;
	memcpy(h, "QFI\xfb", 4);
	num_put_be32(h + 4, 3);
	num_put_be32(h + 20, BITS);
	num_put_be64(h + 24, DISK);
	num_put_be32(h + 36, 2);
	num_put_be64(h + 40, L1);
	num_put_be64(h + 72, zstd ? 8 : 0);
	num_put_be32(h + 96, 4);
	num_put_be32(h + 100, 112);
	h[104] = zstd;
	num_put_be64(made.file + L1, FLAG_COPIED | L2);
	num_put_be64(made.file + L1 + 8, L2 + CLUSTER);
	put_plain(A_PLAIN, 5);
	for (unsigned i = 0; i < 4; i++) /* two of them not where those before them go on */
		put_plain(A_RUN + i, i == 1 ? 2 : i == 2 ? 1 : i);
	for (unsigned i = 0; i < 4; i++)
		put_packed(A_PACKED + i);
	set_entry(A_ZERO, 1);
	put_plain(A_AHEAD, 6);
	set_entry(A_AHEAD, FLAG_COPIED | (PLAIN_AT + 6 * CLUSTER) | 1);
	memset(made.disk + A_AHEAD * CLUSTER, 0, CLUSTER);
	put_plain(A_LAST, 7);
}

static int open_bytes(const void *bytes, size_t len, struct image *image, struct error *err)
{
	*image = (struct image){.format = "qcow2"};
	error_clear(err);
	return qcow2_open(bytesdev_new(bytes, len), "x.qcow2", &(struct format_read_opts){0}, image, err);
}

/* All of it at once, and in pieces that fit nothing. */
static void check_content(struct dev *dev, size_t piece)
{
	uint8_t *buf = malloc(DISK);
	struct error err = ERROR_INIT;

	assert_int_equal(dev->size, DISK);
	for (size_t off = 0; off < DISK; off += piece)
		if (dev_pread(dev, buf + off, MIN(piece, DISK - off), off, &err) < 0)
			fail_msg("%s", err.text);
	assert_memory_equal(buf, made.disk, DISK);
	free(buf);
}

static void check_reads(bool zstd)
{
	struct error err = ERROR_INIT;
	struct image image;

	make(zstd);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	assert_string_equal(image.variant, "version 3");
	check_content(image.dev, DISK);
	check_content(image.dev, CLUSTER);
	check_content(image.dev, 1000);
	image_close(&image);
}

static void test_reads(void **state)
{
	(void)state;
	check_reads(false);
	check_reads(true);
}

static void test_extents(void **state)
{
	static const struct {
		unsigned first, nr;
	} data[] = {{A_PLAIN, 1}, {A_RUN, 4}, {A_PACKED, 4}, {A_LAST, 1}};
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	struct image image;
	size_t found = 0;

	(void)state;
	make(false);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	assert_int_equal(dev_extents(image.dev, 0, DISK, &list, &err), 0);
	for (size_t i = 0; i < list.nr; i++) {
		if (list.items[i].kind != EXTENT_DATA)
			continue;
		assert_true(found < ARRAY_SIZE(data));
		assert_int_equal(list.items[i].off, data[found].first * CLUSTER);
		assert_int_equal(list.items[i].len, MIN(data[found].nr * CLUSTER, DISK - list.items[i].off));
		found++;
	}
	assert_int_equal(found, ARRAY_SIZE(data));
	extent_list_clear(&list);
	assert_int_equal(dev_extents(image.dev, 5 * CLUSTER + 7, 2 * CLUSTER, &list, &err), 0);
	assert_int_equal(list.nr, 2);
	assert_int_equal(list.items[0].len, 2 * CLUSTER - 7);
	extent_list_release(&list);
	image_close(&image);
}

/* With the entry for that cluster: opening or reading it says so. */
static void check_bad(unsigned cluster, uint64_t entry, const char *text)
{
	struct error err = ERROR_INIT;
	struct image image;
	uint8_t byte;

	make(false);
	set_entry(cluster, entry);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	for (unsigned i = 0; i < 2; i++) /* nothing of the first try is kept */
		assert_int_equal(dev_pread(image.dev, &byte, 1, cluster * CLUSTER, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, text) || !strstr(err.text, "'x.qcow2'"))
		fail_msg("'%s' does not say '%s'", err.text, text);
	image_close(&image);
}

static void test_bad_entries(void **state)
{
	(void)state;
	check_bad(1, PLAIN_AT + 512, "entry 1 of its L2 tables");
	check_bad(2, PLAIN_AT | 2, "entry 2 of its L2 tables");
	check_bad(2, PLAIN_AT | UINT64_C(1) << 56, "entry 2 of its L2 tables");
	check_bad(2, FLAG_COPIED, "entry 2 of its L2 tables");
	check_bad(2, FILE_SIZE, "lie outside");
	check_bad(2, UINT64_C(1) << 55, "lie outside");
	check_bad(2, FLAG_PACKED | 8, "entry 2 of its L2 tables");
	check_bad(2, FLAG_PACKED | FILE_SIZE, "lies outside");
	check_bad(2, FLAG_PACKED | (FILE_SIZE - 1), "cannot be decompressed");
	check_bad(2, FLAG_PACKED | PLAIN_AT, "cannot be decompressed");
}

static void test_bad_l1(void **state)
{
	static const uint64_t bad[] = {L2 + 512, FILE_SIZE, UINT64_C(1) << 60, 1, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = ERROR_INIT;
		struct image image;

		make(false);
		num_put_be64(made.file + L1 + 8, bad[i]);
		assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, "entry 1 of its L1 table"));
		assert_null(image.dev);
	}
}

/* Bit 0 means zeros in version 3 alone; before, no writer may have set it. */
static void test_zero_flag_of_version_2(void **state)
{
	struct error err = ERROR_INIT;
	struct image image;
	uint8_t byte;

	(void)state;
	make(false);
	num_put_be32(made.file + 4, 2);
	memset(made.file + 72, 0, 40);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	assert_int_equal(dev_pread(image.dev, &byte, 1, A_ZERO * CLUSTER, &err), -1);
	image_close(&image);
	set_entry(A_ZERO, 0);
	set_entry(A_AHEAD, 0);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	assert_string_equal(image.variant, "version 2");
	check_content(image.dev, DISK);
	image_close(&image);
}

/* One thread's part of the reads. */
struct reader {
	struct dev *dev;
	unsigned number;
};

static int read_packed(void *item, void *arg, struct error *err)
{
	const struct reader *r = item;
	uint8_t buf[CLUSTER];

	(void)arg;
	for (unsigned i = 0; i < 200; i++) {
		size_t off = (A_PACKED - 1) * CLUSTER + (i * 7919 + r->number * 131) % (5 * CLUSTER);
		size_t len = i % 3 ? 1 + i * 37 % 600 : CLUSTER;

		if (dev_pread(r->dev, buf, len, off, err) < 0)
			return -1;
		if (memcmp(buf, made.disk + off, len))
			return error_set(err, ERROR_BUG, 0, "other bytes at %zu", off);
	}
	return 0;
}

static void test_threads(void **state)
{
	struct error err = ERROR_INIT;
	struct reader readers[16];
	struct image image;
	struct pool *pool;
	void *item;

	(void)state;
	make(true);
	assert_int_equal(open_bytes(made.file, FILE_SIZE, &image, &err), 0);
	pool = pool_new(8, ARRAY_SIZE(readers), read_packed, NULL, &err);
	assert_non_null(pool);
	for (unsigned i = 0; i < ARRAY_SIZE(readers); i++) {
		readers[i] = (struct reader){image.dev, i};
		assert_int_equal(pool_submit(pool, &readers[i], &err), 0);
	}
	do {
		if (pool_next(pool, &item, &err) < 0)
			fail_msg("%s", err.text);
	} while (item);
	pool_free(pool);
	image_close(&image);
}

static int read_whole(struct dev *file, struct error *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(DISK);
	struct extent_list list = EXTENT_LIST_INIT;
	struct image image = {0};
	int ret;

	if (!buf) {
		dev_close(file, NULL);
		return error_nomem(err, "a test");
	}
	if (qcow2_open(file, "x.qcow2", &(struct format_read_opts){0}, &image, err) < 0)
		return -1;
	ret = dev_extents(image.dev, 0, DISK, &list, err);
	if (ret == 0)
		ret = dev_pread(image.dev, buf, DISK, 0, err);
	extent_list_release(&list);
	image_close(&image);
	return ret;
}

/* Each read of the file fails once, and is told as what it is. */
static void test_file_fails(void **state)
{
	struct dev *below;
	unsigned n = 1;
	bool failed;

	(void)state;
	make(false);
	below = bytesdev_new(made.file, FILE_SIZE);
	do {
		struct error err = ERROR_INIT;
		struct dev *file = faultdev_new(below);

		faultdev_fail(file, FAULTDEV_PREAD, n);
		failed = read_whole(file, &err) < 0;
		assert_true(!failed || err.kind == ERROR_IO);
	} while (failed && n++ < 1000);
	assert_true(n > 10 && n < 1000);
	dev_close(below, NULL);
}

static int read_all_memory(struct error *err)
{
	struct dev *file = bytesdev_new(made.file, FILE_SIZE);

	return file ? read_whole(file, err) : error_nomem(err, "a test");
}

static void test_memory_fails(void **state)
{
	(void)state;
	make(false);
	assert_true(allocfail_torture(read_all_memory));
	make(true);
	assert_true(allocfail_torture(read_all_memory));
}

static uint32_t seed;

static uint32_t next_random(uint32_t limit)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

/* Cuts; flips and lies in the head, in the tables, in what is compressed. Returns the new length. */
static size_t damage(uint8_t *bytes, unsigned how)
{
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, CLUSTER, 0x40000000, 0x00010000};
	static const struct {
		size_t off, len;
	} places[] = {{4, 108}, {L1, 16}, {L2, 24 * 8}, {L2 + A_LAST * 8, 8}, {PACKED_AT, 2 * CLUSTER}};
	size_t place = next_random(ARRAY_SIZE(places));
	size_t at = places[place].off + next_random((uint32_t)places[place].len);

	if (how % 5 == 0)
		return next_random(FILE_SIZE);
	if (how % 5 == 1)
		num_put_be32(bytes + at / 4 * 4, lies[next_random(ARRAY_SIZE(lies))]);
	for (unsigned i = 1; i < how % 5; i++)
		bytes[at + i * (how % 7)] ^= (uint8_t)(1 << next_random(8));
	return FILE_SIZE;
}

/*
 * Each cluster is an error or data; of a file that was cut, the right one. (A table that lies may lead to other data:
 * the format has no checksums.)
 */
static void read_damaged(struct dev *dev, bool cut)
{
	uint64_t nr = num_div_up(dev->size, CLUSTER);
	uint8_t buf[CLUSTER];

	for (uint64_t i = 0; i < nr; i = i == 2048 && nr > 4096 ? nr - 2048 : i + 1) {
		size_t len = (size_t)MIN((uint64_t)CLUSTER, dev->size - i * CLUSTER);
		struct extent_list list = EXTENT_LIST_INIT;
		struct error err = ERROR_INIT;

		if (dev_pread(dev, buf, len, i * CLUSTER, &err) < 0) {
			assert_int_equal(err.kind, ERROR_INPUT);
			assert_non_null(strstr(err.text, "damaged"));
		} else {
			assert_int_equal(dev_extents(dev, i * CLUSTER, len, &list, &err), 0);
			if (cut)
				assert_memory_equal(buf, made.disk + i * CLUSTER, len);
		}
		extent_list_release(&list);
	}
}

static void test_damage(void **state)
{
	uint8_t *bytes = malloc(FILE_SIZE);
	unsigned opened = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct error err = ERROR_INIT;
		struct image image;
		size_t len;

		if (i % 500 == 0)
			make(i >= 500);
		seed = i * 7919;
		memcpy(bytes, made.file, FILE_SIZE);
		len = damage(bytes, i);
		/* In memory of that size, so that a sanitizer sees a read behind it. */
		bytes = realloc(bytes, MAX(len, (size_t)1));
		if (open_bytes(bytes, len, &image, &err) < 0) {
			assert_int_equal(err.kind, ERROR_INPUT);
			assert_non_null(strstr(err.text, "'x.qcow2' is a"));
		} else {
			opened++;
			read_damaged(image.dev, len < FILE_SIZE);
		}
		image_close(&image);
		bytes = realloc(bytes, FILE_SIZE);
	}
	free(bytes);
	assert_true(opened > 300 && opened < 950);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_bad_entries),
		cmocka_unit_test(test_bad_l1),
		cmocka_unit_test(test_zero_flag_of_version_2),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_file_fails),
		cmocka_unit_test(test_memory_fails),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
