/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives into a tree. Archives come from a small writer here, which can also write what no
 * archiver would, and from GNU tar with its compressors.
 */
#include "fs/tree_tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "tests/lib/tarmaker.h"
#include "tests/lib/tartree.h"

static void test_kinds_and_attributes(void **state)
{
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();
	struct tree_attr a;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./", .type = '5', .mode = 0751, .mtime = 11, .uid = 3});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./dir/", .type = '5', .mode = 01777, .mtime = 22});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./dir/file", .mode = 04755, .mtime = 33, .uid = 1000,
		.content = "hello"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./null", .type = '3', .mode = 0666});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./disk", .type = '4', .mode = 0660});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./pipe", .type = '6'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./sym", .type = '2',
		.link = "/dir/../dir/file", .mode = 0777});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./old", .mtime = -86400});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "./many", .uid = 4000000000});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	a = tartree_attr(t, "/");
	assert_true(a.mode == (S_IFDIR | 0751) && a.mtime == 11 && a.uid == 3 && a.gid == 3);
	a = tartree_attr(t, "dir");
	assert_true(a.mode == (S_IFDIR | 01777) && a.mtime == 22);
	a = tartree_attr(t, "dir/file");
	assert_true(a.mode == (S_IFREG | 04755) && a.mtime == 33 && a.uid == 1000 && a.gid == 1000);
	tartree_expect(t, "dir/file", "hello");
	a = tartree_attr(t, "null");
	assert_true(a.mode == (S_IFCHR | 0666) && a.rdev_major == 5 && a.rdev_minor == 7);
	assert_true(S_ISBLK(tartree_attr(t, "disk").mode) && S_ISFIFO(tartree_attr(t, "pipe").mode));
	assert_string_equal(tartree_attr(t, "sym").target, "/dir/../dir/file");
	assert_int_equal(tartree_attr(t, "old").mtime, -86400);
	assert_true(tartree_attr(t, "many").uid == 4000000000);
	tree_free(t);
}

static void test_options(void **state)
{
	static const struct tree_tar_opts opts = {.root_owner = true, .no_devices = true};
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "null", .type = '3'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .uid = 77});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, &opts, &err), 0);
	assert_int_equal(tartree_find(t, "null"), TREE_NONE);
	assert_int_equal(tartree_attr(t, "file").uid, 0);
	tree_free(t);
}

static void test_names_are_made_safe(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "/etc//./passwd", .content = "root"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "etc/x/../shadow", .content = "star"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib", .type = '2', .link = "../../usr/lib"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/lib/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib/libc.so", .content = "elf"});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	tartree_expect(t, "etc/passwd", "root");
	tartree_expect(t, "etc/shadow", "star");
	tartree_expect(t, "usr/lib/libc.so", "elf");
	assert_true(S_ISLNK(tartree_attr(t, "lib").mode));
	tree_free(t);
}

static void test_names_that_leave_are_refused(void **state)
{
	static const char *const names[] = {"../../etc/passwd", "/..", "a/../../b", "./../x"};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		buf_init(&b, 0);
		tarmaker_add(&b, (struct tarmaker_entry){.name = names[i], .content = "evil"});
		tarmaker_end(&b);
		tartree_expect_refusal(&b, "would leave the tree", names[i]);
	}
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ok", .type = '1', .link = "../../etc/shadow"});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "would leave the tree", "../../etc/shadow");
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = ".", .content = "root is a file"});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "root", ".");
}

static void test_bytes_in_names(void **state)
{
	/* Composed, decomposed, invalid UTF-8, Latin-1; in ustar headers and in pax ones. */
	static const char *const names[] = {"\xc3\xa4", "a\xcc\x88", "\xff\xfe", "f\xfcr", "\xe2\x82\xac"};
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();
	char path[40];

	(void)state;
	buf_init(&b, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "ustar/%s", names[i]);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .content = names[i]});
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		tarmaker_pax(&b, "path", path, strlen(path));
		tarmaker_add(&b, (struct tarmaker_entry){.name = "cut", .content = names[i]});
		snprintf(path, sizeof(path), "target/%s", names[i]);
		tarmaker_pax(&b, "linkpath", path, strlen(path));
		snprintf(path, sizeof(path), "link%zu", i);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .type = '2', .link = "cut"});
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		tarmaker_pax(&b, "linkpath", path, strlen(path));
		snprintf(path, sizeof(path), "hard%zu", i);
		tarmaker_add(&b, (struct tarmaker_entry){.name = path, .type = '1', .link = "cut"});
	}
	tarmaker_end(&b);
	if (tartree_load(t, &b, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "ustar/%s", names[i]);
		tartree_expect(t, path, names[i]);
		snprintf(path, sizeof(path), "pax/%s", names[i]);
		tartree_expect(t, path, names[i]);
		snprintf(path, sizeof(path), "link%zu", i);
		assert_string_equal(tartree_attr(t, path).target + 7, names[i]);
		snprintf(path, sizeof(path), "hard%zu", i);
		tartree_expect(t, path, names[i]);
	}
	tree_free(t);
}

static void test_long_names(void **state)
{
	char name[300], path[500], deep[5000];
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	snprintf(path, sizeof(path), "%.100s/%s", name, name);
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "././@LongLink", .type = 'L', .size = strlen(path) + 1});
	tarmaker_put(&b, path, strlen(path) + 1);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut", .content = "gnu"});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	tartree_expect(t, path, "gnu");
	tree_free(t);
	name[255] = 'n';
	name[256] = '\0';
	buf_init(&b, 0);
	tarmaker_pax(&b, "path", name, 256);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut"});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "over 255", "nnn");

	for (size_t i = 0; i < sizeof(deep) - 1; i++)
		deep[i] = i % 100 == 99 ? '/' : 'd';
	deep[sizeof(deep) - 1] = '\0';
	buf_init(&b, 0);
	tarmaker_pax(&b, "path", deep, sizeof(deep) - 1);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "cut"});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "over 4095", "ddd");
}

static void test_last_wins(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "a", .content = "first"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "b", .type = '1', .link = "a"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "a", .content = "second"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/e/f", .content = "below"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/e", .content = "a file now"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g", .content = "file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "g/h", .content = "in it"});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	tartree_expect(t, "a", "second");
	tartree_expect(t, "b", "first");
	tartree_expect(t, "d/e", "a file now");
	tartree_expect(t, "g/h", "in it");
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/early", .type = '1', .link = "./x/mid"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/mid", .type = '1', .link = "/x/file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "won", .type = '1', .link = "x/file"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "won", .content = "the later entry"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "x/file", .content = "content"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "late", .type = '1', .link = "x/file"});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	tartree_expect(t, "x/early", "content");
	tartree_expect(t, "late", "content");
	tartree_expect(t, "won", "the later entry");
	assert_int_equal(tartree_attr(t, "x/mid").nlink, 4);
	assert_int_equal(tartree_attr(t, "x/early").inode, tartree_attr(t, "late").inode);
	tree_free(t);
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "here", .type = '1', .link = "nowhere"});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "'nowhere', which is not in the archive", "here");
}

static void test_hard_links_with_data(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .content = "content"});
	tarmaker_pax(&b, "comment", "pax", 3);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "link", .type = '1', .link = "file", .content = "content"});
	tarmaker_pax(&b, "comment", "pax", 3);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "first", .type = '1', .link = "gone", .content = "own"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "after", .content = "still in step"});
	tarmaker_end(&b);
	assert_int_equal(tartree_load(t, &b, NULL, &err), 0);
	tartree_expect(t, "link", "content");
	tartree_expect(t, "first", "own");
	tartree_expect(t, "after", "still in step");
	assert_int_equal(tartree_attr(t, "file").nlink, 2);
	tree_free(t);
}

static void test_pax_attributes(void **state)
{
	static const uint8_t cap[20] = {1, 0, 0, 2, 0, 4, 0, 0};
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xf6, 1, 0, 0,
		2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 5, 0, 255, 255, 255,
		255, 32, 0, 0, 0, 255, 255, 255, 255};
	static const char text[] = "user::rw-,user:joe:r--:1000,user:lisa:rwx:502,group::r--,mask::r-x,other::---";
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();
	const char *name;
	const void *value;
	size_t len;

	(void)state;
	buf_init(&b, 0);
	tarmaker_pax(&b, "SCHILY.xattr.security.capability", cap, sizeof(cap));
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ping", .mode = 0755, .content = "elf"});
	tarmaker_pax(&b, "LIBARCHIVE.xattr.user.a%20b", "aGVsbG8", 7);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "base64"});
	tarmaker_pax(&b, "SCHILY.acl.access", text, strlen(text));
	tarmaker_add(&b, (struct tarmaker_entry){.name = "acl", .mode = 0650});
	tarmaker_pax(&b, "mtime", "1700000000.123456789", 20);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "ns"});
	tarmaker_pax(&b, "mtime", "-1.25", 5);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "negative"});
	tarmaker_pax(&b, "uid", "4000000000", 10);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "uid"});
	tarmaker_end(&b);
	if (tartree_load(t, &b, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(tree_xattr(t, tartree_find(t, "ping"), 0, &name, &value, &len));
	assert_string_equal(name, "security.capability");
	assert_int_equal(len, sizeof(cap));
	assert_memory_equal(value, cap, len);
	assert_true(tree_xattr(t, tartree_find(t, "base64"), 0, &name, &value, &len));
	assert_string_equal(name, "user.a b");
	assert_int_equal(len, 5);
	assert_memory_equal(value, "hello", 5);
	assert_true(tree_xattr(t, tartree_find(t, "acl"), 0, &name, &value, &len));
	assert_string_equal(name, "system.posix_acl_access");
	assert_int_equal(len, sizeof(acl));
	assert_memory_equal(value, acl, len);
	assert_int_equal(tartree_attr(t, "acl").mode, S_IFREG | 0650);
	assert_int_equal(tartree_attr(t, "ns").mtime, 1700000000);
	assert_int_equal(tartree_attr(t, "ns").mtime_ns, 123456789);
	assert_int_equal(tartree_attr(t, "negative").mtime, -2);
	assert_int_equal(tartree_attr(t, "negative").mtime_ns, 750000000);
	assert_true(tartree_attr(t, "uid").uid == 4000000000);
	tree_free(t);
	buf_init(&b, 0);
	tarmaker_pax(&b, "SCHILY.acl.default", "user::rwx,user:lisa:rwx,group::r--,mask::rwx,other::---", 55);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "d/", .type = '5'});
	tarmaker_end(&b);
	tartree_expect_refusal(&b, "names 'lisa' without its number", "d/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds_and_attributes),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_names_are_made_safe),
		cmocka_unit_test(test_names_that_leave_are_refused),
		cmocka_unit_test(test_bytes_in_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_hard_links),
		cmocka_unit_test(test_hard_links_with_data),
		cmocka_unit_test(test_pax_attributes),
	};

	return cmocka_run_group_tests(tests, tartree_make, tartree_remove);
}
