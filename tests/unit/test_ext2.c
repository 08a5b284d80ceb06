/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext2 and ext3 from trees: e2fsck, the features that mke2fs gives, and the kernel (as root) are the
 * oracles.
 */
#include "fs/ext4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "fs/fs.h"
#include "fs/probe.h"
#include "tests/lib/ext4_image.h"
#include "tests/lib/mounted.h"
#include "tests/lib/tmpdir.h"

static struct ext4_opts options(uint32_t version, uint64_t size, uint32_t block_size)
{
	struct ext4_opts o = test_ext4_opts(size);

	o.version = version;
	o.block_size = block_size;
	return o;
}

/* Files that need each level of a map, with holes where levels meet. */
static void mapped_files(struct test_tree *tt, uint32_t bs)
{
	const uint64_t per = bs / 4, single = 12, twice = single + per, triple = twice + per * per;
	const uint64_t firsts[] = {0, 11, single, twice - 1, twice, twice + per, triple - 1, triple,
		triple + per * per + 3};
	char name[40];

	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		snprintf(name, sizeof(name), "from-%zu", i);
		test_tree_sparse(tt, TREE_ROOT, name, (firsts[i] + 9) * bs - 5, 1, firsts[i] * bs,
			3 * bs + 1, 0);
	}
	/* Pieces that skip blocks, then whole blocks of numbers. */
	test_tree_sparse(tt, TREE_ROOT, "teeth", 4000 * bs, 400, 7, bs / 2, 10 * bs);
	test_tree_sparse(tt, TREE_ROOT, "rakes", UINT64_C(6) << 30, 12, 0, 2 * bs, UINT64_C(500) << 20);
	test_tree_sparse(tt, TREE_ROOT, "all-hole", UINT64_C(5) << 30, 0, 0, 0, 0);
	test_tree_file(tt, TREE_ROOT, "whole", (twice + 2 * per + 5) * bs);
}

static void all_sorts(struct test_tree *tt, uint32_t bs)
{
	tree_node dir, node, link;
	struct error err = ERROR_INIT;
	char name[256];

	test_tree_init(tt);
	mapped_files(tt, bs);
	dir = test_tree_add(tt, TREE_ROOT, "many", S_IFDIR | 0755);
	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "a rather long name of an entry, number %d", i);
		test_tree_file(tt, dir, name, (uint64_t)(i % 7) * 100);
	}
	node = test_tree_file(tt, dir, "tool", 100000);
	tree_chmod(tt->t, node, 04755);
	tree_chown(tt->t, node, 70000, 100001);
	test_tree_xattr(tt, node, "user.small", "value", 5);
	memset(name, 'x', 255);
	name[255] = '\0';
	test_tree_xattr(tt, node, "user.large", name, 255);
	assert_int_equal(tree_link(tt->t, TREE_ROOT, "hard", 4, node, &link, &err), 0);
	test_tree_symlink(tt, TREE_ROOT, "short", "many/tool");
	test_tree_symlink(tt, TREE_ROOT, "long", name);
	test_tree_add(tt, TREE_ROOT, "null", S_IFCHR | 0666);
	test_tree_add(tt, TREE_ROOT, "fifo", S_IFIFO | 0644);
	for (int i = 0; i < 20; i++)
		dir = test_tree_add(tt, dir, "deep", S_IFDIR | 0711);
	test_tree_finish(tt);
}

static void check(const struct test_tree *tt, uint32_t version, uint64_t size, uint32_t bs)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct ext4_opts o = options(version, size, bs);
	char image[300], mount[300], line[900];
	const char *type = version == 2 ? "ext2" : "ext3";
	struct dev *dev = test_ext4_write(tt, TREE_ROOT, &o);
	struct error err = ERROR_INIT;
	struct probe p;

	assert_int_equal(probe_dev(dev, &p, &err), 0);
	assert_string_equal(p.type, type);
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(mount, sizeof(mount), "%s/mnt", dir);
	image_dump(dev, image);
	image_fsck(image);
	image_compare(image, tt, TREE_ROOT);
	image_check_kinds(image, dev);
	dev_close(dev, NULL);
	if (mounted_at(image, type, mount)) {
		assert_true(mounted_compare(mount, tt->t, TREE_ROOT) > 2500);
		mounted_end(mount);
	} else {
		print_message("skipped the mount: needs root and a kernel with %s\n", type);
	}
	snprintf(line, sizeof(line), "export PATH=$PATH:/usr/sbin:/sbin; cd '%s'; "
		"mke2fs -q -t %s -b %u theirs %llu >/dev/null && for i in image theirs; do "
		"dumpe2fs -h $i 2>/dev/null | grep -e features: -e 'Inode size' >$i.txt; done; "
		"diff image.txt theirs.txt", dir, type, bs, (unsigned long long)(size / bs));
	assert_int_equal(system(line), 0);
}

static void test_contents_and_features(void **state)
{
	static const uint32_t sizes[] = {1024, 2048, 4096};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct test_tree tt;

		all_sorts(&tt, sizes[i]);
		check(&tt, 2, 300 * MIB, sizes[i]);
		check(&tt, 3, 200 * MIB, sizes[i]);
		test_tree_release(&tt);
	}
}

static void test_the_least_size(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct error err = ERROR_INIT;
	struct test_tree tt;
	char image[300];

	(void)state;
	snprintf(image, sizeof(image), "%s/image", dir);
	all_sorts(&tt, 1024);
	for (uint32_t version = 2; version <= 3; version++) {
		struct ext4_opts o = options(version, 0, 1024);
		struct ext4_plan plan;
		struct dev *dev;

		assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &o, &plan, &err), 0);
		o.size = plan.min_size - 1024;
		assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &o, &plan, &err), -1);
		o.size += 1024;
		dev = test_ext4_write(&tt, TREE_ROOT, &o);
		image_dump(dev, image);
		image_fsck(image);
		dev_close(dev, NULL);
	}
	test_tree_release(&tt);
}

static void test_what_they_cannot_hold(void **state)
{
	struct ext4_opts o = options(2, 0, 1024);
	struct error err = ERROR_INIT;
	struct ext4_plan plan;
	struct test_tree tt;
	tree_node node, link;
	char name[20];

	(void)state;
	test_tree_init(&tt);
	test_tree_sparse(&tt, TREE_ROOT, "large", UINT64_C(17) << 30, 0, 0, 0, 0);
	test_tree_finish(&tt);
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &o, &plan, &err), -1);
	assert_non_null(strstr(err.text, "'/large': has 18253611008 bytes, and a file of ext2"));
	test_tree_release(&tt);
	test_tree_init(&tt);
	node = test_tree_file(&tt, TREE_ROOT, "file", 1);
	for (int i = 0; i < 32000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(tree_link(tt.t, TREE_ROOT, name, strlen(name), node, &link, &err), 0);
	}
	test_tree_finish(&tt);
	o.version = 3;
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &o, &plan, &err), -1);
	assert_non_null(strstr(err.text, "ext3 holds at most 32000 hard links"));
	test_tree_release(&tt);
}

static void test_as_file_systems_of_the_table(void **state)
{
	static const char *const types[] = {"ext2", "ext3", "ext4"};
	struct fs_opts opts = {.epoch = 1735689600, .label = "daten"};
	struct error err = ERROR_INIT;
	uint64_t used[3];
	struct test_tree tt;

	(void)state;
	all_sorts(&tt, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint64_t least, roomy;
		struct fs_sums sums;
		struct fs fs;

		fs_open(&fs, fs_find(types[i]), tt.t, TREE_ROOT, &opts);
		assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), 0);
		assert_true(least < roomy);
		assert_int_equal(fs_plan(&fs, 400 * MIB, &sums, &err), 0);
		used[i] = sums.used;
		fs_close(&fs);
	}
	/* A journal is what ext3 has more; the maps take more than extents do. */
	assert_true(used[1] > used[0] + 4 * MIB);
	assert_true(used[1] != used[2]);
	test_tree_release(&tt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents_and_features),
		cmocka_unit_test(test_the_least_size),
		cmocka_unit_test(test_what_they_cannot_hold),
		cmocka_unit_test(test_as_file_systems_of_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
