/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfat from trees: fsck.fat, blkid and mtools are the oracles (and the kernel, where it knows vfat
 * and we are root). Without dosfstools or mtools the tests are skipped.
 */
#include "fs/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "tests/lib/ext4_image.h"
#include "tests/lib/tmpdir.h"

static const int64_t epoch = 1735689601;

static int shell(const char *dir, const char *command)
{
	char line[2000];

	snprintf(line, sizeof(line), "export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8 TZ=UTC "
		"MTOOLS_SKIP_CHECK=1; cd '%s' && (%s) >log 2>&1 || { cat log; exit 1; }", dir, command);
	return system(line);
}

static void need_programs(void)
{
	if (system("PATH=$PATH:/usr/sbin; command -v mkfs.fat mcopy fsck.fat >/dev/null") == 0)
		return;
	print_message("skipped: needs dosfstools and mtools\n");
	skip();
}

static void open_fs(struct fs *fs, const struct test_tree *tt, tree_node root)
{
	struct fs_opts opts = {.epoch = epoch, .uuid = {0xab, 0xcd, 0x12, 0x34, 5}, .label = "efi-Süd"};

	fs_open(fs, fs_find("vfat"), tt->t, root, &opts);
}

/* Writes the tree to dir/image by a vfat of len bytes, 0: the roomy size. */
static void write_image(const struct test_tree *tt, tree_node root, uint64_t len, const char *dir,
	const char *name)
{
	struct error err = ERROR_INIT;
	uint64_t least, roomy;
	struct fs_sums sums;
	struct dev *dev;
	struct fs fs;
	char path[300];

	open_fs(&fs, tt, root);
	if (fs_sizes(&fs, &least, &roomy, &err) < 0)
		fail_msg("%s", err.text);
	len = len == 1 ? least : len ? len : roomy;
	if (fs_plan(&fs, len, &sums, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(sums.used + sums.free == sums.size && sums.size <= len);
	dev = disk_new(len, NULL, &err);
	assert_non_null(dev);
	/* What was there before must go. */
	for (uint64_t off = 0; off < len; off += len / 16)
		assert_int_equal(dev_pwrite(dev, "dirt", 4, off / 512 * 512, &err), 0);
	if (fs_write(&fs, dev, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	image_dump(dev, path);
	dev_close(dev, NULL);
	fs_close(&fs);
}

static void small_tree(struct test_tree *tt)
{
	tree_node efi, boot, odd;
	char name[300];

	test_tree_init(tt);
	efi = test_tree_add(tt, TREE_ROOT, "EFI", S_IFDIR | 0755);
	boot = test_tree_add(tt, efi, "BOOT", S_IFDIR | 0755);
	test_tree_file(tt, boot, "BOOTX64.EFI", 1000001);
	test_tree_file(tt, boot, "grub.cfg", 1);
	odd = test_tree_add(tt, TREE_ROOT, "a[b]", S_IFDIR | 0755);
	test_tree_file(tt, odd, "x +,;=.txt", 3000);
	test_tree_file(tt, odd, "mit ünï 日本.txt", 513);
	test_tree_add(tt, odd, "[empty]", S_IFDIR | 0700);
	test_tree_sparse(tt, TREE_ROOT, "Sparse.Bin", 300000, 2, 4096, 100, 200000);
	test_tree_file(tt, TREE_ROOT, ".hidden", 0);
	test_tree_file(tt, TREE_ROOT, "-dash", 512);
	test_tree_file(tt, TREE_ROOT, " lead", 5);
	test_tree_file(tt, TREE_ROOT, "averylongname1.txt", 5);
	test_tree_file(tt, TREE_ROOT, "averylongname2.txt", 5);
	memset(name, 'n', 255);
	name[255] = '\0';
	test_tree_file(tt, TREE_ROOT, name, 7);
	for (int i = 0; i < 450; i++) {
		snprintf(name, sizeof(name), "entry-%03d.conf", i);
		test_tree_file(tt, boot, name, 11);
	}
	test_tree_finish(tt);
}

static bool read_piece(const char *path, uint8_t *buf, size_t len)
{
	FILE *f = fopen(path, "rb");
	bool ok = f && fread(buf, 1, len, f) == len && fgetc(f) == EOF;

	if (f)
		fclose(f);
	return ok;
}

/* Everything below node is at path with its content; counts nodes. */
static unsigned compare(const struct test_tree *tt, tree_node dir, const char *path)
{
	struct error err = ERROR_INIT;
	unsigned nr = 0;
	size_t len;

	for (tree_node n = tree_first_child(tt->t, dir); n != TREE_NONE;
		n = tree_next_sibling(tt->t, n)) {
		char below[1200];
		struct tree_attr attr;
		uint8_t *want, *have;

		snprintf(below, sizeof(below), "%s/%s", path, tree_name(tt->t, n, &len));
		tree_get(tt->t, n, &attr);
		nr++;
		if (S_ISDIR(attr.mode)) {
			nr += compare(tt, n, below);
			continue;
		}
		want = malloc(attr.size + 1);
		have = malloc(attr.size + 1);
		assert_int_equal(tree_pread(tt->t, n, want, attr.size, 0, &err), 0);
		if (!read_piece(below, have, attr.size) || memcmp(want, have, attr.size) != 0)
			fail_msg("'%s' differs", below);
		free(want);
		free(have);
	}
	return nr;
}

static unsigned count(const char *dir)
{
	char line[400];
	unsigned nr = 0;
	FILE *p;

	snprintf(line, sizeof(line), "find '%s' -mindepth 1 | wc -l", dir);
	p = popen(line, "r");
	assert_int_equal(fscanf(p, "%u", &nr), 1);
	pclose(p);
	return nr;
}

static void check_image(const struct test_tree *tt, tree_node root, const char *dir)
{
	char out[300];

	if (shell(dir, "fsck.fat -n image && ! grep -i -e dirty -e differ -e error log") != 0)
		fail_msg("fsck.fat complains");
	assert_int_equal(shell(dir, "rm -rf out && mkdir out && mcopy -s -m -i image :: out"), 0);
	snprintf(out, sizeof(out), "%s/out", dir);
	assert_int_equal(compare(tt, root, out), count(out));
}

static void test_contents_in_all_forms(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	static const uint64_t sizes[] = {1, 0, 20 * MIB, 32 * MIB + 65536, 33 * MIB, 260 * MIB,
		9 * GIB};
	struct test_tree tt;

	(void)state;
	need_programs();
	small_tree(&tt);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		write_image(&tt, TREE_ROOT, sizes[i], dir, "image");
		check_image(&tt, TREE_ROOT, dir);
	}
	assert_int_equal(shell(dir, "blkid -p -o export image >id && grep -x UUID=ABCD-1234 id && "
				    "grep -x TYPE=vfat id && grep -x LABEL=EFI-S_D id && "
				    "test $(TZ=UTC stat -c %Y out/EFI/BOOT/grub.cfg) = 1700691302"),
		0);
	test_tree_release(&tt);
}

static void test_the_same_bits_at_another_time(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	struct test_tree tt;

	(void)state;
	need_programs();
	small_tree(&tt);
	write_image(&tt, TREE_ROOT, 0, dir, "image");
	assert_int_equal(shell(dir, "sleep 2.1"), 0);
	assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0);
	assert_int_equal(setenv("MTOOLS_LOWER_CASE", "1", 1), 0);
	write_image(&tt, TREE_ROOT, 0, dir, "again");
	assert_int_equal(unsetenv("TZ") | unsetenv("MTOOLS_LOWER_CASE"), 0);
	assert_int_equal(shell(dir, "cmp image again"), 0);
	test_tree_release(&tt);
}

static void test_part_of_a_tree_and_mount_points(void **state)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	tree_node boot, efi, inner;
	struct test_tree tt;
	struct error err = ERROR_INIT;

	(void)state;
	need_programs();
	test_tree_init(&tt);
	boot = test_tree_add(&tt, TREE_ROOT, "boot", S_IFDIR | 0755);
	efi = test_tree_add(&tt, boot, "efi", S_IFDIR | 0755);
	inner = test_tree_add(&tt, efi, "sub", S_IFDIR | 0755);
	test_tree_symlink(&tt, inner, "link", "not ours");
	tree_set_mount_point(tt.t, efi);
	tree_set_mount_point(tt.t, inner);
	test_tree_file(&tt, efi, "file", 100);
	test_tree_finish(&tt);
	write_image(&tt, efi, 0, dir, "image");
	tree_remove(tt.t, tree_child(tt.t, inner, "link", 4));
	assert_int_equal(tree_finish(tt.t, INT64_MAX, &err), 0);
	check_image(&tt, efi, dir);
	test_tree_release(&tt);
}

/* One name or node that FAT cannot hold: the message has the path and the text. */
static void refuse(const char *name, uint32_t mode, const char *other, const char *text)
{
	struct error err = ERROR_INIT;
	uint64_t least, roomy;
	struct test_tree tt;
	struct fs fs;
	tree_node dir;

	test_tree_init(&tt);
	dir = test_tree_add(&tt, TREE_ROOT, "d", S_IFDIR | 0755);
	if (S_ISLNK(mode))
		test_tree_symlink(&tt, dir, name, "x");
	else
		test_tree_add(&tt, dir, name, mode);
	if (other)
		test_tree_add(&tt, dir, other, S_IFREG | 0644);
	test_tree_finish(&tt);
	open_fs(&fs, &tt, TREE_ROOT);
	assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, text) || !strstr(err.text, "'/d/"))
		fail_msg("'%s' lacks '%s'", err.text, text);
	fs_close(&fs);
	test_tree_release(&tt);
}

static void test_what_fat_cannot_hold(void **state)
{
	struct test_tree tt;
	struct error err = ERROR_INIT;
	uint64_t least, roomy;
	struct fs fs;

	(void)state;
	refuse("link", S_IFLNK | 0777, NULL, "symbolic link");
	refuse("null", S_IFCHR | 0666, NULL, "device nodes");
	refuse("pipe", S_IFIFO | 0666, NULL, "device nodes");
	refuse("what?", S_IFREG | 0644, NULL, "'/d/what?'");
	refuse("a\\b", S_IFREG | 0644, NULL, "cannot have");
	refuse("a\nb", S_IFREG | 0644, NULL, "control");
	refuse("dot.", S_IFREG | 0644, NULL, "end with a dot");
	refuse("space ", S_IFDIR | 0755, NULL, "end with a dot or a space");
	refuse("x\xff\xfe", S_IFREG | 0644, NULL, "UTF-8");
	refuse("x\xf0\x9f\x98\x80", S_IFREG | 0644, NULL, "U+FFFF");
	refuse("Readme", S_IFREG | 0644, "README", "differs in case only");
	test_tree_init(&tt);
	test_tree_sparse(&tt, TREE_ROOT, "large", UINT64_C(1) << 32, 0, 0, 0, 0);
	test_tree_finish(&tt);
	open_fs(&fs, &tt, TREE_ROOT);
	assert_int_equal(fs_sizes(&fs, &least, &roomy, &err), -1);
	assert_non_null(strstr(err.text, "'/large': has 4294967296 bytes"));
	fs_close(&fs);
	test_tree_release(&tt);
}

static void test_too_small_says_what_it_needs(void **state)
{
	struct error err = ERROR_INIT;
	struct fs_sums sums;
	struct test_tree tt;
	struct fs fs;

	(void)state;
	test_tree_init(&tt);
	test_tree_file(&tt, TREE_ROOT, "file", 10 << 20);
	test_tree_finish(&tt);
	open_fs(&fs, &tt, TREE_ROOT);
	assert_int_equal(fs_plan(&fs, 8 * MIB, &sums, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "vfat needs 10"));
	assert_non_null(strstr(err.text, "has 8"));
	fs_close(&fs);
	test_tree_release(&tt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents_in_all_forms),
		cmocka_unit_test(test_the_same_bits_at_another_time),
		cmocka_unit_test(test_part_of_a_tree_and_mount_points),
		cmocka_unit_test(test_what_fat_cannot_hold),
		cmocka_unit_test(test_too_small_says_what_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
