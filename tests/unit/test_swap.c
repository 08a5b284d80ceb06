/* SPDX-License-Identifier: Apache-2.0 */
/* swap areas: mkswap and blkid are the oracles. */
#include "fs/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/num.h"
#include "tests/lib/ext4_image.h"
#include "tests/lib/tmpdir.h"

static void test_as_mkswap_makes_it(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct fs_opts opts = {.label = "auslagerung-größer"};
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	char line[900], path[300], id[FS_ID_TEXT];
	uint64_t least, roomy;
	struct fs_sums sums;
	struct dev *dev;
	struct fs fs;

	(void)state;
	assert_false(uuid_from_text(opts.uuid, "01234567-89ab-4cde-8f01-23456789abcd"));
	fs_open(&fs, fs_find("swap"), NULL, TREE_NONE, &opts);
	assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), 0);
	assert_int_equal(least, 40 * KIB);
	assert_int_equal(fs_plan(&fs, 39 * KIB, &sums, &err), -1);
	assert_int_equal(fs_plan(&fs, MIB + 512, &sums, &err), 0);
	assert_int_equal(sums.size, MIB);
	dev = disk_new(MIB + 512, NULL, &err);
	assert_int_equal(dev_pwrite(dev, "dirt", 4, 5000, &err), 0);
	assert_int_equal(fs_write(&fs, dev, &err), 0);
	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	assert_true(list.nr == 2 && list.items[0].len == 4096 && list.items[1].kind == EXTENT_UNUSED);
	extent_list_release(&list);
	fs_id_text(&fs, id);
	assert_string_equal(id, "UUID=01234567-89ab-4cde-8f01-23456789abcd");
	snprintf(path, sizeof(path), "%s/ours", dir);
	image_dump(dev, path);
	dev_close(dev, NULL);
	fs_close(&fs);
	/* The label is cut before the character that does not fit. */
	snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin; cd '%s'; "
		"command -v mkswap >/dev/null || exit 0; truncate -s 1049088 theirs && "
		"mkswap -q -p 4096 -L auslagerung-gr -U 01234567-89ab-4cde-8f01-23456789abcd theirs && "
		"cmp ours theirs && blkid -p ours >/dev/null", dir);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_mkswap_makes_it)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
