/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ext4 writer: sizes that it computes are exact, its output is a function of the input, what
 * ext4 cannot hold is refused by name, and a device that fails is reported.
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
#include "base/hash.h"
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

/* ---- trees of several shapes ---- */

static void shape_empty(struct test_tree *tt)
{
	(void)tt;
}

static void shape_small_files(struct test_tree *tt)
{
	char name[32];

	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "f%u", i * 7919 % 3000);
		test_tree_file(tt, TREE_ROOT, name, i * 37 % 20000);
	}
}

static void shape_big_files(struct test_tree *tt)
{
	char name[32];

	for (unsigned int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		test_tree_file(tt, TREE_ROOT, name, i * 3 * MIB + i * 12345);
	}
}

/* One file over several groups, so that superblock copies cut it. */
static void shape_huge_file(struct test_tree *tt)
{
	test_tree_file(tt, TREE_ROOT, "huge", 600 * MIB + 1);
	test_tree_file(tt, TREE_ROOT, "small", 100);
}

static void shape_many_inodes(struct test_tree *tt)
{
	char name[32];

	for (unsigned int i = 0; i < 40000; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		if (i % 4 == 0)
			test_tree_add(tt, TREE_ROOT, name, S_IFDIR | 0755);
		else
			test_tree_add(tt, TREE_ROOT, name, S_IFREG | 0644);
	}
}

static void shape_scattered(struct test_tree *tt)
{
	test_tree_sparse(tt, TREE_ROOT, "scattered", GIB, 3000, 0, 4096, 100000);
}

static void (*const shapes[])(struct test_tree *tt) = {shape_empty, shape_small_files,
	shape_big_files, shape_huge_file, shape_many_inodes, shape_scattered};

static void make_tree(struct test_tree *tt, size_t shape)
{
	test_tree_init(tt);
	shapes[shape](tt);
	test_tree_finish(tt);
}

/* ---- sizes ---- */

static void check_least(const struct test_tree *tt, struct ext4_opts *opts)
{
	struct ext4_plan plan, again;
	uint32_t bs = opts->block_size;
	struct dev *dev;

	opts->size = 0;
	assert_int_equal(ext4_plan(tt->t, TREE_ROOT, opts, &plan, &err), 0);
	assert_true(plan.size == plan.min_size && plan.used + plan.free == plan.size);
	opts->size = plan.min_size;
	assert_int_equal(ext4_plan(tt->t, TREE_ROOT, opts, &again, &err), 0);
	assert_memory_equal(&plan, &again, sizeof(plan));
	dev = test_ext4_write(tt, TREE_ROOT, opts);
	image_dump(dev, image);
	image_fsck(image);
	image_check_kinds(image, dev);

	opts->size = plan.min_size - bs;
	assert_int_equal(ext4_plan(tt->t, TREE_ROOT, opts, &again, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(ext4_write(dev, tt->t, TREE_ROOT, opts, &err), -1);
	assert_non_null(strstr(err.text, "file system 'test' needs "));
	assert_int_equal(dev_close(dev, &err), 0);
}

static void test_least_size_is_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct test_tree tt;

		make_tree(&tt, i);
		for (uint32_t bs = 1024; bs <= 4096; bs *= 2) {
			struct ext4_opts opts = test_ext4_opts(0);

			opts.block_size = bs;
			opts.no_journal = bs == 2048;
			check_least(&tt, &opts);
		}
		test_tree_release(&tt);
	}
}

/*
 * Every size from the least on holds the tree, unless the journal begins to be wanted there (8
 * MiB).
 */
static void test_all_larger_sizes_fit(void **state)
{
	struct ext4_opts opts = test_ext4_opts(0);
	struct ext4_plan plan;
	struct test_tree tt;
	uint64_t least;

	(void)state;
	make_tree(&tt, 2);
	opts.reserved_percent = 5;
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	least = plan.min_size;
	for (uint64_t add = 0; add < 300 * MIB; add += 1237 * 4096) {
		opts.size = least + add;
		if (ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(plan.min_size == least);
		assert_true(plan.size <= opts.size && plan.size + 20 * MIB > opts.size);
	}
	test_tree_release(&tt);
}

/* What the plan says is what is in the superblock. */
static void test_plan_is_what_is_written(void **state)
{
	struct ext4_opts opts = test_ext4_opts(300 * MIB);
	struct ext4_plan plan;
	struct test_tree tt;
	struct dev *dev;
	uint8_t super[1024];

	(void)state;
	make_tree(&tt, 1);
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	dev = test_ext4_write(&tt, TREE_ROOT, &opts);
	assert_int_equal(dev_pread(dev, super, sizeof(super), 1024, &err), 0);
	assert_int_equal(num_get_le32(super), plan.inodes);
	assert_int_equal(num_get_le32(super + 4) * UINT64_C(4096), plan.size);
	assert_int_equal(num_get_le32(super + 12) * UINT64_C(4096), plan.free);
	assert_int_equal(num_get_le32(super + 16), plan.free_inodes);
	assert_int_equal(plan.journal, 16 * MIB);
	assert_int_equal(dev_close(dev, &err), 0);
	test_tree_release(&tt);
}

static void test_auto_size(void **state)
{
	struct ext4_opts opts = test_ext4_opts(0);
	struct ext4_plan plan;
	struct test_tree tt;
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		make_tree(&tt, i);
		for (uint64_t headroom = 0; headroom <= 300 * MIB; headroom += 100 * MIB) {
			assert_int_equal(
				ext4_auto_size(tt.t, TREE_ROOT, &opts, headroom, &size, &err), 0);
			assert_int_equal(size % MIB, 0);
			opts.size = size;
			assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
			assert_true(plan.free >= (headroom ? headroom : 64 * MIB));
			assert_true(plan.free >= (headroom ? 0 : plan.min_size / 10));
			opts.size = 0;
		}
		test_tree_release(&tt);
	}
}

/* The least size has no journal; rounded up to whole MiB it is the first that wants one. */
static void test_auto_size_where_the_journal_begins(void **state)
{
	struct ext4_opts opts = test_ext4_opts(0);
	struct ext4_plan plan;
	struct test_tree tt;

	(void)state;
	test_tree_init(&tt);
	test_tree_file(&tt, TREE_ROOT, "file", 8 * MIB - 500 * KIB);
	test_tree_finish(&tt);
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	assert_true(plan.journal == 0 && plan.size > 7 * MIB && plan.size <= 8 * MIB);
	if (ext4_auto_size(tt.t, TREE_ROOT, &opts, 1 * MIB, &opts.size, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	assert_true(plan.journal > 0 && plan.free >= 1 * MIB);
	test_tree_release(&tt);
}

static void test_inodes(void **state)
{
	struct ext4_opts opts = test_ext4_opts(64 * MIB);
	struct ext4_plan plan;
	struct test_tree tt;

	(void)state;
	make_tree(&tt, 1);
	opts.inodes = 20000;
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	assert_in_range(plan.inodes, 20000, 20100);
	opts.inodes = 3011;
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), 0);
	opts.inodes = 3010;
	assert_int_equal(ext4_plan(tt.t, TREE_ROOT, &opts, &plan, &err), -1);
	assert_string_equal(err.text, "file system 'test' needs 3011 inodes and was given 3010");
	test_tree_release(&tt);
}

/* ---- the same bits ---- */

static void digest(struct dev *dev, uint8_t out[SHA256_SIZE])
{
	static uint8_t buf[1 << 16];
	struct sha256 *h = sha256_new(&err);

	assert_non_null(h);
	for (uint64_t off = 0; off < dev->size; off += sizeof(buf)) {
		assert_int_equal(dev_pread(dev, buf, sizeof(buf), off, &err), 0);
		assert_int_equal(sha256_update(h, buf, sizeof(buf), &err), 0);
	}
	assert_int_equal(sha256_final(h, out, &err), 0);
	sha256_free(h);
}

static void add_in_order(struct test_tree *tt, bool backwards)
{
	char name[32];

	test_tree_init(tt);
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int n = backwards ? 1999 - i : i;

		snprintf(name, sizeof(name), "n%u", n);
		tt->next_id = n;
		test_tree_file(tt, TREE_ROOT, name, n * 300);
	}
	test_tree_finish(tt);
}

static void test_same_bits(void **state)
{
	uint8_t sums[3][SHA256_SIZE];

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct ext4_opts opts = test_ext4_opts(700 * MIB);
		struct test_tree tt;
		struct dev *dev;

		opts.epoch = 0;
		add_in_order(&tt, i == 1);
		dev = test_ext4_write(&tt, TREE_ROOT, &opts);
		digest(dev, sums[i]);
		assert_int_equal(dev_close(dev, &err), 0);
		test_tree_release(&tt);
	}
	assert_memory_equal(sums[0], sums[1], SHA256_SIZE);
	assert_memory_equal(sums[0], sums[2], SHA256_SIZE);
}

/* ---- what cannot be ---- */

static void refused(struct test_tree *tt, uint32_t block_size, const char *text)
{
	struct ext4_opts opts = test_ext4_opts(64 * MIB);
	struct ext4_plan plan;

	opts.block_size = block_size;
	test_tree_finish(tt);
	assert_int_equal(ext4_plan(tt->t, TREE_ROOT, &opts, &plan, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, text))
		fail_msg("'%s' is not in: %s", text, err.text);
	tree_remove(tt->t, tree_child(tt->t, TREE_ROOT, "bad", 3));
}

static void test_refused(void **state)
{
	static uint8_t big[5000];
	struct tree_attr attr = {.mode = S_IFCHR, .rdev_major = 5000};
	char target[1025];
	struct test_tree tt;
	tree_node n;

	(void)state;
	test_tree_init(&tt);
	n = test_tree_file(&tt, TREE_ROOT, "bad", 1);
	test_tree_xattr(&tt, n, "user.large", big, sizeof(big));
	refused(&tt, 4096, "'/bad': extended attributes take more than");
	n = test_tree_file(&tt, TREE_ROOT, "bad", 1);
	test_tree_xattr(&tt, n, "system.posix_acl_access", "no acl", 6);
	refused(&tt, 4096, "'/bad': extended attribute 'system.posix_acl_access' is no valid ACL");
	n = test_tree_file(&tt, TREE_ROOT, "bad", 1);
	test_tree_xattr(&tt, n, "strange.name", "x", 1);
	refused(&tt, 4096, "'/bad': ext4 cannot hold the extended attribute 'strange.name'");
	n = test_tree_file(&tt, TREE_ROOT, "bad", 1);
	test_tree_xattr(&tt, n, "system.data", "x", 1);
	refused(&tt, 4096, "'/bad': ext4 cannot hold the extended attribute 'system.data'");
	assert_int_equal(tree_add(tt.t, TREE_ROOT, "bad", 3, &attr, &n, &err), 0);
	refused(&tt, 4096, "'/bad': device number 5000:0");
	memset(target, 'x', 1024);
	target[1024] = '\0';
	test_tree_symlink(&tt, TREE_ROOT, "bad", target);
	refused(&tt, 1024, "'/bad': target of the symbolic link has 1024 bytes");
	test_tree_sparse(&tt, TREE_ROOT, "bad", 5 * TIB, 0, 0, 0, 0);
	refused(&tt, 1024, "'/bad': has 5497558138880 bytes");
	test_tree_file(&tt, TREE_ROOT, "bad", 100 * MIB);
	refused(&tt, 4096, "file system 'test' needs 10");
	test_tree_file(&tt, TREE_ROOT, "bad", 1);
	refused(&tt, 512, "cannot have blocks of 512 bytes");
	test_tree_release(&tt);
}

/* ---- a device that fails ---- */

struct faulty {
	struct dev dev;
	unsigned int calls, fail_at;
};

static int fault(struct dev *dev, struct error *e)
{
	struct faulty *f = (struct faulty *)dev;

	return ++f->calls == f->fail_at ? error_set(e, ERROR_IO, 5, "fault") : 0;
}

static int faulty_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *e)
{
	(void)off;
	memset(buf, 0, len);
	return fault(dev, e);
}

static int faulty_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *e)
{
	(void)buf, (void)len, (void)off;
	return fault(dev, e);
}

static int faulty_clear(
	struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *e)
{
	(void)off, (void)len, (void)kind;
	return fault(dev, e);
}

static int faulty_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src,
	uint64_t id, uint64_t src_off, struct error *e)
{
	(void)off, (void)len, (void)src, (void)id, (void)src_off;
	return fault(dev, e);
}

static int faulty_close(struct dev *dev, struct error *e)
{
	(void)dev, (void)e;
	return 0;
}

static void test_every_fault_is_reported(void **state)
{
	static const struct dev_ops ops = {.name = "faulty",
		.pread = faulty_pread,
		.pwrite = faulty_pwrite,
		.clear = faulty_clear,
		.refer = faulty_refer,
		.close = faulty_close};
	struct ext4_opts opts = test_ext4_opts(64 * MIB);
	struct faulty f = {.dev = {&ops, 64 * MIB}};
	struct test_tree tt;
	unsigned int calls;

	(void)state;
	test_tree_init(&tt);
	test_tree_sparse(&tt, TREE_ROOT, "scattered", 4 * MIB, 30, 0, 1000, 100000);
	for (char c = 'a'; c <= 'z'; c++)
		test_tree_xattr(&tt, test_tree_file(&tt, TREE_ROOT, (char[]){c, 0}, 9000), "user.x",
			"0123456789012345678901234567890123456789012345678901234567890", 60);
	test_tree_finish(&tt);
	assert_int_equal(ext4_write(&f.dev, tt.t, TREE_ROOT, &opts, &err), 0);
	calls = f.calls;
	assert_true(calls > 50);
	for (f.fail_at = 1; f.fail_at <= calls; f.fail_at++) {
		f.calls = 0;
		assert_int_equal(ext4_write(&f.dev, tt.t, TREE_ROOT, &opts, &err), -1);
		assert_int_equal(err.kind, ERROR_IO);
		assert_int_equal(f.calls, f.fail_at);
	}
	test_tree_release(&tt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_least_size_is_exact),
		cmocka_unit_test(test_all_larger_sizes_fit),
		cmocka_unit_test(test_plan_is_what_is_written),
		cmocka_unit_test(test_auto_size),
		cmocka_unit_test(test_auto_size_where_the_journal_begins),
		cmocka_unit_test(test_inodes),
		cmocka_unit_test(test_same_bits),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_fault_is_reported),
	};

	return cmocka_run_group_tests_name("ext4_size", tests, make_dir, remove_dir);
}
