/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-verity hash trees: `veritysetup format` must give the same bytes and the same root hash, and
 * `veritysetup verify` must accept ours.
 */
#include "fs/verity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "base/window.h"
#include "fs/probe.h"
#include "tests/lib/ext4_image.h"
#include "tests/lib/tmpdir.h"

static struct verity_opts options(size_t salt_len, unsigned workers)
{
	struct verity_opts o = {.salt_len = salt_len, .workers = workers};

	assert_false(uuid_from_text(o.uuid, "01234567-89ab-4cde-8f01-23456789abcd"));
	for (size_t i = 0; i < salt_len; i++)
		o.salt[i] = (uint8_t)(i * 7 + 1);
	return o;
}

/* Data of every kind; the last block is some. */
static void fill(struct dev *disk, uint64_t len)
{
	struct error err = ERROR_INIT;
	uint8_t block[VERITY_BLOCK];

	for (uint64_t off = 0; off < len; off += VERITY_BLOCK) {
		uint64_t i = off / VERITY_BLOCK;

		memset(block, (int)(i * 13 + 1), sizeof(block));
		num_put_le64(block, i);
		if (off + VERITY_BLOCK == len || (i % 11 < 7 && i / 700 % 3 != 1))
			assert_int_equal(dev_pwrite(disk, block, sizeof(block), off, &err), 0);
	}
}

/* Both on one disk, hashes behind the data. */
static struct dev *write_both(uint64_t len, uint64_t hash_len, const struct verity_opts *o,
	uint8_t root[SHA256_SIZE])
{
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(len + hash_len, NULL, &err);
	struct dev *data = window_new(disk, 0, len, &err);
	struct dev *hash = window_new(disk, len, hash_len, &err);

	assert_true(disk && data && hash);
	fill(data, len);
	if (verity_write(data, hash, o, root, &err) < 0)
		fail_msg("%s", err.text);
	dev_close(data, NULL);
	dev_close(hash, NULL);
	return disk;
}

static void check_with_veritysetup(struct dev *disk, uint64_t len, const struct verity_opts *o,
	const uint8_t root[SHA256_SIZE])
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	char line[3000], path[300], salt[2 * VERITY_SALT_MAX + 1], hex[SHA256_HEX_SIZE];

	snprintf(path, sizeof(path), "%s/disk", dir);
	image_dump(disk, path);
	hex_encode(salt, o->salt, o->salt_len);
	snprintf(line, sizeof(line),
		"PATH=$PATH:/usr/sbin:/sbin; cd '%s'; command -v veritysetup >/dev/null || exit 0\n"
		"h=%llu; l=%llu; head -c $h disk >data; tail -c +$((h+1)) disk | head -c $l >hash\n"
		"veritysetup format data theirs --salt=%s --uuid=01234567-89ab-4cde-8f01-23456789abcd "
		">log && cmp hash theirs && grep -q 'Root hash:.*%s' log && "
		"veritysetup verify data hash %s", dir, (unsigned long long)len,
		(unsigned long long)verity_size(len), o->salt_len ? salt : "-",
		hex_encode(hex, root, SHA256_SIZE), hex);
	if (system(line) != 0)
		fail_msg("%llu bytes", (unsigned long long)len);
}

static void test_as_veritysetup_makes_it(void **state)
{
	static const uint64_t blocks[] = {1, 2, 127, 128, 129, 256, 257, 16384, 16385, 40000};
	uint8_t root[SHA256_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		uint64_t len = blocks[i] * VERITY_BLOCK;
		struct verity_opts o = options(i == 1 ? 0 : i == 2 ? 256 : 32, i % 4);
		struct dev *disk = write_both(len, verity_size(len) + MIB, &o, root);

		check_with_veritysetup(disk, len, &o, root);
		dev_close(disk, NULL);
	}
}

static void test_nothing_of_the_data_is_unused(void **state)
{
	struct extent_list list = EXTENT_LIST_INIT;
	const uint64_t len = 5000 * VERITY_BLOCK, hash = verity_size(len);
	struct verity_opts o = options(32, 2);
	struct error err = ERROR_INIT;
	uint8_t root[SHA256_SIZE];
	struct dev *disk = write_both(len, hash + MIB, &o, root);
	uint64_t unused = 0;

	(void)state;
	assert_int_equal(dev_extents(disk, 0, disk->size, &list, &err), 0);
	for (size_t i = 0; i < list.nr; i++)
		if (list.items[i].kind == EXTENT_UNUSED) {
			assert_true(list.items[i].off >= len + hash);
			unused += list.items[i].len;
		}
	assert_int_equal(unused, MIB);
	extent_list_release(&list);
	dev_close(disk, NULL);
}

static void test_workers_change_nothing_and_the_probe_knows_it(void **state)
{
	const uint64_t len = 9000 * VERITY_BLOCK;
	struct verity_opts one = options(32, 0), many = options(32, 5);
	uint8_t a[SHA256_SIZE], b[SHA256_SIZE];
	struct dev *x = write_both(len, verity_size(len), &one, a);
	struct dev *y = write_both(len, verity_size(len), &many, b), *hash;
	struct error err = ERROR_INIT;
	struct probe p;

	(void)state;
	assert_memory_equal(a, b, sizeof(a));
	hash = window_new(x, len, verity_size(len), &err);
	assert_int_equal(probe_dev(hash, &p, &err), 0);
	assert_string_equal(p.type, "DM_verity_hash");
	assert_string_equal(p.uuid, "01234567-89ab-4cde-8f01-23456789abcd");
	assert_int_equal(p.size, hash->size);
	dev_close(hash, NULL);
	dev_close(x, NULL);
	dev_close(y, NULL);
}

static bool always(void)
{
	return true;
}

static void test_refusals(void **state)
{
	struct verity_opts o = options(32, 2);
	struct error err = ERROR_INIT;
	uint8_t root[SHA256_SIZE];
	struct dev *odd = disk_new(4096 * 300 + 512, NULL, &err);
	struct dev *data = disk_new(4096 * 300, NULL, &err);
	struct dev *small = disk_new(verity_size(4096 * 300) - 4096, NULL, &err);

	(void)state;
	assert_int_equal(verity_write(odd, small, &o, root, &err), -1);
	assert_non_null(strstr(err.text, "whole blocks of 4096 bytes, not of 1229312"));
	assert_int_equal(verity_write(data, small, &o, root, &err), -1);
	assert_non_null(strstr(err.text, "needs 20 KiB for its digests and has 16"));
	o.cancelled = always;
	assert_int_equal(verity_write(data, odd, &o, root, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	dev_close(odd, NULL);
	dev_close(data, NULL);
	dev_close(small, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_veritysetup_makes_it),
		cmocka_unit_test(test_nothing_of_the_data_is_unused),
		cmocka_unit_test(test_workers_change_nothing_and_the_probe_knows_it),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
