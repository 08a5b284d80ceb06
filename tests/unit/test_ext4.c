/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ext4 writer: what it writes satisfies e2fsck, and libext2fs reads back every attribute, name
 * and byte of the tree; in all block sizes, with and without journal, for trees of odd shapes.
 */
#include "fs/ext4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "tests/lib/ext4_image.h"

static char dir[256], image[300];
static struct error err;

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-ext4-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(image, sizeof(image), "%s/image", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(image);
	return rmdir(dir);
}

/* Writes, checks in every way, compares. */
static void check_image(const struct test_tree *tt, tree_node root, const struct ext4_opts *opts)
{
	struct dev *dev = test_ext4_write(tt, root, opts);

	image_dump(dev, image);
	image_fsck(image);
	image_compare(image, tt, root);
	image_check_kinds(image, dev);
	assert_int_equal(dev_close(dev, &err), 0);
}

/* True when a debugfs or dumpe2fs command line prints something that grep -E finds. */
static bool tool_says(const char *tool, const char *pattern)
{
	char line[800];

	snprintf(line, sizeof(line), "%s '%s' 2>/dev/null | grep -qE '%s'", tool, image, pattern);
	return system(line) == 0;
}

/*
 * A valid ACL as the kernel shows it: version 2; owner, a user, owning group, a group, mask,
 * others.
 */
static const uint8_t acl[] = {
	2,
	0,
	0,
	0,
	1,
	0,
	7,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	2,
	0,
	6,
	0,
	0xe8,
	3,
	0,
	0,
	4,
	0,
	5,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	8,
	0,
	4,
	0,
	0xe9,
	3,
	0,
	0,
	0x10,
	0,
	7,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
	0x20,
	0,
	1,
	0,
	0xff,
	0xff,
	0xff,
	0xff,
};

static void add_xattrs(struct test_tree *tt, tree_node usr)
{
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 0x20};
	static uint8_t big[600];
	tree_node n = test_tree_file(tt, usr, "capable", 10);

	test_tree_xattr(tt, n, "security.capability", caps, sizeof(caps));
	n = test_tree_file(tt, usr, "access-list", 10);
	test_tree_xattr(tt, n, "system.posix_acl_access", acl, sizeof(acl));
	n = test_tree_add(tt, usr, "inherits", S_IFDIR | 02775);
	test_tree_xattr(tt, n, "system.posix_acl_access", acl, sizeof(acl));
	test_tree_xattr(tt, n, "system.posix_acl_default", acl, sizeof(acl));
	test_tree_xattr(tt, n, "security.selinux", "system_u:object_r:bin_t:s0", 27);
	memset(big, 'x', sizeof(big));
	n = test_tree_file(tt, usr, "many-attributes", 100000);
	test_tree_xattr(tt, n, "user.z", "last", 4);
	test_tree_xattr(tt, n, "user.a", big, sizeof(big));
	test_tree_xattr(tt, n, "trusted.overlay.opaque", "y", 1);
	test_tree_xattr(tt, n, "user.empty", "", 0);
	test_tree_xattr(tt, n, "user.na\xc3\xafve", "signed or unsigned", 18);
	test_tree_xattr(tt, n, "user.na\xc3\xafve-and-too-long-for-the-inode-for-sure-it-is",
		"signed or unsigned, that is the question of the hash in the block", 64);
	n = test_tree_symlink(tt, usr, "marked", "capable");
	test_tree_xattr(tt, n, "trusted.x", big, 200);
}

static void add_odd_owners(struct test_tree *tt)
{
	tree_node n = test_tree_file(tt, TREE_ROOT, "owned", 5);

	tree_chown(tt->t, n, 3000000000u, 70000);
	tree_chmod(tt->t, n, 06711);
	n = test_tree_file(tt, TREE_ROOT, "before-1970", 0);
	tree_set_mtime(tt->t, n, -12345678, 999999999);
	n = test_tree_file(tt, TREE_ROOT, "after-2106", 0);
	tree_set_mtime(tt->t, n, INT64_C(8589934592), 1);
}

static void add_devices(struct test_tree *tt)
{
	struct tree_attr attr = {.mode = S_IFBLK | 0660, .rdev_major = 259, .rdev_minor = 70000};
	tree_node dev = test_tree_add(tt, TREE_ROOT, "dev", S_IFDIR | 0755), n;

	test_tree_add(tt, dev, "null", S_IFCHR | 0666);
	test_tree_add(tt, dev, "pipe", S_IFIFO | 0600);
	assert_int_equal(tree_add(tt->t, dev, "disk", 4, &attr, &n, &err), 0);
}

static void mixed_tree(struct test_tree *tt)
{
	char name[64], target[901];
	tree_node usr, many, n;

	test_tree_init(tt);
	usr = test_tree_add(tt, TREE_ROOT, "usr", S_IFDIR | 0755);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "size-%d", i * i * 331);
		test_tree_file(tt, usr, name, (uint64_t)(i * i * 331));
	}
	n = test_tree_file(tt, TREE_ROOT, "big", 3 * MIB + 17);
	assert_int_equal(tree_link(tt->t, usr, "big-too", 7, n, &n, &err), 0);
	assert_int_equal(tree_link(tt->t, TREE_ROOT, "another", 7, n, &n, &err), 0);
	test_tree_sparse(tt, usr, "holes", 3 * MIB, 9, 5000, 300, 300 * KIB);
	test_tree_sparse(tt, usr, "only-a-hole", 100 * MIB, 0, 0, 0, 0);
	many = test_tree_add(tt, usr, "many", S_IFDIR | 0700);
	for (int i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "entry-%d-%.*s", i, i % 40,
			"a tail that differs in length from name");
		test_tree_file(tt, many, name, i % 3 == 0);
	}
	memset(target, 't', sizeof(target) - 1);
	for (size_t i = 58; i < 62; i++) {
		snprintf(name, sizeof(name), "link-%zu", i);
		snprintf(target + 900 - i, i + 1, "%.*s", (int)i, target);
		test_tree_symlink(tt, usr, name, target + 900 - i);
	}
	memset(target, 't', sizeof(target) - 1);
	target[900] = '\0';
	test_tree_symlink(tt, usr, "long", target);
	add_xattrs(tt, usr);
	add_odd_owners(tt);
	add_devices(tt);
	test_tree_finish(tt);
}

static void test_mixed_tree(void **state)
{
	static const uint32_t block_sizes[] = {1024, 2048, 4096};
	struct test_tree tt;

	(void)state;
	mixed_tree(&tt);
	for (size_t i = 0; i < ARRAY_SIZE(block_sizes) * 2; i++) {
		struct ext4_opts opts = test_ext4_opts(64 * MIB + i * 4096);

		opts.block_size = block_sizes[i / 2];
		opts.no_journal = i % 2;
		opts.last_mounted = "/";
		check_image(&tt, TREE_ROOT, &opts);
	}
	test_tree_release(&tt);
}

static void test_empty_tree(void **state)
{
	/* Without room for a journal; odd; a last group that is dropped; one that is not; large. */
	static const uint64_t sizes[] = {
		MIB, 5 * MIB + 12345, 128 * MIB, 128 * MIB + 200 * KIB, 129 * MIB + 4096, 8 * GIB};
	struct test_tree tt;

	(void)state;
	test_tree_init(&tt);
	test_tree_finish(&tt);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct ext4_opts opts = test_ext4_opts(sizes[i]);

		check_image(&tt, TREE_ROOT, &opts);
		assert_true(
			tool_says("dumpe2fs -h", "has_journal") == (i > 0 && sizes[i] >= 8 * MIB));
	}
	test_tree_release(&tt);
}

static void test_two_tib(void **state)
{
	struct ext4_opts opts = test_ext4_opts(2 * TIB);
	struct test_tree tt;
	struct dev *dev;

	(void)state;
	test_tree_init(&tt);
	test_tree_file(&tt, TREE_ROOT, "file", 5 * MIB);
	test_tree_finish(&tt);
	dev = test_ext4_write(&tt, TREE_ROOT, &opts);
	image_dump(dev, image);
	image_fsck(image);
	assert_int_equal(dev_close(dev, &err), 0);
	test_tree_release(&tt);
}

static void test_features(void **state)
{
	struct ext4_opts opts = test_ext4_opts(200 * MIB);
	struct test_tree tt;

	(void)state;
	test_tree_init(&tt);
	test_tree_finish(&tt);
	opts.last_mounted = "/";
	opts.reserved_percent = 5;
	check_image(&tt, TREE_ROOT, &opts);
	/* No more than Linux 4.14 knows: neither orphan_file nor metadata_csum_seed. */
	assert_true(tool_says("dumpe2fs -h",
		"^Filesystem features: +has_journal ext_attr resize_inode dir_index "
		"filetype extent 64bit flex_bg sparse_super large_file huge_file "
		"dir_nlink extra_isize metadata_csum$"));
	assert_true(tool_says("dumpe2fs -h", "^Filesystem volume name: +test$"));
	assert_true(tool_says(
		"dumpe2fs -h", "^Filesystem UUID: +0104070a-0d10-1316-191c-1f2225282b2e"));
	assert_true(tool_says("dumpe2fs -h", "^Last mounted on: +/$"));
	assert_true(tool_says("dumpe2fs -h", "^Reserved block count: +2560$"));
	assert_true(tool_says("TZ=UTC dumpe2fs -h", "^Last write time: +Wed Jan  1 00:00:00 2025"));
	assert_true(tool_says("dumpe2fs -h", "^Default mount options: +user_xattr acl$"));
	assert_true(tool_says("dumpe2fs -h", "^Total journal blocks: +4096$"));
	assert_true(tool_says("dumpe2fs -h", "^Maximum mount count: +-1$"));
	test_tree_release(&tt);
}

/* All group descriptors say that their tables need no initialising by the kernel. */
static void test_tables_are_zeroed(void **state)
{
	struct ext4_opts opts = test_ext4_opts(GIB);
	struct test_tree tt;

	(void)state;
	test_tree_init(&tt);
	test_tree_finish(&tt);
	check_image(&tt, TREE_ROOT, &opts);
	assert_true(tool_says("dumpe2fs", "ITABLE_ZEROED"));
	assert_false(
		tool_says("dumpe2fs", "^Group [0-9]+:.*(\\[INODE_UNINIT(, BLOCK_UNINIT)?\\])"));
	test_tree_release(&tt);
}

static void big_dir(struct test_tree *tt, unsigned int nr, int width)
{
	char name[TREE_NAME_MAX + 1];
	tree_node d;

	test_tree_init(tt);
	d = test_tree_add(tt, TREE_ROOT, "d", S_IFDIR | 0755);
	for (unsigned int i = 0; i < nr; i++) {
		int len = snprintf(name, sizeof(name), "%0*u", width, i);
		struct tree_attr attr = {.mode = S_IFREG | 0644};
		tree_node n;

		assert_int_equal(tree_add(tt->t, d, name, (size_t)len, &attr, &n, &err), 0);
	}
	test_tree_finish(tt);
}

static void test_200k_entries(void **state)
{
	struct ext4_opts opts = test_ext4_opts(GIB);
	struct test_tree tt;
	struct dev *dev;

	(void)state;
	big_dir(&tt, 200000, 14);
	dev = test_ext4_write(&tt, TREE_ROOT, &opts);
	image_dump(dev, image);
	/* libext2fs looks names up one by one, so nobody but e2fsck checks the index here. */
	image_fsck(image);
	assert_int_equal(image_count_names(image), 200000 + 2);
	assert_true(tool_says("debugfs -R \"htree_dump /d\"", "Indirect levels: 1"));
	assert_int_equal(dev_close(dev, &err), 0);
	test_tree_release(&tt);
}

static void test_three_levels_of_index(void **state)
{
	struct ext4_opts opts = test_ext4_opts(2 * GIB);
	struct test_tree tt;
	struct dev *dev;

	(void)state;
	opts.block_size = 1024;
	big_dir(&tt, 70000, 230);
	dev = test_ext4_write(&tt, TREE_ROOT, &opts);
	image_dump(dev, image);
	image_fsck(image);
	assert_int_equal(image_count_names(image), 70000 + 2);
	assert_true(tool_says("dumpe2fs -h", "large_dir"));
	assert_true(tool_says("debugfs -R \"htree_dump /d\"", "Indirect levels: 2"));
	assert_int_equal(dev_close(dev, &err), 0);
	test_tree_release(&tt);
}

static void test_thousands_of_extents(void **state)
{
	struct test_tree tt;

	(void)state;
	test_tree_init(&tt);
	test_tree_sparse(&tt, TREE_ROOT, "scattered", 800 * MIB, 20000, 100, 1, 40 * KIB);
	test_tree_sparse(&tt, TREE_ROOT, "five", 2 * TIB, 5, 0, 5000, 100 * GIB);
	test_tree_finish(&tt);
	for (uint32_t bs = 1024; bs <= 4096; bs *= 2) {
		struct ext4_opts opts = test_ext4_opts(256 * MIB);

		opts.block_size = bs;
		check_image(&tt, TREE_ROOT, &opts);
	}
	test_tree_release(&tt);
}

/* More links than a directory can count, and one more than a file may have. */
static void test_links(void **state)
{
	struct ext4_opts opts = test_ext4_opts(2 * GIB);
	struct test_tree tt;
	struct dev *dev;
	tree_node n, link;
	char name[32];

	(void)state;
	test_tree_init(&tt);
	n = test_tree_add(&tt, TREE_ROOT, "wide", S_IFDIR | 0755);
	for (int i = 0; i < 65100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		test_tree_add(&tt, n, name, S_IFDIR | 0755);
	}
	test_tree_finish(&tt);
	dev = test_ext4_write(&tt, TREE_ROOT, &opts);
	image_dump(dev, image);
	image_fsck(image);
	assert_true(tool_says("debugfs -R \"stat /wide\"", "Links: 1 "));

	n = test_tree_file(&tt, TREE_ROOT, "file", 1);
	for (int i = 0; i < 65000; i++) {
		int len = snprintf(name, sizeof(name), "l%d", i);

		assert_int_equal(tree_link(tt.t, TREE_ROOT, name, (size_t)len, n, &link, &err), 0);
	}
	test_tree_finish(&tt);
	assert_int_equal(ext4_write(dev, tt.t, TREE_ROOT, &opts, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "65000 hard links"));
	assert_int_equal(dev_close(dev, &err), 0);
	test_tree_release(&tt);
}

/*
 * Mount points are empty, a subtree is a file system of its own, and links across are counted
 * apart.
 */
static void test_mount_points(void **state)
{
	struct ext4_opts opts = test_ext4_opts(16 * MIB);
	struct test_tree tt;
	tree_node boot, n, link;

	(void)state;
	test_tree_init(&tt);
	boot = test_tree_add(&tt, TREE_ROOT, "boot", S_IFDIR | 0755);
	test_tree_file(&tt, boot, "kernel", 2 * MIB);
	test_tree_add(&tt, boot, "lost+found", S_IFDIR | 0755);
	n = test_tree_file(&tt, boot, "both", 1000);
	assert_int_equal(tree_link(tt.t, TREE_ROOT, "both", 4, n, &link, &err), 0);
	tree_set_mount_point(tt.t, boot);
	test_tree_finish(&tt);

	for (int i = 0; i < 2; i++) {
		struct dev *dev = test_ext4_write(&tt, i ? boot : TREE_ROOT, &opts);

		image_dump(dev, image);
		image_fsck(image);
		assert_true(tool_says("debugfs -R \"stat /both\"", "Links: 1 "));
		assert_true(tool_says("debugfs -R \"stat /kernel\"", "Size: 2097152") == (i == 1));
		assert_false(tool_says("debugfs -R \"stat /boot/kernel\"", "Size:"));
		/* The tree's own lost+found is not made again. */
		assert_true(tool_says(
			"debugfs -R \"stat /lost+found\"", i ? "Mode:  0755" : "Mode:  0700"));
		assert_int_equal(dev_close(dev, &err), 0);
	}
	test_tree_release(&tt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed_tree),
		cmocka_unit_test(test_empty_tree),
		cmocka_unit_test(test_two_tib),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_tables_are_zeroed),
		cmocka_unit_test(test_200k_entries),
		cmocka_unit_test(test_three_levels_of_index),
		cmocka_unit_test(test_thousands_of_extents),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_mount_points),
	};

	return cmocka_run_group_tests_name("ext4", tests, make_dir, remove_dir);
}
