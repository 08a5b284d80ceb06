/* SPDX-License-Identifier: Apache-2.0 */
/* squashfs from trees: the kernel (as root) and unsquashfs are the oracles. */
#include "fs/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/log.h"
#include "base/num.h"
#include "fs/probe.h"
#include "tests/lib/ext4_image.h"
#include "tests/lib/mounted.h"
#include "tests/lib/tmpdir.h"

static int shell(const char *dir, const char *command)
{
	char line[2000];

	snprintf(line, sizeof(line), "cd '%s' && (%s) >log 2>&1 || { cat log; exit 1; }", dir, command);
	return system(line);
}

static void all_sorts(struct test_tree *tt)
{
	static const uint8_t caps[20] = {1, 0, 0, 2, 0, 4};
	static char large[4000];
	tree_node usr, deep, node, link;
	struct error err = ERROR_INIT;
	char name[260];

	test_tree_init(tt);
	usr = test_tree_add(tt, TREE_ROOT, "usr", S_IFDIR | 0755);
	deep = usr;
	for (int i = 0; i < 60; i++)
		deep = test_tree_add(tt, deep, "deep", S_IFDIR | 0750);
	test_tree_file(tt, deep, "bottom", 131072 * 3);
	node = test_tree_file(tt, usr, "tool", 300001);
	tree_chmod(tt->t, node, 04755);
	tree_chown(tt->t, node, 70000, 123);
	test_tree_xattr(tt, node, "security.capability", caps, sizeof(caps));
	test_tree_xattr(tt, node, "user.large", large, sizeof(large));
	assert_int_equal(tree_link(tt->t, TREE_ROOT, "hard", 4, node, &link, &err), 0);
	assert_int_equal(tree_link(tt->t, deep, "link", 4, node, &link, &err), 0);
	node = test_tree_add(tt, TREE_ROOT, "null", S_IFCHR | 0666);
	assert_int_equal(tree_link(tt->t, usr, "null2", 5, node, &link, &err), 0);
	test_tree_add(tt, TREE_ROOT, "block", S_IFBLK | 0600);
	test_tree_add(tt, TREE_ROOT, "fifo", S_IFIFO | 0644);
	node = test_tree_symlink(tt, TREE_ROOT, "symlink", "usr/tool");
	test_tree_xattr(tt, node, "trusted.t", "x", 1);
	test_tree_xattr(tt, usr, "user.dir", "value", 5);
	memset(name, 't', 255);
	name[255] = '\0';
	test_tree_symlink(tt, TREE_ROOT, name, name);
	test_tree_file(tt, TREE_ROOT, "empty", 0);
	test_tree_sparse(tt, TREE_ROOT, "holes", 3000000, 3, 5000, 140000, 900000);
	test_tree_sparse(tt, TREE_ROOT, "all-hole", 10 * MIB, 0, 0, 0, 0);
	tree_set_mtime(tt->t, test_tree_file(tt, TREE_ROOT, "old", 1), 0, 0);
	node = test_tree_add(tt, TREE_ROOT, "many", S_IFDIR | 01777);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry-%05d", i * 7919 % 3000);
		test_tree_file(tt, node, name, (uint64_t)(i % 50) * 40);
	}
	test_tree_finish(tt);
}

static struct fs_opts options(unsigned workers)
{
	return (struct fs_opts){.epoch = 1735689600, .workers = workers, .label = "none"};
}

/* The image of a tree in dir/name, on a device that is larger. */
static void write_image(const struct test_tree *tt, tree_node root, unsigned workers,
	const char *dir, const char *name)
{
	struct fs_opts opts = options(workers);
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint64_t least, roomy;
	struct fs_sums sums;
	char path[300];
	struct dev *dev;
	struct fs fs;

	fs_open(&fs, fs_find("squashfs"), tt->t, root, &opts);
	if (fs_sizes(&fs, &least, &roomy, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(least == roomy && least % 4096 == 0);
	assert_int_equal(fs_plan(&fs, least - 1, &sums, &err), -1);
	assert_int_equal(fs_plan(&fs, least + MIB, &sums, &err), 0);
	assert_true(sums.size == least && sums.free == 0);
	dev = disk_new(least + MIB, NULL, &err);
	assert_non_null(dev);
	if (fs_write(&fs, dev, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	assert_int_equal(list.nr, 2);
	assert_true(list.items[0].kind == EXTENT_DATA && list.items[0].len == least);
	assert_int_equal(list.items[1].kind, EXTENT_UNUSED);
	extent_list_release(&list);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	image_dump(dev, path);
	dev_close(dev, NULL);
	fs_close(&fs);
}

static void test_as_the_kernel_sees_it(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	char image[300], mount[300];
	struct test_tree tt;

	(void)state;
	all_sorts(&tt);
	write_image(&tt, TREE_ROOT, 2, dir, "image");
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(mount, sizeof(mount), "%s/mnt", dir);
	if (mounted_at(image, "squashfs", mount)) {
		unsigned nr = mounted_compare(mount, tt.t, TREE_ROOT);

		mounted_end(mount);
		assert_true(nr > 3000);
	} else {
		print_message("skipped the mount: needs root and a kernel with squashfs\n");
	}
	if (system("command -v unsquashfs >/dev/null") == 0)
		assert_int_equal(shell(dir, "unsquashfs -s image | grep -q zstd && "
			"unsquashfs -s image | grep -q 'Block size 131072' && "
			"unsquashfs -d x image >/dev/null && cmp x/usr/tool x/hard"), 0);
	test_tree_release(&tt);
}

static void test_the_number_of_workers_changes_nothing(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct test_tree tt;

	(void)state;
	all_sorts(&tt);
	write_image(&tt, TREE_ROOT, 0, dir, "w0");
	write_image(&tt, TREE_ROOT, 2, dir, "w2");
	write_image(&tt, TREE_ROOT, 7, dir, "w7");
	assert_int_equal(shell(dir, "cmp w0 w2 && cmp w0 w7"), 0);
	test_tree_release(&tt);
}

static void test_part_of_a_tree_and_acls(void **state)
{
	/* user::rw-, user:5:rwx, group::r--, mask::rwx, other::--- */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 2, 0, 7, 0, 5, 0, 0, 0, 4, 0,
		4, 0, 0, 0, 0, 0, 16, 0, 7, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0};
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	char image[300], mount[300];
	struct test_tree tt;
	tree_node srv, sub, node;
	struct error err = ERROR_INIT;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	test_tree_init(&tt);
	srv = test_tree_add(&tt, TREE_ROOT, "srv", S_IFDIR | 0755);
	sub = test_tree_add(&tt, srv, "sub", S_IFDIR | 0755);
	test_tree_file(&tt, sub, "elsewhere", 100);
	tree_set_mount_point(tt.t, srv);
	tree_set_mount_point(tt.t, sub);
	node = test_tree_file(&tt, srv, "shared", 10);
	tree_chmod(tt.t, node, 0670);
	test_tree_xattr(&tt, node, "system.posix_acl_access", acl, sizeof(acl));
	test_tree_finish(&tt);
	write_image(&tt, srv, 1, dir, "image");
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(mount, sizeof(mount), "%s/mnt", dir);
	if (mounted_at(image, "squashfs", mount)) {
		tree_clear_xattrs(tt.t, node);
		tree_chmod(tt.t, node, 0640);
		tree_remove(tt.t, tree_child(tt.t, sub, "elsewhere", 9));
		assert_int_equal(tree_finish(tt.t, INT64_MAX, &err), 0);
		assert_int_equal(mounted_compare(mount, tt.t, srv), 2);
		mounted_end(mount);
	}
	test_tree_release(&tt);
}

static void test_faults_are_reported(void **state)
{
	struct fs_opts opts = options(2);
	struct error err = ERROR_INIT;
	uint64_t least, roomy;
	struct test_tree tt;
	struct fs fs;

	(void)state;
	test_tree_init(&tt);
	test_tree_xattr(&tt, test_tree_file(&tt, TREE_ROOT, "f", 5), "btrfs.compression", "x", 1);
	test_tree_finish(&tt);
	fs_open(&fs, fs_find("squashfs"), tt.t, TREE_ROOT, &opts);
	assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "'/f': squashfs cannot hold the extended attribute "
					 "'btrfs.compression'"));
	fs.opts.spool_dir = "/nowhere";
	assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	fs_close(&fs);
	test_tree_release(&tt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_kernel_sees_it),
		cmocka_unit_test(test_the_number_of_workers_changes_nothing),
		cmocka_unit_test(test_part_of_a_tree_and_acls),
		cmocka_unit_test(test_faults_are_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
