/* SPDX-License-Identifier: Apache-2.0 */
/* VMDKs that we write, read back; their bytes, their holes, their options, and faults on the way. */
#include "formats/vmdk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/num.h"
#include "formats/vmdk_header.h"
#include "tests/lib/allocfail.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/tmpdir.h"

enum { GRAIN = VMDK_GRAIN, SIZE = 70 * 1048576 + 3 * 512, BLOCK = 512 << 10 };

static const struct format *const both[] = {&format_vmdk, &format_vmdk_sparse};

static uint8_t noise(uint64_t i)
{
	return (uint8_t)(i * 2654435761U >> 13 | 1);
}

/* Data in single grains, over a boundary of tables, and in the last, ragged one. */
static struct dev *make_disk(uint64_t size)
{
	static const uint64_t at[] = {0, 5 * GRAIN + 77, 512 * GRAIN - 300, 900 * GRAIN, SIZE - 700};
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(size, NULL, &err);
	uint8_t data[600];

	assert_non_null(dev);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		for (size_t k = 0; k < sizeof(data); k++)
			data[k] = noise(i * sizeof(data) + k);
		if (at[i] + sizeof(data) <= size)
			assert_int_equal(dev_pwrite(dev, data, sizeof(data), at[i], &err), 0);
	}
	/* Data that turn out to be zeros are left out as well. */
	memset(data, 0, sizeof(data));
	assert_int_equal(dev_pwrite(dev, data, sizeof(data), 100 * GRAIN, &err), 0);
	return dev;
}

static void write_file(const struct format *f, struct dev *dev, unsigned workers, struct buf *out)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct format_write_opts opts = {.workers = workers};
	struct format_result result;
	struct error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/x.vmdk", dir);
	if (format_write(f, dev, path, &opts, &result, &err) < 0)
		fail_msg("%s", err.text);
	buf_clear(out);
	assert_int_equal(file_read(path, out, &err), 0);
	assert_int_equal(out->len, result.file_size);
	assert_int_equal(result.disk_size, num_align(dev->size, GRAIN));
}

static struct dev *open_bytes(const void *bytes, size_t len, struct image *image, struct error *err)
{
	*image = (struct image){.file_size = len};
	if (vmdk_open(bytesdev_new(bytes, len), "x.vmdk", &(struct format_read_opts){.workers = 1}, image,
		    err) < 0)
		return NULL;
	return image->dev;
}

static void compare(struct dev *disk, struct dev *got)
{
	uint8_t *a = malloc(BLOCK), *b = malloc(BLOCK);
	struct error err = ERROR_INIT;

	for (uint64_t off = 0; off < got->size; off += BLOCK) {
		size_t n = MIN(BLOCK, got->size - off), have = MIN(n, disk->size - MIN(off, disk->size));

		memset(a, 0, BLOCK);
		assert_int_equal(dev_pread(disk, a, have, MIN(off, disk->size - have), &err), 0);
		if (dev_pread(got, b, n, off, &err) < 0)
			fail_msg("%s", err.text);
		assert_memory_equal(a, b, n);
	}
	free(a);
	free(b);
}

static void test_round_trip(void **state)
{
	CLEANUP_BUF struct buf one = BUF_INIT(0), four = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct dev *disk = make_disk(SIZE), *dev;
	struct image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		write_file(both[i], disk, 1, &one);
		write_file(both[i], disk, 4, &four);
		assert_int_equal(one.len, four.len);
		assert_memory_equal(one.data, four.data, one.len);
		dev = open_bytes(one.data, one.len, &image, &err);
		assert_non_null(dev);
		assert_string_equal(image.variant, i ? "monolithicSparse" : "streamOptimized");
		assert_int_equal(image.file_size, one.len);
		assert_int_equal(dev->size, num_align(SIZE, GRAIN));
		compare(disk, dev);
		image_close(&image);
	}
	dev_close(disk, NULL);
}

/* Read by four at once, which lend one another decompressors, the copy is the same file. */
static void test_read_by_many(void **state)
{
	CLEANUP_BUF struct buf first = BUF_INIT(0), copy = BUF_INIT(0);
	struct dev *disk = make_disk(num_align(SIZE, GRAIN)), *dev;
	struct error err = ERROR_INIT;
	struct image image;

	(void)state;
	write_file(&format_vmdk, disk, 1, &first);
	dev = open_bytes(first.data, first.len, &image, &err);
	assert_non_null(dev);
	write_file(&format_vmdk, dev, 4, &copy);
	assert_int_equal(first.len, copy.len);
	assert_memory_equal(first.data, copy.data, first.len);
	image_close(&image);
	dev_close(disk, NULL);
}

static void test_extents(void **state)
{
	static const uint64_t grains[] = {0, 5, 511, 512, 900, SIZE / GRAIN};
	CLEANUP_BUF struct buf file = BUF_INIT(0);
	struct dev *disk = make_disk(SIZE), *dev;
	struct error err = ERROR_INIT;
	struct image image;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct extent_list list = EXTENT_LIST_INIT;
		size_t k = 0;

		write_file(both[i], disk, 2, &file);
		dev = open_bytes(file.data, file.len, &image, &err);
		assert_non_null(dev);
		assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
		for (size_t e = 0; e < list.nr; e++) {
			if (list.items[e].kind == EXTENT_ZERO)
				continue;
			for (uint64_t off = list.items[e].off; off < list.items[e].off + list.items[e].len;
				off += GRAIN)
				assert_int_equal(off, grains[k++] * GRAIN);
		}
		assert_int_equal(k, ARRAY_SIZE(grains));
		extent_list_clear(&list);
		/* Clipped, in the middle of grains. */
		assert_int_equal(dev_extents(dev, 4 * GRAIN + 9, 2 * GRAIN, &list, &err), 0);
		assert_int_equal(list.nr, 3);
		assert_int_equal(list.items[1].kind, EXTENT_DATA);
		assert_int_equal(list.items[2].len, 9);
		extent_list_release(&list);
		image_close(&image);
	}
	dev_close(disk, NULL);
}

/* A full disk by blocks, then by pieces that end in the middle of grains: a grain costs two reads of the file, once. */
static void test_inflated_once(void **state)
{
	enum { NR = 64, READS = 2 * NR };
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(NR * GRAIN, NULL, &err), *file, *fault;
	struct image image = {0};
	CLEANUP_BUF struct buf bytes = BUF_INIT(0);
	uint8_t *buf = malloc(BLOCK);
	unsigned blocks = 0;

	(void)state;
	for (size_t i = 0; i < BLOCK; i++)
		buf[i] = noise(i);
	for (uint64_t off = 0; off < disk->size; off += BLOCK)
		assert_int_equal(dev_pwrite(disk, buf, BLOCK, off, &err), 0);
	write_file(&format_vmdk, disk, 1, &bytes);
	file = bytesdev_new(bytes.data, bytes.len);
	fault = faultdev_new(file);
	assert_int_equal(vmdk_open(fault, "x.vmdk", &(struct format_read_opts){0}, &image, &err), 0);
	faultdev_fail(fault, FAULTDEV_PREAD, 0);
	for (uint64_t off = 0; off < disk->size; off += BLOCK, blocks++)
		assert_int_equal(dev_pread(image.dev, buf, BLOCK, off, &err), 0);
	assert_int_equal(faultdev_calls(fault, FAULTDEV_PREAD), READS + blocks);
	faultdev_fail(fault, FAULTDEV_PREAD, 0);
	blocks = 0;
	for (uint64_t off = 0; off < disk->size; off += 10000, blocks++)
		assert_int_equal(dev_pread(image.dev, buf, MIN(10000, disk->size - off), off, &err), 0);
	assert_int_equal(faultdev_calls(fault, FAULTDEV_PREAD), READS + blocks);
	image_close(&image);
	dev_close(file, NULL);
	dev_close(disk, NULL);
	free(buf);
}

static void test_read_faults(void **state)
{
	struct dev *disk = make_disk(SIZE);
	CLEANUP_BUF struct buf bytes = BUF_INIT(0);
	uint8_t *buf = malloc(GRAIN * 6);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		unsigned n = 0;
		int ret;

		write_file(both[i], disk, 1, &bytes);
		do {
			struct dev *file = bytesdev_new(bytes.data, bytes.len), *fault = faultdev_new(file);
			struct error err = ERROR_INIT;
			struct image image = {0};

			faultdev_fail(fault, FAULTDEV_PREAD, ++n);
			ret = vmdk_open(fault, "x.vmdk", &(struct format_read_opts){0}, &image, &err);
			if (ret == 0)
				ret = dev_pread(image.dev, buf, GRAIN * 6, 0, &err);
			assert_true(ret == 0 || err.kind == ERROR_IO);
			image_close(&image);
			dev_close(file, NULL);
		} while (ret < 0);
		assert_true(n > 5);
	}
	free(buf);
	dev_close(disk, NULL);
}

static const struct buf *torture_bytes;

static int open_and_read(struct error *err)
{
	struct dev *file = bytesdev_new(torture_bytes->data, torture_bytes->len);
	struct image image = {0};
	uint8_t buf[100];
	int ret;

	if (!file)
		return error_nomem(err, "a device");
	ret = vmdk_open(file, "x.vmdk", &(struct format_read_opts){0}, &image, err);
	if (ret == 0)
		ret = dev_pread(image.dev, buf, sizeof(buf), 5 * GRAIN, err);
	image_close(&image);
	return ret;
}

static void test_no_memory(void **state)
{
	struct dev *disk = make_disk(SIZE);
	CLEANUP_BUF struct buf bytes = BUF_INIT(0);

	(void)state;
	write_file(&format_vmdk, disk, 1, &bytes);
	torture_bytes = &bytes;
	assert_true(allocfail_torture(open_and_read));
	dev_close(disk, NULL);
}

static void check_descriptor(const struct format_write_opts *opts, uint64_t size, const char *expect)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP_BUF struct buf file = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(size, NULL, &err);
	struct format_result result;
	char path[256];

	snprintf(path, sizeof(path), "%s/x.vmdk", dir);
	assert_int_equal(format_write(&format_vmdk, disk, path, opts, &result, &err), 0);
	assert_int_equal(file_read(path, &file, &err), 0);
	if (!strstr(file.data + VMDK_SECTOR, expect))
		fail_msg("no '%s' in %s", expect, file.data + VMDK_SECTOR);
	dev_close(disk, NULL);
}

static void test_options(void **state)
{
	struct format_write_opts opts = {.adapter = "ide"};

	(void)state;
	check_descriptor(&(struct format_write_opts){0}, 100 * MIB, "cylinders = \"100\"\n");
	check_descriptor(&(struct format_write_opts){0}, 3 * GIB / 2, "heads = \"128\"\n");
	check_descriptor(&(struct format_write_opts){0}, 8 * GIB, "cylinders = \"1044\"\n");
	check_descriptor(&(struct format_write_opts){0}, 8 * GIB, "toolsVersion = \"2147483647\"\n");
	check_descriptor(&(struct format_write_opts){0}, MIB, "adapterType = \"lsilogic\"\n");
	check_descriptor(&opts, 100 * GIB, "cylinders = \"16383\"\n");
	check_descriptor(&opts, 100 * GIB, "adapterType = \"ide\"\n");
	opts.hardware_version = 19;
	opts.tools_version = 12325;
	opts.geometry.cylinders = 1;
	opts.geometry.heads = 2;
	opts.geometry.sectors = 3;
	check_descriptor(&opts, MIB, "virtualHWVersion = \"19\"\n");
	check_descriptor(&opts, MIB, "toolsVersion = \"12325\"\n");
	check_descriptor(&opts, MIB, "cylinders = \"1\"\nddb.geometry.heads = \"2\"\nddb.geometry.sectors = \"3\"\n");
}

static void test_wrong_options(void **state)
{
	struct format_write_opts opts = {.adapter = "floppy"};
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(format_check(&format_vmdk, &opts, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "lsilogic"));
	opts = (struct format_write_opts){.geometry = {.cylinders = 1, .heads = 256, .sectors = 63}};
	assert_int_equal(format_check(&format_vmdk_sparse, &opts, 0, &err), -1);
	opts = (struct format_write_opts){.level = 13};
	assert_int_equal(format_check(&format_vmdk, &opts, 0, &err), -1);
	opts.level = 0;
	assert_int_equal(format_check(&format_vmdk, &opts, 64 * TIB, &err), 0);
	assert_int_equal(format_check(&format_vmdk, &opts, 64 * TIB + 1, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(format_check(&format_vmdk_sparse, &opts, 2 * TIB + 1, &err), -1);
}

/* Content and size make the ids, nothing else does. */
static void test_ids(void **state)
{
	CLEANUP_BUF struct buf a = BUF_INIT(0), b = BUF_INIT(0);
	struct dev *disk = make_disk(SIZE);
	struct error err = ERROR_INIT;

	(void)state;
	write_file(&format_vmdk, disk, 1, &a);
	write_file(&format_vmdk, disk, 1, &b);
	assert_memory_equal(a.data, b.data, a.len);
	assert_int_equal(dev_pwrite(disk, "!", 1, 10, &err), 0);
	write_file(&format_vmdk, disk, 1, &b);
	assert_memory_not_equal(strstr(a.data + VMDK_SECTOR, "CID="), strstr(b.data + VMDK_SECTOR, "CID="), 12);
	dev_close(disk, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_read_by_many),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_inflated_once),
		cmocka_unit_test(test_read_faults),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
