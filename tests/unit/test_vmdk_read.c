/* SPDX-License-Identifier: Apache-2.0 */
/* VMDKs as others make them, built by hand; what must be refused; a thousand damaged files. */
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
#include "formats/deflate.h"
#include "formats/vmdk_header.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/tmpdir.h"

enum { GRAIN_SECTORS = 8, GRAIN = GRAIN_SECTORS * 512, FILE_SIZE = 64 * 1024 };
enum { DIRECTORY = 1, TABLE = 2, DATA = 16 }; /* sectors of the files made here */

static uint8_t file[FILE_SIZE];

/* An extent of 10 grains and 3 sectors without a descriptor, its tables empty. */
static struct vmdk_header plain_header(void)
{
	return (struct vmdk_header){
		.version = 1,
		.flags = VMDK_FLAG_NEWLINES,
		.capacity = 10 * GRAIN_SECTORS + 3,
		.grain_size = GRAIN_SECTORS,
		.table_entries = 512,
		.directory = DIRECTORY,
		.overhead = DATA,
	};
}

static void set_entry(unsigned grain, uint32_t sector)
{
	num_put_le32(file + TABLE * 512 + grain * 4, sector);
}

static void make_file(const struct vmdk_header *h)
{
	memset(file, 0, sizeof(file));
	vmdk_header_put(h, file);
	num_put_le32(file + DIRECTORY * 512, TABLE);
	for (unsigned i = 0; i < GRAIN * 2; i++)
		file[DATA * 512 + i] = (uint8_t)(i / 512 + 1);
}

static void embed(struct vmdk_header *h, const char *text)
{
	h->descriptor = 8;
	h->descriptor_size = 2;
	make_file(h);
	strcpy((char *)file + 8 * 512, text);
}

static int open_file(struct image *image, struct error *err)
{
	*image = (struct image){0};
	error_clear(err);
	return vmdk_open(bytesdev_new(file, sizeof(file)), "dir/x.vmdk", &(struct format_read_opts){0}, image,
		err);
}

static void expect_refusal(const char *text)
{
	struct error err = ERROR_INIT;
	struct image image;

	assert_int_equal(open_file(&image, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_null(image.dev);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static const char descriptor[] = "# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
				 "createType=\"monolithicSparse\"\nRW 83 SPARSE \"x.vmdk\"\n";

static void test_plain(void **state)
{
	struct vmdk_header h = plain_header();
	struct error err = ERROR_INIT;
	uint8_t buf[4 * GRAIN];
	struct image image;

	(void)state;
	embed(&h, descriptor);
	set_entry(0, DATA + GRAIN_SECTORS); /* the other way round */
	set_entry(1, DATA);
	set_entry(10, DATA); /* the last one, of which 3 sectors count */
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(image.dev->size, 83 * 512);
	assert_int_equal(dev_pread(image.dev, buf, 3 * GRAIN, 0, &err), 0);
	assert_int_equal(buf[0], 9);
	assert_int_equal(buf[GRAIN], 1);
	assert_int_equal(buf[2 * GRAIN - 1], 8);
	assert_int_equal(buf[2 * GRAIN], 0);
	assert_int_equal(dev_pread(image.dev, buf, 512, 82 * 512, &err), 0);
	assert_int_equal(buf[0], 3);
	image_close(&image);
}

static void test_zero_grains(void **state)
{
	struct vmdk_header h = plain_header();
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint8_t buf[GRAIN];
	struct image image;

	(void)state;
	h.flags |= VMDK_FLAG_ZERO_GRAIN;
	embed(&h, descriptor);
	set_entry(3, 1);
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(dev_pread(image.dev, buf, GRAIN, 3 * GRAIN, &err), 0);
	assert_int_equal(buf[0], 0);
	assert_int_equal(dev_extents(image.dev, 0, image.dev->size, &list, &err), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.items[0].kind, EXTENT_ZERO);
	extent_list_release(&list);
	image_close(&image);
}

static void test_redundant_only(void **state)
{
	struct vmdk_header h = plain_header();
	struct error err = ERROR_INIT;
	struct image image;
	uint8_t byte;

	(void)state;
	h.flags |= VMDK_FLAG_REDUNDANT;
	h.redundant = h.directory;
	h.directory = 0;
	embed(&h, descriptor);
	set_entry(0, DATA);
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(dev_pread(image.dev, &byte, 1, 0, &err), 0);
	assert_int_equal(byte, 1);
	image_close(&image);
}

/* Compressed, without markers (a length of 4 bytes is all), the directory in front, the last grain short. */
static void test_no_markers(void **state)
{
	struct vmdk_header h = plain_header();
	struct deflate *d;
	struct buf z = BUF_INIT(0);
	struct error err = ERROR_INIT;
	uint8_t grain[GRAIN];
	struct image image;

	(void)state;
	h.flags |= VMDK_FLAG_COMPRESSED;
	h.compression = VMDK_COMPRESSION_DEFLATE;
	make_file(&h);
	memset(grain, 'g', sizeof(grain));
	d = deflate_new(0, &err);
	assert_int_equal(deflate_zlib(d, grain, 3 * 512, &z, &err), 0);
	num_put_le32(file + DATA * 512, (uint32_t)z.len);
	memcpy(file + DATA * 512 + 4, z.data, z.len);
	set_entry(10, DATA);
	set_entry(9, DATA);
	assert_int_equal(open_file(&image, &err), 0);
	assert_string_equal(image.variant, "streamOptimized");
	assert_int_equal(dev_pread(image.dev, grain, 3 * 512, 80 * 512, &err), 0);
	assert_int_equal(grain[3 * 512 - 1], 'g');
	/* Only the last one may be short. */
	assert_int_equal(dev_pread(image.dev, grain, 512, 79 * 512, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	image_close(&image);
	deflate_free(d);
	buf_release(&z);
}

/* A table that was mixed up is told by the markers, which say of which grain they are. */
static void test_wrong_marker(void **state)
{
	struct vmdk_header h = plain_header();
	struct buf z = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct deflate *d = deflate_new(0, &err);
	uint8_t grain[GRAIN];
	struct image image;

	(void)state;
	h.flags |= VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS;
	h.compression = VMDK_COMPRESSION_DEFLATE;
	make_file(&h);
	memset(grain, 'g', sizeof(grain));
	assert_int_equal(deflate_zlib(d, grain, sizeof(grain), &z, &err), 0);
	num_put_le64(file + DATA * 512, 2 * GRAIN_SECTORS);
	num_put_le32(file + DATA * 512 + 8, (uint32_t)z.len);
	memcpy(file + DATA * 512 + 12, z.data, z.len);
	set_entry(1, DATA);
	set_entry(2, DATA);
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(dev_pread(image.dev, grain, GRAIN, 2 * GRAIN, &err), 0);
	assert_int_equal(dev_pread(image.dev, grain, GRAIN, GRAIN, &err), -1);
	assert_non_null(strstr(err.text, "not where its table says"));
	num_put_le32(file + DATA * 512 + 8, FILE_SIZE);
	assert_int_equal(dev_pread(image.dev, grain, GRAIN, 2 * GRAIN, &err), -1);
	assert_non_null(strstr(err.text, "impossible length"));
	image_close(&image);
	deflate_free(d);
	buf_release(&z);
}

static void test_refused_heads(void **state)
{
	struct vmdk_header h = plain_header();

	(void)state;
	make_file(&h);
	expect_refusal("one of several files");
	memcpy(file, "COWD", 4);
	expect_refusal("COWD");
	make_file(&h);
	file[73] = '\r';
	expect_refusal("transfer as text");
	h.version = 4;
	make_file(&h);
	expect_refusal("version 4");
	h = plain_header();
	h.flags |= 1 << 20;
	make_file(&h);
	expect_refusal("more than VMDK 5.0");
	h = plain_header();
	h.directory = VMDK_DIRECTORY_AT_END;
	make_file(&h);
	expect_refusal("without its footer");
	h.directory = 1 << 20;
	make_file(&h);
	expect_refusal("grain directory");
	h = plain_header();
	h.capacity = UINT64_MAX / 512;
	make_file(&h);
	expect_refusal("64 TiB");
	h = plain_header();
	h.grain_size = 12;
	make_file(&h);
	expect_refusal("power of 2");
	h = plain_header();
	embed(&h, "parentCID=12345678\n");
	expect_refusal("delta disk");
	h.descriptor = UINT64_MAX / 512;
	make_file(&h);
	expect_refusal("its descriptor is where");
}

static void test_bad_tables(void **state)
{
	struct vmdk_header h = plain_header();
	struct error err = ERROR_INIT;
	struct image image;
	uint8_t byte;

	(void)state;
	embed(&h, descriptor);
	set_entry(0, 200);
	set_entry(1, UINT32_MAX);
	assert_int_equal(open_file(&image, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		error_clear(&err);
		assert_int_equal(dev_pread(image.dev, &byte, 1, i * GRAIN, &err), -1);
		assert_non_null(strstr(err.text, "lies outside"));
	}
	image_close(&image);
	num_put_le32(file + DIRECTORY * 512, 127);
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(dev_pread(image.dev, &byte, 1, 0, &err), 0);
	num_put_le32(file + DIRECTORY * 512, 128);
	image_close(&image);
	assert_int_equal(open_file(&image, &err), 0);
	assert_int_equal(dev_pread(image.dev, &byte, 1, 0, &err), -1);
	image_close(&image);
}

/* ---- descriptors with extents beside them ---- */

static int open_text(const char *dir, const char *text, struct image *image, struct error *err)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/disk.vmdk", dir);
	*image = (struct image){0};
	error_clear(err);
	return vmdk_open(bytesdev_new(text, strlen(text)), path, &(struct format_read_opts){0}, image, err);
}

static void put(const char *dir, const char *name, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_write_atomic(path, data, len, 0600, false, &err), 0);
}

#define HEAD                                                                     \
	"# Disk DescriptorFile\r\nversion=1\r\nCID=1\r\nparentCID = FFFFFFFF\r\n" \
	"createType=\"twoGbMaxExtentFlat\"\r\n"

static void test_extents(void **state)
{
	static const char text[] =
		HEAD "RW 5 FLAT \"disk-f001.vmdk\" 3\r\nRW 10 ZERO\r\n"
		     "RW 83 SPARSE \"my disk-s002.vmdk\"\r\nRDONLY 1 VMFS \"disk-f001.vmdk\"\r\n"
		     "\r\nddb.adapterType = \"ide\"\r\n";
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct vmdk_header h = plain_header();
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint8_t flat[4096], buf[6000];
	struct image image;

	(void)state;
	memset(flat, 'f', sizeof(flat));
	put(dir, "disk-f001.vmdk", flat, sizeof(flat));
	make_file(&h);
	set_entry(0, DATA);
	put(dir, "my disk-s002.vmdk", file, sizeof(file));
	assert_int_equal(open_text(dir, text, &image, &err), 0);
	assert_string_equal(image.variant, "twoGbMaxExtentFlat");
	assert_int_equal(image.dev->size, 99 * 512);
	assert_int_equal(image.file_size, sizeof(text) - 1 + 2 * 4096 + FILE_SIZE);
	assert_int_equal(dev_pread(image.dev, buf, sizeof(buf), 4 * 512, &err), 0);
	assert_int_equal(buf[511], 'f');
	assert_int_equal(buf[512], 0);
	assert_int_equal(buf[11 * 512 - 1], 0);
	assert_int_equal(buf[11 * 512], 1);
	assert_int_equal(dev_pread(image.dev, buf, 512, 98 * 512, &err), 0);
	assert_int_equal(buf[0], 'f');
	assert_int_equal(dev_extents(image.dev, 0, image.dev->size, &list, &err), 0);
	assert_int_equal(list.nr, 5);
	assert_int_equal(list.items[1].len, 10 * 512);
	assert_int_equal(list.items[4].off, 98 * 512);
	extent_list_release(&list);
	image_close(&image);
}

static void test_refused_texts(void **state)
{
	static const struct {
		const char *lines, *say;
	} cases[] = {
		{"", "without extents"},
		{"RW 1 FLAT \"/etc/passwd\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"../x\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"a/../../x\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"..\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"C:\\\\x\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"\" 0\n", "beside the descriptor"},
		{"RW 1 FLAT \"missing\" 0\n", "missing"},
		{"RW 2 FLAT \"one\" 0\n", "has 512 bytes"},
		{"RW 1 FLAT \"one\" 1\n", "has 512 bytes"},
		{"RW 1 FLAT\n", "without a file"},
		{"RW x FLAT \"one\"\n", "number of sectors"},
		{"RW 0 ZERO\n", "number of sectors"},
		{"RW 1 FLAT \"one\" -1\n", "no offset"},
		{"RW 9000000000000000 ZERO\nRW 9000000000000000 ZERO\n", "larger than"},
		{"RW 1 SPARSE \"one\"\n", "no sparse VMDK"},
		{"RW 1 VMFSSPARSE \"one\"\n", "COWD"},
		{"RW 1 SESPARSE \"one\"\n", "seSparse"},
		{"RW 1 VMFSRDM \"one\"\n", "device"},
		{"RW 1 NEW \"one\"\n", "type that is not known"},
		{"NOACCESS 1 ZERO\n", "NOACCESS"},
		{"RW 1\n", "no whole extent"},
		{"RW 1 ZERO\nparentCID=00000001\n", "delta disk"},
	};
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct error err = ERROR_INIT;
	struct image image;
	uint8_t one[512] = {1};
	char text[1000];

	(void)state;
	put(dir, "one", one, sizeof(one));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(text, sizeof(text), HEAD "%s", cases[i].lines);
		assert_int_equal(open_text(dir, text, &image, &err), -1);
		assert_null(image.dev);
		if (!strstr(err.text, cases[i].say))
			fail_msg("'%s' does not say '%s'", err.text, cases[i].say);
	}
}

/* ---- damage ---- */

static uint32_t seed;

static uint32_t next_random(uint32_t limit)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

enum { DAMAGE_SIZE = 3 << 20 };

static void make_victim(const struct format *f, uint8_t *content, struct buf *out)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct format_result result;
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(DAMAGE_SIZE, NULL, &err);
	char path[300];

	memset(content, 0, DAMAGE_SIZE);
	for (size_t i = 0; i < DAMAGE_SIZE; i++)
		if (i >> 16 & 1)
			content[i] = (uint8_t)(i * 2654435761U >> 24);
	assert_int_equal(dev_pwrite(disk, content, DAMAGE_SIZE, 0, &err), 0);
	snprintf(path, sizeof(path), "%s/x.vmdk", dir);
	assert_int_equal(format_write(f, disk, path, &(struct format_write_opts){0}, &result, &err), 0);
	assert_int_equal(file_read(path, out, &err), 0);
	dev_close(disk, NULL);
}

/* Flips, lies of 4 bytes among the heads and tables, cuts; returns the new length. */
static size_t damage(uint8_t *bytes, size_t len, unsigned how)
{
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 4096, 0x00010000};
	size_t heads = how & 1 ? 1536 : len;

	switch (how % 4) {
	case 0:
		return next_random((uint32_t)len);
	case 1:
		bytes[next_random((uint32_t)heads)] ^= (uint8_t)(1U << next_random(8));
		return len;
	case 2: /* the footer and what is before it, the header's twin */
		heads = len - 1 - next_random(4096);
		bytes[heads] ^= (uint8_t)(1 + next_random(255));
		return len;
	default:
		num_put_le32(bytes + next_random((uint32_t)heads - 4), lies[next_random(ARRAY_SIZE(lies))]);
		return len;
	}
}

/* On success of a compressed one each grain is what it was, or lost as a whole: its table said zeros. */
static void read_damaged(struct dev *dev, const uint8_t *content, bool compressed)
{
	uint8_t *buf = malloc(VMDK_GRAIN);
	static const uint8_t zeros[VMDK_GRAIN];

	for (uint64_t off = 0; off < MIN(dev->size, (uint64_t)2 * DAMAGE_SIZE); off += VMDK_GRAIN) {
		size_t len = (size_t)MIN((uint64_t)VMDK_GRAIN, dev->size - off);
		struct error err = ERROR_INIT;

		if (dev_pread(dev, buf, len, off, &err) < 0)
			assert_int_equal(err.kind, ERROR_INPUT);
		else if (compressed && memcmp(buf, zeros, len) != 0)
			assert_true(off < DAMAGE_SIZE && memcmp(buf, content + off, len) == 0);
	}
	free(buf);
}

static void test_damage(void **state)
{
	static const struct format *const both[] = {&format_vmdk, &format_vmdk_sparse};
	uint8_t *content = malloc(DAMAGE_SIZE);
	unsigned opened = 0;

	(void)state;
	for (unsigned f = 0; f < ARRAY_SIZE(both); f++) {
		CLEANUP_BUF struct buf good = BUF_INIT(0);
		uint8_t *bytes;

		make_victim(both[f], content, &good);
		bytes = malloc(good.len);
		for (unsigned i = 0; i < 500; i++) {
			struct error err = ERROR_INIT;
			struct image image = {0};
			size_t len;

			seed = i * 7919 + f;
			memcpy(bytes, good.data, good.len);
			len = damage(bytes, good.len, i);
			if (vmdk_open(bytesdev_new(bytes, len), "/nonexistent/x.vmdk",
				    &(struct format_read_opts){0}, &image, &err) < 0) {
				assert_true(err.kind == ERROR_INPUT || err.kind == ERROR_IO);
				continue;
			}
			opened++;
			read_damaged(image.dev, content, f == 0);
			image_close(&image);
		}
		free(bytes);
	}
	free(content);
	assert_true(opened > 200 && opened < 900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_zero_grains),
		cmocka_unit_test(test_redundant_only),
		cmocka_unit_test(test_no_markers),
		cmocka_unit_test(test_wrong_marker),
		cmocka_unit_test(test_refused_heads),
		cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_refused_texts),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
