/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thousand damaged files for each format that is written: cut, with flipped bits, with fields that lie. Each is
 * refused with a reason, or read to its end; memory and time stay bounded, which the sanitizers and the
 * run's own time-out watch; and so for each compression that is read, as its own program makes it. Other formats that
 * are only read have such a test of their own.
 */
#include "formats/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/num.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/tmpdir.h"

enum { DAMAGED = 1000, STEP = 512 << 10, STEPS = 8 };

static int enter(void **state)
{
	char *folder = tmpdir_new();

	*state = folder;
	return folder && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
	int ret = chdir("/");

	tmpdir_free(*state);
	return ret;
}

static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Some MiB of which little is data, so that each format's own structures are most of the file. */
static struct dev *make_disk(uint64_t size)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(size, NULL, &err);
	uint8_t bytes[3000];
	uint64_t state = 1;

	assert_non_null(dev);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)draw(&state);
	assert_int_equal(dev_pwrite(dev, bytes, sizeof(bytes), 0, &err), 0);
	assert_int_equal(dev_pwrite(dev, bytes, sizeof(bytes), size - MIB + 5000, &err), 0);
	return dev;
}

static void make_image(const struct format *f, uint64_t size, struct buf *out)
{
	static const struct format_write_opts opts = {.spool_dir = "."};
	struct format_result result;
	struct error err = ERROR_INIT;
	struct dev *dev = make_disk(size);

	assert_int_equal(format_write(f, dev, "image", &opts, &result, &err), 0);
	dev_close(dev, NULL);
	assert_int_equal(file_read("image", out, &err), 0);
	unlink("image");
}

/* The heads and ends of files are where a damage has most to say. */
static size_t draw_place(uint64_t *state, size_t len)
{
	size_t near = MIN(len, (size_t)4096);

	switch (draw(state) % 3) {
	case 0:
		return draw(state) % len;
	case 1:
		return draw(state) % near;
	default:
		return len - 1 - draw(state) % near;
	}
}

static size_t damage(uint8_t *bytes, size_t len, uint64_t *state)
{
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX, 512, 0x00020000};
	size_t at = draw_place(state, len);

	switch (draw(state) % 3) {
	case 0:
		return 1 + draw(state) % (len - 1);
	case 1:
		for (unsigned n = 1 + (unsigned)draw(state) % 4; n; n--) {
			bytes[at] ^= (uint8_t)(1u << draw(state) % 8);
			at = draw_place(state, len);
		}
		return len;
	default:
		at = MIN(at & ~(size_t)3, len - 4);
		num_put_le32(bytes + at, lies[draw(state) % ARRAY_SIZE(lies)]);
		return len;
	}
}

/* False when a piece was refused. */
static bool read_all(struct dev *dev)
{
	uint64_t steps = num_div_up(dev->size, STEP);
	uint8_t *buf = malloc(STEP);
	bool whole = true;

	assert_non_null(buf);
	for (uint64_t i = 0; i < steps; i = i == STEPS && steps > 2 * STEPS ? steps - STEPS : i + 1) {
		size_t len = (size_t)MIN((uint64_t)STEP, dev->size - i * STEP);
		struct extent_list list = EXTENT_LIST_INIT;
		struct error err = ERROR_INIT;

		if (dev_pread(dev, buf, len, i * STEP, &err) < 0) {
			assert_non_null(strstr(err.text, "'bad'"));
			whole = false;
		}
		error_clear(&err);
		if (dev_extents(dev, i * STEP, len, &list, &err) < 0)
			assert_true(err.text[0]);
		extent_list_release(&list);
	}
	free(buf);
	return whole;
}

/* How many of a thousand damaged ones were refused, when they were opened or when they were read. */
static unsigned try_thousand(const struct buf *good, uint64_t seed)
{
	static const struct format_read_opts opts = {.spool_dir = "."};
	CLEANUP_FREE uint8_t *bad = malloc(good->len);
	unsigned refused = 0;

	assert_non_null(bad);
	for (unsigned n = 0; n < DAMAGED; n++) {
		struct error err = ERROR_INIT;
		struct image image;
		size_t len;

		memcpy(bad, good->data, good->len);
		len = damage(bad, good->len, &seed);
		if (format_open_dev(bytesdev_new(bad, len), "bad", &opts, &image, &err) < 0) {
			assert_non_null(strstr(err.text, "'bad'"));
			refused++;
			continue;
		}
		refused += !read_all(image.dev);
		image_close(&image);
	}
	return refused;
}

static void test_damaged(void **state)
{
	(void)state;
	for (size_t i = 0; format_names[i]; i++) {
		CLEANUP_BUF struct buf good = BUF_INIT(0);
		unsigned refused;

		make_image(format_find(format_names[i]), 3 * MIB, &good);
		refused = try_thousand(&good, i + 1);
		/* What is raw cannot tell damage, and a fixed VHD that lost its footer is raw. */
		if (strncmp(format_names[i], "vhd", 3) && strcmp(format_names[i], "raw"))
			assert_true(refused > DAMAGED / 4);
	}
}

/* As other programs compress: not in pieces by themselves, as we do. */
static void test_damaged_compressed(void **state)
{
	static const char *const packers[] = {"gzip -n", "zstd -q --no-check", "xz --block-size=100000", "bzip2",
		"lz4 -q -BD --content-size"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		CLEANUP_BUF struct buf raw = BUF_INIT(0), packed = BUF_INIT(0);
		CLEANUP_FREE char *command = NULL;
		struct error err = ERROR_INIT;

		make_image(format_find("raw"), MIB, &raw);
		assert_int_equal(file_write_atomic("image", raw.data, raw.len, 0600, false, &err), 0);
		command = buf_strf(&err, "%s -c image >packed", packers[i]);
		assert_non_null(command);
		assert_int_equal(system(command), 0);
		assert_int_equal(file_read("packed", &packed, &err), 0);
		assert_true(try_thousand(&packed, i + 1) > DAMAGED / 4);
		unlink("image");
		unlink("packed");
	}
}

static unsigned asked;

static bool cancelled(void)
{
	return ++asked > 10;
}

/* 256 MiB out of 8 KiB, a frame of zstd (RFC 8878 3.1.1) in blocks that repeat a byte: it ends when it is told to. */
static void test_interrupted_bomb(void **state)
{
	static const struct format_read_opts opts = {.spool_dir = ".", .cancelled = cancelled};
	enum { BLOCKS = 2048, BLOCK = 128 << 10, HEAD = 6, BLOCK_RLE = 1 << 1 };
	uint8_t bomb[HEAD + 4 * BLOCKS] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0x38};
	struct error err = ERROR_INIT;
	struct image image;

	(void)state;
	for (unsigned i = 0; i < BLOCKS; i++)
		num_put_le32(bomb + HEAD + 4 * i, (BLOCK << 3 | BLOCK_RLE | (i == BLOCKS - 1)) & 0xffffff);
	assert_int_equal(format_open_dev(bytesdev_new(bomb, sizeof(bomb)), "bad", &opts, &image, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_compressed),
		cmocka_unit_test(test_interrupted_bomb),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
